//! How far the work of a Job has come, in nodes.

use std::{collections::HashSet, time::Duration};

use api::{
    job::{NodeState, NodeStatus, conditions::Reason, node_set::NodeSet},
    views::{DaemonSetView, NodeView},
};
use k8s_openapi::jiff::Timestamp;

use super::{
    nodes::{NodeWork, WorkState, count, is_caught_up, node_work, pods_by_node, wanted},
    observation::Observation,
    outcome::Outcome,
    tally::PodTally,
};

/// Nodes that a status reports one by one: with messages of 256 bytes, some 40 KB.
pub(crate) const MAX_NODES: usize = 100;
/// Nodes that a message names.
const NAMED_NODES: usize = 5;

/// Time without a new pod after which missing ones may have been refused.
pub(crate) const FIRST_CHECK: Duration = Duration::from_secs(5);
/// The longest time between two checks.
///
/// The API server searches all events of the namespace for each.
pub(crate) const LONGEST_CHECK_INTERVAL: Duration = Duration::from_mins(1);

/// Sums and sets of nodes.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Progress {
    /// Nodes that the DaemonSet controller wants a pod on.
    pub(crate) desired: i32,
    /// Nodes with a pod that are neither done nor failed.
    pub(crate) active: i32,
    /// Nodes that are done.
    pub(crate) succeeded: i32,
    /// Nodes that have failed.
    pub(crate) failed: i32,
    /// Nodes with a pod that are not done, failed ones among them.
    pub(crate) unfinished: usize,
    /// The first of these by state, failed ones first, and name: at most [`MAX_NODES`].
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
    /// Tallies to record on pods of nodes that are neither done nor failed.
    pub(crate) tallies: Vec<PodTally>,
}

/// The progress of `daemon_set`, which is the Job's own.
///
/// Nodes are compared, not counts: with {A, B} done and {B, C} wanted, as many are done as are
/// wanted, and C is not. So each node that holds a pod of this DaemonSet must have ended, pods that
/// are being deleted included, and as many nodes as are wanted; and the DaemonSet controller must
/// have caught up, or it might be about to create the next pod.
#[must_use]
pub(crate) fn progress(observation: &Observation<'_>, daemon_set: &DaemonSetView) -> Progress {
    let job = &observation.job;
    let pods = pods_by_node(observation, daemon_set, observation.now);
    let nodes = node_work(observation, &pods);

    let recorded = job.status_of_work();
    let completed_before = recorded.and_then(|status| status.completed_nodes.as_ref());
    let mut completed_nodes = completed_before.cloned().unwrap_or_default();
    let mut failed_nodes =
        recorded.and_then(|status| status.failed_nodes.clone()).unwrap_or_default();
    let (mut succeeded, mut active, mut failed) = (0, pods.unassigned, 0);
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
            }
            WorkState::Gone => {}
        }
    }
    let ended = succeeded + failed;
    let completed_before = completed_before.map_or(0, NodeSet::len);
    if completed_before > nodes.iter().filter(|node| node.was_completed).count() {
        succeeded += completed_without_pods(observation, &nodes, &completed_nodes);
    }

    let status = daemon_set.status.as_ref();
    let desired = status.map_or(0, |status| status.desired_number_scheduled);
    let (active, failed) = (count(active), count(failed));
    let (unfinished, worst_nodes) = worst_nodes(&nodes);
    Progress {
        desired,
        active,
        // A node that was done and holds no pod may not be wanted any more.
        succeeded: count(succeeded).min((desired - active - failed).max(0)),
        failed,
        unfinished,
        nodes: worst_nodes,
        completed_nodes,
        failed_nodes,
        has_ended: is_caught_up(daemon_set, &job.work_hash)
            && active == 0
            && count(ended) >= wanted(daemon_set),
        fails_at: nodes.iter().filter_map(|node| node.outcome.fails_at).min(),
        tallies,
    }
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

/// Counts the nodes that are not done, and picks the first ones for the status.
///
/// It sorts no more than these of thousands.
fn worst_nodes(nodes: &[NodeWork<'_>]) -> (usize, Vec<NodeStatus>) {
    type Unfinished<'n> = (NodeState, &'n str, &'n Outcome);
    let unfinished = |node: &'_ NodeWork<'_>| match node.state {
        WorkState::Failed => Some(NodeState::Failed),
        WorkState::Active(state) => Some(state),
        WorkState::Completed | WorkState::Gone => None,
    };
    let unfinished = nodes
        .iter()
        .filter_map(|node| unfinished(node).map(|state| (state, node.name, node.outcome)));
    let mut unfinished: Vec<_> = unfinished.collect();
    let number = unfinished.len();
    let order = |a: &Unfinished<'_>, b: &Unfinished<'_>| (a.0, a.1).cmp(&(b.0, b.1));
    if number > MAX_NODES {
        unfinished.select_nth_unstable_by(MAX_NODES, order);
        unfinished.truncate(MAX_NODES);
    }
    unfinished.sort_unstable_by(order);
    let status = |(state, name, outcome): Unfinished<'_>| NodeStatus {
        name: name.to_owned(),
        state,
        ..outcome.report.clone()
    };
    (number, unfinished.into_iter().map(status).collect())
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
        self.active + self.succeeded + self.failed < self.desired
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

    /// Reason and message of the end of a Job whose nodes have all ended.
    pub(crate) fn end(&self) -> Option<(Reason, String)> {
        let Self { desired, succeeded, failed, .. } = *self;
        if !self.has_ended {
            return None;
        }
        let done = format!("done on {succeeded} of {desired} nodes");
        Some(if failed > 0 {
            (Reason::NodesFailed, format!("{done}, failed on: {}", self.failed_names()))
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

    /// The names of the first few nodes that are not done.
    pub(crate) fn unfinished_names(&self) -> String {
        self.names(self.unfinished)
    }

    /// The names of the first few of `number` nodes.
    fn names(&self, number: usize) -> String {
        let names = self.nodes.iter().take(number.min(NAMED_NODES)).map(|node| node.name.as_str());
        let shown = names.collect::<Vec<_>>().join(", ");
        match number.saturating_sub(NAMED_NODES) {
            0 => shown,
            more => format!("{shown} and {more} more"),
        }
    }
}

#[cfg(test)]
mod tests;
