//! How far the work of a DaemonSet has come.

use std::{collections::HashMap, sync::Arc};

use api::{
    node_set::NodeSet,
    v1beta1::{JobSpec, JobStatus, NodeState, NodeStatus},
    views::{DaemonSetView, NodeView, PodView},
    work,
};
use k8s_openapi::{apimachinery::pkg::apis::meta::v1::ObjectMeta, jiff::Timestamp};

use crate::{
    observed::{Nodes, Source},
    run::{Run, run},
    tally::PodTally,
};

/// Nodes that are listed in a status: with messages of 256 bytes, some 40 KB.
pub(crate) const MAX_NODES: usize = 100;

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
    /// Nodes with a pod that are not done, failed ones among them.
    pub unfinished: usize,
    /// The first of these by state, failed ones first, and name: at most [`MAX_NODES`].
    pub nodes: Vec<NodeStatus>,
    /// All nodes that ever were done.
    pub completed_nodes: NodeSet,
    /// All nodes that ever failed.
    pub failed_nodes: NodeSet,
    /// Whether there is nothing to wait for: every wanted node is done or has failed.
    pub has_ended: bool,
    /// When the next node will have failed.
    ///
    /// Unless the end of its last run turns out to be another one.
    pub fails_at: Option<Timestamp>,
    /// What is to be recorded on pods of nodes that are neither done nor failed.
    pub tallies: Vec<PodTally>,
}

/// How far `daemon_set` has come with the work of `spec` by `now`, given what `known` has recorded of it.
///
/// Nodes are compared, not counts: with {A, B} done and {B, C} wanted, as many are done as are
/// wanted, and C is not. So each node that holds a pod of this DaemonSet must have ended, pods that
/// are being deleted included, and as many nodes as are wanted; and the DaemonSet controller must
/// have caught up, or it might be about to create the next pod.
///
/// What a pod has come to that is older than its node counts as long as it is there, and is not recorded: it
/// was bound to another node of that name, and a cache that lags shows such a pod beside its node's successor.
///
/// A pod stays for a minute when its node is gone, but the DaemonSet controller does not count such nodes:
/// what it has come to must not stand in for a node that is wanted. Cached nodes may just be late, so that is
/// for [`Source::Live`] to say.
#[must_use]
pub fn progress(
    spec: &JobSpec,
    known: &JobStatus,
    daemon_set: &DaemonSetView,
    pods: &[Arc<PodView>],
    nodes: &Nodes,
    source: Source,
    now: Timestamp,
) -> Progress {
    let work_hash = work::hash(spec);
    let run = |pod: &PodView| match pod.work_hash() == Some(&work_hash) {
        true => run(spec, pod, now),
        // Results of other work do not count, but the node is not done while such a pod is alone.
        false => Run::default(),
    };
    let (held, homeless) = nodes_with_pods(run, daemon_set, pods, nodes);

    let mut completed_nodes = known.completed_nodes.clone().unwrap_or_default();
    let mut failed_nodes = known.failed_nodes.clone().unwrap_or_default();
    let completed_before = completed_nodes.len();
    let (mut succeeded, mut active, mut failed) = (0, homeless, 0);
    let mut completed_before_with_pods = 0;
    let (mut unfinished, mut tallies) = (Vec::new(), Vec::new());
    for (name, held) in &held {
        let run = &held.run;
        let member = held.node.and_then(NodeView::member);
        let is_in = |set: &NodeSet| member.is_some_and(|node| set.contains(node));
        let was_completed = is_in(&completed_nodes);
        completed_before_with_pods += usize::from(was_completed);
        if source == Source::Live && held.node.is_none() && (run.is_done || run.has_failed) {
            continue;
        }
        // What was first stays: a failed node that succeeds in a later run has failed.
        let has_failed = is_in(&failed_nodes) || run.has_failed && !was_completed;
        let record = |set: &mut NodeSet, is_so| {
            member.filter(|_| is_so).into_iter().for_each(|node| set.insert(node));
        };
        if has_failed {
            failed += 1;
            record(&mut failed_nodes, held.has_failed);
        } else if run.is_done || was_completed {
            succeeded += 1;
            record(&mut completed_nodes, held.is_done);
            continue;
        } else {
            active += 1;
            tallies.extend(run.tally.clone());
        }
        let state = if has_failed {
            NodeState::Failed
        } else if held.node.is_some_and(NodeView::is_unreachable) {
            NodeState::Unreachable
        } else {
            run.report.state
        };
        unfinished.push((state, *name, run));
    }
    let ended = succeeded + failed;
    if completed_before > completed_before_with_pods {
        // Done by an earlier pod, which is gone, and has no successor yet.
        let is_completed =
            |node: &NodeView| node.member().is_some_and(|it| completed_nodes.contains(it));
        let without_pods = nodes.iter().filter(|(name, _)| !held.contains_key(name.as_str()));
        succeeded += without_pods.filter(|(_, node)| is_completed(node)).count();
    }

    let status = daemon_set.status.as_ref();
    let desired = status.map_or(0, |status| status.desired_number_scheduled);
    // Nodes that would get no pod now, for a taint for example, and may keep the one that they have.
    let kept = status.map_or(0, |status| status.number_misscheduled);
    Progress {
        desired,
        active: count(active),
        // A node that was done and holds no pod may not be wanted any more.
        succeeded: count(succeeded).min((desired - count(active) - count(failed)).max(0)),
        failed: count(failed),
        unfinished: unfinished.len(),
        nodes: listed(unfinished),
        completed_nodes,
        failed_nodes,
        has_ended: is_caught_up(daemon_set, &work_hash)
            && active == 0
            && count(ended) >= desired.saturating_add(kept),
        fails_at: held.values().filter_map(|held| held.run.fails_at).min(),
        tallies,
    }
}

/// The first of the nodes that are not done, in the order of a status. Of thousands no more are put in order.
fn listed(mut unfinished: Vec<(NodeState, &str, &Run)>) -> Vec<NodeStatus> {
    let order =
        |a: &(NodeState, &str, &Run), b: &(NodeState, &str, &Run)| (a.0, a.1).cmp(&(b.0, b.1));
    if unfinished.len() > MAX_NODES {
        unfinished.select_nth_unstable_by(MAX_NODES, order);
        unfinished.truncate(MAX_NODES);
    }
    unfinished.sort_unstable_by(order);
    let status = |(state, name, run): (NodeState, &str, &Run)| NodeStatus {
        name: name.to_owned(),
        state,
        ..run.report.clone()
    };
    unfinished.into_iter().map(status).collect()
}

/// What the pods of a node have come to.
#[derive(Default)]
struct Held<'n> {
    /// None: it is not known, or gone.
    node: Option<&'n NodeView>,
    run: Run,
    /// A pod that was created for this very node is done.
    is_done: bool,
    /// A pod that was created for this very node has failed.
    has_failed: bool,
}

/// What the pods of each node have come to, given what `run` says of each, and the number of pods that are not
/// bound, nor meant for any node that we can tell.
fn nodes_with_pods<'a>(
    run: impl Fn(&PodView) -> Run,
    daemon_set: &DaemonSetView,
    pods: &'a [Arc<PodView>],
    nodes: &'a Nodes,
) -> (HashMap<&'a str, Held<'a>>, usize) {
    let own = pods.iter().filter(|pod| belongs_to(pod, daemon_set));
    let (leaving, staying): (Vec<_>, Vec<_>) =
        own.partition(|pod| pod.metadata.deletion_timestamp.is_some());
    let mut held: HashMap<&str, Held> = HashMap::with_capacity(pods.len());
    let mut homeless = 0;
    for pod in leaving.into_iter().chain(staying) {
        let Some(name) = pod.node() else {
            homeless += 1;
            continue;
        };
        let node = held.entry(name).or_insert_with(|| {
            let node = nodes.get(name).map(AsRef::as_ref);
            Held { node, ..Held::default() }
        });
        let is_older = node.node.is_some_and(|node| is_older(&pod.metadata, &node.metadata));
        let run = run(pod);
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
}

fn count(nodes: usize) -> i32 {
    i32::try_from(nodes).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests;
