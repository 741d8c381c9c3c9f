//! How far the work of a Job has come, in nodes.

use std::{collections::HashSet, time::Duration};

use api::{
    job::{JobStatus, NodeStatus, conditions::Reason, failed_runs::FailedRuns, node_set::NodeSet},
    views::{DaemonSetView, NodeView},
};
use k8s_openapi::jiff::Timestamp;

use super::{
    daemon_set::Gating,
    names::join_some,
    nodes::{NodeWork, WorkState, count, is_caught_up, node_work, wanted},
    observation::Observation,
    outcome::PreparedPod,
    pods_by_node::{completed_before, count_given_up, nodes_of_earlier, pods_by_node},
    tally::PodTally,
    turns::{Turns, look::Look, turns},
    worst_nodes::worst_nodes,
};

/// Time without a new pod after which missing ones may have been refused.
pub(crate) const FIRST_CHECK: Duration = Duration::from_secs(5);
/// The longest time between two checks.
///
/// The API server searches all events of the namespace for each.
pub(crate) const LONGEST_CHECK_INTERVAL: Duration = Duration::from_mins(1);

/// Pods of a Job whose events are looked up: where more are stuck, the cause is most often the same.
const MAX_STUCK_PODS: usize = 8;

/// Time between two looks at the events of a pod: the kubelet repeats them less often.
pub(crate) const EVENTS_INTERVAL: Duration = Duration::from_secs(30);

/// Sums and sets of nodes.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Progress {
    /// Nodes that the DaemonSet controller wants a pod on.
    pub(crate) desired: i32,
    /// Nodes with a pod that are neither waiting, done nor failed.
    pub(crate) active: i32,
    /// Nodes that wait for their turn.
    pub(crate) waiting: i32,
    /// Nodes that are done.
    pub(crate) succeeded: i32,
    /// Nodes that have failed.
    pub(crate) failed: i32,
    /// Nodes with a pod that are neither done nor waiting, failed ones among them.
    pub(crate) unfinished: usize,
    /// The first of these by state, failed ones first, and name: at most [`MAX_NODES`](super::worst_nodes::MAX_NODES).
    pub(crate) nodes: Vec<NodeStatus>,
    /// All nodes that ever were done.
    pub(crate) completed_nodes: NodeSet,
    /// All nodes that ever failed.
    pub(crate) failed_nodes: NodeSet,
    /// Whether there is nothing to wait for: every wanted node is done or has failed.
    pub(crate) has_ended: bool,
    /// When the next node will have failed.
    ///
    /// Unless its last run turns out to have ended otherwise.
    pub(crate) fails_at: Option<Timestamp>,
    /// Failed runs of pods that are gone, or about to go.
    pub(crate) failed_runs: FailedRuns,
    /// Pods that their kubelets prepare for so long that their events may say why.
    pub(crate) stuck_pods: Vec<StuckPod>,
    /// When the next such pod will have taken that long.
    pub(crate) stuck_at: Option<Timestamp>,
    /// Whether results are not recorded yet, and their pods are being deleted, or gone.
    pub(crate) has_results_of_leaving_pods: bool,
    /// Tallies to record on pods of nodes that are neither done nor failed.
    pub(crate) tallies: Vec<PodTally>,
    /// The turns of the nodes, if they take turns.
    pub(crate) turns: Option<Turns>,
}

/// The progress of `daemon_set`, which is the Job's own.
///
/// Nodes are compared, not counts: with {A, B} done and {B, C} wanted, as many are done as are
/// wanted, and C is not. So each node that holds a pod of this DaemonSet must have ended, pods that
/// are being deleted included, and as many nodes as are wanted; and the DaemonSet controller must
/// have caught up, or it might be about to create the next pod.
///
/// With [`Gating::Turn`] it decides as well whose turn it is.
#[must_use]
pub(crate) fn progress(
    observation: &Observation<'_>,
    daemon_set: &DaemonSetView,
    gating: Gating,
) -> Progress {
    let job = &observation.job;
    let pods = pods_by_node(observation, daemon_set, observation.now);
    let mut completed_nodes = completed_before(observation, daemon_set);
    let nodes = node_work(observation, &pods, &completed_nodes);

    let recorded = job.status_of_work();
    let before = completed_nodes.len();
    let is_recorded = before == number_of_completed(recorded);
    let mut failed_nodes =
        recorded.and_then(|status| status.failed_nodes.clone()).unwrap_or_default();
    let (mut succeeded, mut active, mut waiting, mut failed) = (0, pods.unassigned, 0, 0);
    let mut failed_runs =
        recorded.and_then(|status| status.failed_runs.clone()).unwrap_or_default();
    let given_up = count_given_up(observation, daemon_set, &mut failed_runs);
    let mut tallies = Vec::new();
    for node in &nodes {
        match node.state {
            WorkState::Completed => {
                succeeded += 1;
                node.record_in(&mut completed_nodes);
            }
            WorkState::Failed => {
                failed += 1;
                node.record_in(&mut failed_nodes);
            }
            WorkState::Active(_) => {
                active += 1;
                tallies.extend(node.outcome.tally.clone());
                if let Some((member, given_up)) = node.member.zip(node.outcome.given_up) {
                    failed_runs.add(member, given_up.created, given_up.runs);
                }
            }
            WorkState::Waiting => waiting += 1,
            WorkState::Gone => {}
        }
    }
    failed_runs.forget(&completed_nodes);
    failed_runs.forget(&failed_nodes);
    let recorded_runs = recorded.and_then(|status| status.failed_runs.as_ref());
    // The DaemonSet controller deletes pods that their kubelets have given up, at once.
    let has_given_up = !failed_runs.is_empty() && recorded_runs != Some(&failed_runs);
    let ended = succeeded + failed;
    if before > nodes.iter().filter(|node| node.was_completed).count() {
        succeeded += completed_without_pods(observation, &nodes, &completed_nodes);
    }

    // The figures of a DaemonSet that somebody has edited say nothing about the Job.
    let is_trusted = observation.trusts(daemon_set);
    let status = daemon_set.status.as_ref().filter(|_| is_trusted);
    let known = recorded.map_or(0, |status| status.desired);
    let desired = status.map_or(known, |status| status.desired_number_scheduled);
    let (active, waiting, failed) = (count(active), count(waiting), count(failed));
    let has_ended = is_trusted
        && is_caught_up(daemon_set, &job.work_hash)
        && active == 0
        && waiting == 0
        && count(ended) >= wanted(daemon_set);
    // Done nodes may all have left the selection, because the work changed their labels or taints.
    let have_left = has_ended && desired == 0 && failed == 0 && !completed_nodes.is_empty();
    let desired = if have_left { count(succeeded) } else { desired };
    let known = recorded.map_or(&[][..], |status| &status.nodes);
    let (unfinished, worst_nodes) = worst_nodes(job.spec.completion_mode, &nodes, known, &given_up);
    let (stuck_pods, stuck_at) = stuck_pods(&nodes);
    let turns = (gating == Gating::Turn).then(|| {
        turns(&Look {
            observation,
            daemon_set,
            nodes: &nodes,
            unassigned: pods.unassigned,
            completed: &completed_nodes,
            failed,
            earlier: nodes_of_earlier(observation, daemon_set),
        })
    });
    Progress {
        desired,
        active,
        waiting,
        // A node that was done and holds no pod may not be wanted any more.
        succeeded: count(succeeded).min((desired - active - waiting - failed).max(0)),
        failed,
        unfinished,
        nodes: worst_nodes,
        completed_nodes,
        failed_nodes,
        has_ended,
        has_results_of_leaving_pods: has_given_up
            || !is_recorded
            || nodes.iter().any(|node| node.is_about_to_be_lost),
        fails_at: nodes.iter().filter_map(|node| node.outcome.fails_at).min(),
        failed_runs,
        stuck_pods,
        stuck_at,
        tallies,
        turns,
    }
}

fn number_of_completed(status: Option<&JobStatus>) -> usize {
    status.and_then(|status| status.completed_nodes.as_ref()).map_or(0, NodeSet::len)
}

/// The first pods that have been prepared for long, by node, and when the next one will have been.
fn stuck_pods(nodes: &[NodeWork<'_>]) -> (Vec<StuckPod>, Option<Timestamp>) {
    let (mut stuck, mut next) = (Vec::new(), None);
    for node in nodes.iter().filter(|node| matches!(node.state, WorkState::Active(_))) {
        match &node.outcome.preparing {
            Some(PreparedPod::Until(at)) => next = next.into_iter().chain([*at]).min(),
            Some(PreparedPod::Stuck(uid)) => {
                stuck.push(StuckPod { node: node.name.to_owned(), uid: uid.clone() });
            }
            None => {}
        }
    }
    stuck.sort_unstable_by(|a, b| a.node.cmp(&b.node));
    stuck.truncate(MAX_STUCK_PODS);
    (stuck, next)
}

/// Counts completed nodes without a pod.
///
/// An earlier pod completed them, which is gone and has no successor yet.
fn completed_without_pods(
    observation: &Observation<'_>,
    nodes: &[NodeWork<'_>],
    completed: &NodeSet,
) -> usize {
    let with_pods: HashSet<_> = nodes.iter().map(|node| node.name).collect();
    let is_completed =
        |node: &NodeView| node.member().is_some_and(|member| completed.contains(member));
    let others = observation.nodes.iter().filter(|(name, _)| !with_pods.contains(name.as_str()));
    others.filter(|(_, node)| is_completed(node)).count()
}

/// A pod that its kubelet has prepared for long.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct StuckPod {
    /// Name of its node.
    pub(crate) node: String,
    /// UID of the pod.
    pub(crate) uid: String,
}

/// A DaemonSet that has lacked pods for long.
///
/// The API server may refuse them, for a quota or Pod Security for example, and none of our watches shows that.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct MissingPods {
    /// UID of the DaemonSet.
    pub(crate) daemon_set: String,
    /// How often to check why: the less often the longer it has lasted.
    pub(crate) check_every: Duration,
}

impl Progress {
    /// Whether wanted pods are not there.
    pub(crate) fn lacks_pods(&self) -> bool {
        self.active + self.waiting + self.succeeded + self.failed < self.desired
    }

    /// Returns `daemon_set` if it has lacked pods for long.
    ///
    /// Before that more pods may be on their way.
    pub(crate) fn missing_pods(
        &self,
        observation: &Observation<'_>,
        daemon_set: &DaemonSetView,
    ) -> Option<MissingPods> {
        let of_pods = observation.pods.iter().map(|pod| &pod.metadata.creation_timestamp);
        let latest = of_pods.chain([&daemon_set.metadata.creation_timestamp]).flatten().max()?;
        // Negative when the clocks differ.
        let lasted = Duration::try_from(observation.now.duration_since(latest.0)).ok()?;
        let may_be_refused = self.lacks_pods() && lasted >= FIRST_CHECK;
        may_be_refused.then(|| MissingPods {
            daemon_set: daemon_set.metadata.uid.clone().unwrap_or_default(),
            check_every: (lasted / 2).clamp(FIRST_CHECK, LONGEST_CHECK_INTERVAL),
        })
    }

    /// Reason and message of the end, if the nodes have brought the Job to its end.
    ///
    /// More than `max_failed_nodes` end it at once, or where nodes take turns when those at work have ended.
    /// Otherwise all must have ended.
    pub(crate) fn end(&self, max_failed_nodes: Option<i32>) -> Option<(Reason, String)> {
        let Self { desired, succeeded, failed, .. } = *self;
        let lets_finish = |turns: &Turns| self.active > 0 || turns.starting > 0;
        let ends_at_once = !self.turns.as_ref().is_some_and(lets_finish);
        if let Some(max) = max_failed_nodes.filter(|max| failed > *max && ends_at_once) {
            let nodes = if failed == 1 { "1 node".to_owned() } else { format!("{failed} nodes") };
            let names = self.failed_names();
            let message =
                format!("{nodes} failed, more than the {max} of spec.maxFailedNodes: {names}");
            return Some((Reason::MaxFailedNodesExceeded, message));
        }
        if !self.has_ended {
            return None;
        }
        let done = format!("done on {succeeded} of {desired} nodes");
        Some(if failed > 0 {
            (Reason::NodesFailed, format!("{done}, failed on: {}", self.failed_names()))
        } else if desired == 0 && !self.completed_nodes.is_empty() {
            (Reason::Completed, "done; all nodes that were done are gone".to_owned())
        } else if desired == 0 && !self.failed_nodes.is_empty() {
            let message = "done on no node, and all nodes that failed are gone";
            (Reason::NodesFailed, message.to_owned())
        } else if desired == 0 {
            let message = "no node matches, so there is nothing to do";
            (Reason::NoMatchingNodes, message.to_owned())
        } else {
            (Reason::Completed, done)
        })
    }

    /// The names of the first few nodes that have failed, which come first in the list.
    pub(crate) fn failed_names(&self) -> String {
        self.names(usize::try_from(self.failed).unwrap_or_default())
    }

    /// The names of the first few nodes that are neither done nor waiting.
    pub(crate) fn unfinished_names(&self) -> String {
        self.names(self.unfinished)
    }

    /// The names of the first few of `number` nodes.
    fn names(&self, number: usize) -> String {
        join_some(self.nodes.iter().map(|node| node.name.as_str()), number)
    }
}

#[cfg(test)]
mod tests;
