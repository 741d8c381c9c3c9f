//! The work of each node that holds a pod of a Job's DaemonSet.
//!
//! ```text
//! pods ─ by node ─→ NodePods ─ and the recorded status ─→ NodeWork ─ sums and sets ─→ Progress
//! ```

use std::{collections::HashMap, sync::Arc};

use api::{
    job::{
        NodeState,
        node_set::{Member, NodeSet},
    },
    views::{DaemonSetView, NodeView, PodView},
};
use k8s_openapi::{apimachinery::pkg::apis::meta::v1::ObjectMeta, jiff::Timestamp};

use super::{
    observation::{Observation, Source},
    outcome::{FailedBefore, Outcome, outcome},
};

/// The work of one node.
#[derive(Debug)]
pub(crate) struct NodeWork<'o> {
    pub(crate) name: &'o str,
    /// The node as sets in the status know it. None: it is not known, or gone.
    pub(crate) member: Option<Member>,
    pub(crate) state: WorkState,
    /// Outcome of all its pods.
    pub(crate) outcome: &'o Outcome,
    /// Whether the status had recorded it as completed before.
    pub(crate) was_completed: bool,
    /// Whether the state is that of a pod created for this very node.
    ///
    /// The status does not record that of others.
    pub(crate) is_recordable: bool,
    /// Whether the status has not recorded the result yet, and its pods are being deleted.
    pub(crate) is_about_to_be_lost: bool,
}

impl NodeWork<'_> {
    /// Adds the node to the set of its state, if the status may record it.
    pub(crate) fn record_in(&self, set: &mut NodeSet) {
        if let Some(member) = self.member.filter(|_| self.is_recordable) {
            set.insert(member);
        }
    }
}

/// State of the work of one node.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum WorkState {
    Completed,
    Failed,
    /// Neither completed nor failed; the status reports the node in this state.
    Active(NodeState),
    /// It ended on a node that is gone, so it counts for nothing.
    Gone,
}

/// The work of each node that holds a pod of `daemon_set`.
///
/// A pod that is older than its node was bound to another node of that name, and a cache that lags shows such
/// a pod beside its node's successor. It counts as long as it is there, and is not recorded.
///
/// A pod stays for a minute when its node is gone, but the DaemonSet controller does not count such nodes: its
/// outcome must not stand in for a node that is wanted. Cached nodes may just be late, so only
/// [`Source::Live`] decides that.
pub(crate) fn node_work<'o>(
    observation: &Observation<'_>,
    pods: &'o PodsByNode<'_>,
) -> Vec<NodeWork<'o>> {
    let recorded = observation.job.status_of_work();
    let completed = recorded.and_then(|status| status.completed_nodes.as_ref());
    let failed = recorded.and_then(|status| status.failed_nodes.as_ref());
    let work = |pods: &'o NodePods<'_>| {
        let NodePods { name, node, outcome, is_done, has_failed, are_leaving } = pods;
        let member = node.and_then(NodeView::member);
        let is_in = |set: Option<&NodeSet>| {
            member.zip(set).is_some_and(|(member, set)| set.contains(member))
        };
        let was_completed = is_in(completed);
        let is_gone = observation.source == Source::Live && node.is_none();
        // The first result stays: a failed node that succeeds in a later run has failed.
        let (state, is_recordable) = if is_gone && (outcome.is_done || outcome.has_failed) {
            (WorkState::Gone, false)
        } else if is_in(failed) || outcome.has_failed && !was_completed {
            (WorkState::Failed, *has_failed)
        } else if outcome.is_done || was_completed {
            (WorkState::Completed, *is_done)
        } else if node.is_some_and(NodeView::is_unreachable) {
            (WorkState::Active(NodeState::Unreachable), false)
        } else {
            (WorkState::Active(outcome.report.state), false)
        };
        let is_new = is_recordable && !was_completed && !is_in(failed);
        let is_about_to_be_lost = is_new && *are_leaving;
        NodeWork { name, member, state, outcome, was_completed, is_recordable, is_about_to_be_lost }
    };
    pods.nodes.iter().map(work).collect()
}

/// Whether cached nodes do not suffice for the pods of a live `observation`.
///
/// Nodes matter where a result belongs to a node and not to its pod: where a pod that is not done is on a node
/// that was, and where a node has failed. A cache that lags might take a node for an earlier one of its name.
/// And they matter where the cache does not know a pod's node, which may be gone.
pub(crate) fn needs_live_nodes(observation: &Observation<'_>) -> bool {
    let Observation { job, pods, nodes, .. } = observation;
    let Some(daemon_set) = observation.daemon_set.as_deref() else {
        return false;
    };
    let has_failed = job.status.is_some_and(|status| status.failed_nodes.is_some());
    let is_unknown = |pod: &Arc<PodView>| pod.node().is_some_and(|node| !nodes.contains_key(node));
    let has_unfinished = || {
        // At the end of time no pod waits for its termination word any more.
        let pods = pods_by_node(observation, daemon_set, Timestamp::MAX);
        let is_done = |pods: &NodePods<'_>| pods.outcome.is_done && !pods.outcome.has_failed;
        let are_done = pods.unassigned == 0 && pods.nodes.iter().all(is_done);
        !are_done
            || !is_caught_up(daemon_set, &job.work_hash)
            || count(pods.nodes.len()) < wanted(daemon_set)
    };
    has_failed || pods.iter().any(is_unknown) || has_unfinished()
}

/// The pods of each node.
pub(crate) struct PodsByNode<'o> {
    nodes: Vec<NodePods<'o>>,
    /// Number of pods that are neither bound to a node nor aimed at one.
    pub(crate) unassigned: usize,
}

/// The pods of one node.
struct NodePods<'o> {
    name: &'o str,
    /// None: it is not known, or gone.
    node: Option<&'o NodeView>,
    outcome: Outcome,
    /// A pod that was created for this very node is done.
    is_done: bool,
    /// A pod that was created for this very node has failed.
    has_failed: bool,
    /// All of them are being deleted.
    are_leaving: bool,
}

/// Groups the pods of `daemon_set` by node.
///
/// Pods that stay come after those that are being deleted, so that the node is in their state.
pub(crate) fn pods_by_node<'o>(
    observation: &'o Observation<'_>,
    daemon_set: &DaemonSetView,
    now: Timestamp,
) -> PodsByNode<'o> {
    let Observation { job, pods, nodes, .. } = observation;
    let own = pods.iter().map(AsRef::as_ref).filter(|pod| belongs_to(pod, daemon_set));
    let (leaving, staying): (Vec<&PodView>, Vec<&PodView>) =
        own.partition(|pod| pod.metadata.deletion_timestamp.is_some());
    let mut positions = HashMap::with_capacity(pods.len());
    let mut by_node = PodsByNode { nodes: Vec::with_capacity(pods.len()), unassigned: 0 };
    for pod in leaving.into_iter().chain(staying) {
        let Some(name) = pod.node() else {
            by_node.unassigned += 1;
            continue;
        };
        let outcome = match observation.does_the_work(pod) {
            true => {
                outcome(job.spec, pod, |created| failed_before(observation, name, created), now)
            }
            // Results of other work do not count, but the node is not done while such a pod is alone.
            false => Outcome::default(),
        };
        let position = *positions.entry(name).or_insert(by_node.nodes.len());
        if position == by_node.nodes.len() {
            let node = nodes.get(name).map(AsRef::as_ref);
            let outcome = Outcome::default();
            by_node.nodes.push(NodePods {
                name,
                node,
                outcome,
                is_done: false,
                has_failed: false,
                are_leaving: true,
            });
        }
        let Some(node) = by_node.nodes.get_mut(position) else { continue };
        let is_older = node.node.is_some_and(|node| is_older(&pod.metadata, &node.metadata));
        node.is_done |= outcome.is_done && !is_older;
        node.has_failed |= outcome.has_failed && !is_older;
        node.are_leaving &= pod.metadata.deletion_timestamp.is_some();
        // What an earlier node of that name did with its pods counts for nothing.
        let given_up = outcome.given_up.filter(|_| !is_older);
        node.outcome.follow(Outcome { given_up, ..outcome });
    }
    by_node
}

/// Failed runs of earlier pods of a node than the one created at `created`, as the status has recorded them.
fn failed_before(
    observation: &Observation<'_>,
    node: &str,
    created: Option<Timestamp>,
) -> FailedBefore {
    let recorded = observation.job.status_of_work().and_then(|status| status.failed_runs.as_ref());
    let member = || observation.nodes.get(node)?.member();
    let Some((recorded, member)) = recorded.and_then(|recorded| Some((recorded, member()?))) else {
        return FailedBefore::Exclusive(0);
    };
    match created {
        Some(created) if recorded.before(member, created).is_none() => {
            FailedBefore::Inclusive(recorded.of(member))
        }
        _ => FailedBefore::Exclusive(recorded.of(member)),
    }
}

fn is_older(pod: &ObjectMeta, node: &ObjectMeta) -> bool {
    let created = (&pod.creation_timestamp, &node.creation_timestamp);
    matches!(created, (Some(pod), Some(node)) if pod < node)
}

/// Compares UIDs: the pods of an earlier DaemonSet of the same name do not count.
fn belongs_to(pod: &PodView, daemon_set: &DaemonSetView) -> bool {
    pod.daemon_set().is_some_and(|owner| Some(&owner.uid) == daemon_set.metadata.uid.as_ref())
}

/// Whether the DaemonSet controller has nothing left to do for this work.
///
/// Otherwise it might be about to create the next pod.
pub(crate) fn is_caught_up(daemon_set: &DaemonSetView, work_hash: &str) -> bool {
    let Some(status) = &daemon_set.status else {
        return false;
    };
    status.observed_generation.is_some()
        && status.observed_generation == daemon_set.metadata.generation
        && daemon_set.work_hash() == Some(work_hash)
        && status.current_number_scheduled == status.desired_number_scheduled
}

/// Number of nodes that must have ended before the DaemonSet has.
///
/// Those that would get no pod now, for a taint for example, may keep the one that they have.
pub(crate) fn wanted(daemon_set: &DaemonSetView) -> i32 {
    daemon_set.status.as_ref().map_or(0, |status| {
        status.desired_number_scheduled.saturating_add(status.number_misscheduled)
    })
}

pub(crate) fn count(nodes: usize) -> i32 {
    i32::try_from(nodes).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use api::job::{Job, JobSpec, JobStatus, work_hash};
    use serde_json::{Value, json};

    use super::*;
    use crate::testing::fixtures::{self, PodBuilder};

    fn crashed() -> Value {
        json!({
            "name": "job-container", "image": "", "imageID": "", "ready": false, "restartCount": 0,
            "state": {"terminated": {"exitCode": 1}},
        })
    }

    #[test]
    fn each_node_with_a_pod_has_a_state_and_recorded_results_stay() {
        let mut job = fixtures::job();
        job.spec.backoff_limit_per_node = Some(0);
        let work_hash = work_hash::hash(&job.spec);
        let set = |node: &str| {
            let mut set = NodeSet::default();
            set.insert(&format!("uid-of-{node}"));
            Some(set)
        };
        let (completed_nodes, failed_nodes) = (set("was-done"), set("had-failed"));
        let hash = Some(work_hash.clone());
        let status =
            JobStatus { work_hash: hash, completed_nodes, failed_nodes, ..JobStatus::default() };
        job.status = Some(status);
        let pod = |node: &str| fixtures::pod(node).work_hash(&work_hash);
        let pods = [
            pod("done").done(),
            pod("failed").container(crashed()),
            pod("was-done").container(crashed()),
            pod("had-failed").done(),
            pod("lost"),
            pod("gone").done(),
        ];
        let mut nodes = ["done", "failed", "was-done", "had-failed"].map(fixtures::node).to_vec();
        nodes.push(fixtures::unreachable_node("lost"));
        let observation = Observation {
            pods: pods.map(PodBuilder::build).to_vec(),
            nodes: Arc::new(fixtures::nodes(nodes)),
            ..fixtures::observation(&job)
        };
        let states = |observation: &Observation<'_>| {
            let daemon_set = fixtures::daemon_set().build();
            let pods = pods_by_node(observation, &daemon_set, observation.now);
            let work = node_work(observation, &pods);
            work.iter().map(|node| (node.name.to_owned(), node.state)).collect::<Vec<_>>()
        };
        let expected = |gone| {
            let states = [
                ("done", WorkState::Completed),
                ("failed", WorkState::Failed),
                ("was-done", WorkState::Completed),
                ("had-failed", WorkState::Failed),
                ("lost", WorkState::Active(NodeState::Unreachable)),
                ("gone", gone),
            ];
            states.map(|(name, state)| (name.to_owned(), state))
        };
        assert_eq!(states(&observation), expected(WorkState::Gone));
        let cached = Observation { source: Source::Caches, ..observation };
        assert_eq!(states(&cached), expected(WorkState::Completed), "the cache may be late");
    }

    #[test]
    fn nodes_are_read_where_a_record_of_them_decides() {
        let hash = work_hash::hash(&JobSpec::default());
        let asks = |job: &Job, pod: PodBuilder| {
            let daemon_set = fixtures::daemon_set().work_hash(&hash).scheduled(1, 1).build();
            needs_live_nodes(&Observation {
                daemon_set: Some(Arc::new(daemon_set)),
                pods: vec![pod.work_hash(&hash).build()],
                nodes: Arc::new(fixtures::nodes([fixtures::node("a")])),
                ..fixtures::observation(job)
            })
        };
        let mut job = Job::new("runs-once", JobSpec::default());
        assert!(!asks(&job, fixtures::pod("a").done()), "pods alone say that it has ended");
        assert!(asks(&job, fixtures::pod("a")), "an earlier pod of the node may have been done");
        assert!(asks(&job, fixtures::pod("b").done()), "that node may be gone");
        job.spec.backoff_limit_per_node = Some(0);
        assert!(
            asks(&job, fixtures::pod("a").container(crashed())),
            "an earlier pod of the node may have been done: then it has not failed"
        );
        let mut failed_nodes = NodeSet::default();
        failed_nodes.insert("uid-of-a");
        let failed_nodes = Some(failed_nodes);
        job.status = Some(JobStatus { failed_nodes, ..JobStatus::default() });
        assert!(asks(&job, fixtures::pod("a").done()), "that node may be another one by now");
    }
}
