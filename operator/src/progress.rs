//! How far the work of a DaemonSet has come.

use std::{collections::HashMap, sync::Arc};

use api::{
    node_set::NodeSet,
    v1beta1::{JobSpec, JobStatus, NodeState, NodeStatus},
    views::{DaemonSetView, NodeView, PodView},
    work,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::run::{Run, run};

/// How far the work has come, in nodes.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Progress {
    /// Nodes that the DaemonSet controller wants a pod on.
    pub desired: i32,
    /// Nodes with a pod that are neither done nor failed.
    pub active: i32,
    /// Nodes that are done.
    pub succeeded: i32,
    /// Nodes that have failed.
    pub failed: i32,
    /// The nodes that are not done, failed ones first.
    pub nodes: Vec<NodeStatus>,
    /// All nodes that ever were done.
    pub completed_nodes: NodeSet,
    /// All nodes that ever failed.
    pub failed_nodes: NodeSet,
    /// Whether there is nothing to wait for: every wanted node is done or has failed.
    pub has_ended: bool,
}

/// How far `daemon_set` has come with the work of `spec`, given what `known` has recorded of it.
///
/// Nodes are compared, not counts: with {A, B} done and {B, C} wanted, as many are done as are
/// wanted, and C is not. So each node that holds a pod of this DaemonSet must have ended, pods that
/// are being deleted included, and as many nodes as are wanted; and the DaemonSet controller must
/// have caught up, or it might be about to create the next pod.
///
/// What a pod has come to that is older than its node counts as long as it is there, and is not recorded: it
/// was bound to another node of that name, and a cache that lags shows such a pod beside its node's successor.
#[must_use]
pub fn progress(
    spec: &JobSpec,
    known: &JobStatus,
    daemon_set: &DaemonSetView,
    pods: &[Arc<PodView>],
    nodes: &[Arc<NodeView>],
) -> Progress {
    let work_hash = work::hash(spec);
    let nodes: HashMap<&str, &NodeView> = nodes
        .iter()
        .filter_map(|node| Some((node.metadata.name.as_deref()?, node.as_ref())))
        .collect();
    let (held, homeless) = nodes_with_pods(spec, &work_hash, daemon_set, pods, &nodes);

    let mut completed_nodes = known.completed_nodes.clone().unwrap_or_default();
    let mut failed_nodes = known.failed_nodes.clone().unwrap_or_default();
    // Done by an earlier pod, which is gone, and has no successor yet.
    let mut succeeded = nodes
        .iter()
        .filter(|(name, node)| {
            node.member().is_some_and(|node| completed_nodes.contains(node))
                && !held.contains_key(*name)
        })
        .count();
    let (mut active, mut failed, mut ended) = (homeless, 0, 0);
    let mut unfinished = Vec::new();
    for (name, held) in held {
        let run = held.run;
        let node = nodes.get(name).copied();
        let member = node.and_then(NodeView::member);
        let is_in = |set: &NodeSet| member.is_some_and(|node| set.contains(node));
        // What was first stays: a failed node that succeeds in a later run has failed.
        let has_failed = is_in(&failed_nodes) || run.has_failed && !is_in(&completed_nodes);
        if has_failed {
            failed += 1;
            ended += 1;
            member
                .filter(|_| held.has_failed)
                .into_iter()
                .for_each(|node| failed_nodes.insert(node));
        } else if run.is_done || is_in(&completed_nodes) {
            succeeded += 1;
            ended += 1;
            member
                .filter(|_| held.is_done)
                .into_iter()
                .for_each(|node| completed_nodes.insert(node));
            continue;
        } else {
            active += 1;
        }
        let state = if has_failed {
            NodeState::Failed
        } else if node.is_some_and(NodeView::is_unreachable) {
            NodeState::Unreachable
        } else {
            run.report.state
        };
        unfinished.push(NodeStatus { name: name.to_owned(), state, ..run.report });
    }
    unfinished.sort_by(|a, b| (a.state, &a.name).cmp(&(b.state, &b.name)));

    let desired = daemon_set.status.as_ref().map_or(0, |status| status.desired_number_scheduled);
    Progress {
        desired,
        active: count(active),
        // A node that was done and holds no pod may not be wanted any more.
        succeeded: count(succeeded).min((desired - count(active) - count(failed)).max(0)),
        failed: count(failed),
        nodes: unfinished,
        completed_nodes,
        failed_nodes,
        has_ended: is_caught_up(daemon_set, &work_hash) && active == 0 && count(ended) >= desired,
    }
}

/// What the pods of a node have come to.
#[derive(Default)]
struct Held {
    run: Run,
    /// A pod that was created for this very node is done.
    is_done: bool,
    /// A pod that was created for this very node has failed.
    has_failed: bool,
}

/// What the pods of each node have come to, and the number of pods that are not bound, nor meant for
/// any node that we can tell.
fn nodes_with_pods<'a>(
    spec: &JobSpec,
    work_hash: &str,
    daemon_set: &DaemonSetView,
    pods: &'a [Arc<PodView>],
    nodes: &HashMap<&str, &NodeView>,
) -> (HashMap<&'a str, Held>, usize) {
    let own = pods.iter().filter(|pod| belongs_to(pod, daemon_set));
    let (leaving, staying): (Vec<_>, Vec<_>) =
        own.partition(|pod| pod.metadata.deletion_timestamp.is_some());
    let mut held: HashMap<&str, Held> = HashMap::new();
    let mut homeless = 0;
    for pod in leaving.into_iter().chain(staying) {
        // Results of other work do not count, but the node is not done while such a pod is alone.
        let is_current = pod.work_hash() == Some(work_hash);
        let run = if is_current { run(spec, pod) } else { Run::default() };
        let Some(name) = pod.node() else {
            homeless += 1;
            continue;
        };
        let node = held.entry(name).or_default();
        let is_older = nodes.get(name).is_some_and(|node| is_older(&pod.metadata, &node.metadata));
        node.is_done |= run.is_done && !is_older;
        node.has_failed |= run.has_failed && !is_older;
        node.run.follow(run);
    }
    (held, homeless)
}

fn is_older(pod: &ObjectMeta, node: &ObjectMeta) -> bool {
    let created = (&pod.creation_timestamp, &node.creation_timestamp);
    matches!(created, (Some(pod), Some(node)) if pod < node)
}

/// By UID: the pods of an earlier DaemonSet of the same name do not count.
fn belongs_to(pod: &PodView, daemon_set: &DaemonSetView) -> bool {
    pod.daemon_set().is_some_and(|owner| Some(&owner.uid) == daemon_set.metadata.uid.as_ref())
}

fn is_caught_up(daemon_set: &DaemonSetView, work_hash: &str) -> bool {
    let Some(status) = &daemon_set.status else {
        return false;
    };
    status.observed_generation.is_some()
        && status.observed_generation == daemon_set.metadata.generation
        && daemon_set.work_hash() == Some(work_hash)
        && status.current_number_scheduled == status.desired_number_scheduled
        && status.number_misscheduled == 0
}

fn count(nodes: usize) -> i32 {
    i32::try_from(nodes).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests;
