//! The work of each node that holds a pod of a Job's DaemonSet.
//!
//! ```text
//! pods ─ by node ─→ NodePods ─ and the recorded status ─→ NodeWork ─ sums and sets ─→ Progress
//! ```

use std::sync::Arc;

use api::{
    job::{
        NodeState,
        node_set::{Member, NodeSet},
    },
    views::{DaemonSetView, NodeView, PodView},
};
use k8s_openapi::jiff::Timestamp;

use super::{
    gone_nodes,
    observation::{Observation, Source},
    outcome::Outcome,
    pods_by_node::{NodePods, PodsByNode, TurnPods, pods_by_node},
};

/// The work of one node.
#[derive(Debug)]
pub(crate) struct NodeWork<'o> {
    pub(crate) name: &'o str,
    /// The node as sets in the status know it. None: it is not known, or gone.
    pub(crate) member: Option<Member>,
    /// None: it is not known, or gone.
    pub(crate) node: Option<&'o NodeView>,
    pub(crate) state: WorkState,
    /// Outcome of all its pods.
    pub(crate) outcome: &'o Outcome,
    /// Whether it was completed before, by the status or by a pod that is gone.
    pub(crate) was_completed: bool,
    /// Whether the state is that of a pod created for this very node.
    ///
    /// The status does not record that of others.
    pub(crate) is_recordable: bool,
    /// Whether the status has not recorded the result yet, and its pods are being deleted.
    pub(crate) is_about_to_be_lost: bool,
    /// Whether all its pods are being deleted.
    pub(crate) is_leaving: bool,
    pub(crate) turn: TurnPods<'o>,
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
    /// Neither completed nor failed, and its pod waits for the node's turn.
    Waiting,
    /// It ended on a node that is gone, or had no turn before that, so it counts for nothing.
    Gone,
}

/// The work of each node that holds a pod of `daemon_set`.
///
/// A pod that is older than its node was bound to another node of that name, and a cache that lags shows such
/// a pod beside its node's successor. It counts as long as it is there, and is not recorded.
///
/// A pod stays for a minute when its node is gone, but the DaemonSet controller does not count such nodes: its
/// outcome must not stand in for a node that is wanted. Cached nodes may just be late, so only
/// [`Source::Live`] decides that. `completed` are the nodes that were completed before.
pub(crate) fn node_work<'o>(
    observation: &Observation<'_>,
    pods: &'o PodsByNode<'_>,
    completed: &NodeSet,
) -> Vec<NodeWork<'o>> {
    let recorded = observation.job.status_of_work();
    let failed = recorded.and_then(|status| status.failed_nodes.as_ref());
    let work = |pods: &'o NodePods<'_>| {
        let NodePods { name, node, outcome, is_done, has_failed, are_leaving, turn } = pods;
        let member = node.and_then(NodeView::member);
        let is_in = |set: Option<&NodeSet>| {
            member.zip(set).is_some_and(|(member, set)| set.contains(member))
        };
        let was_completed = is_in(Some(completed));
        let is_gone = observation.source == Source::Live && node.is_none();
        // The first result stays: a failed node that succeeds in a later run has failed.
        let has_ended = outcome.is_done || outcome.has_failed;
        let (state, is_recordable) = if is_gone && (has_ended || turn.only_waits) {
            (WorkState::Gone, false)
        } else if is_in(failed) || outcome.has_failed && !was_completed {
            (WorkState::Failed, *has_failed)
        } else if outcome.is_done || was_completed {
            (WorkState::Completed, *is_done)
        } else if turn.only_waits {
            (WorkState::Waiting, false)
        } else if node.is_some_and(NodeView::is_unreachable) {
            (WorkState::Active(NodeState::Unreachable), false)
        } else {
            (WorkState::Active(outcome.report.state), false)
        };
        let is_new = is_recordable && !was_completed && !is_in(failed);
        let is_about_to_be_lost = is_new && *are_leaving;
        NodeWork {
            name,
            member,
            node: *node,
            state,
            outcome,
            was_completed,
            is_recordable,
            is_about_to_be_lost,
            is_leaving: *are_leaving,
            turn: *turn,
        }
    };
    pods.nodes.iter().map(work).collect()
}

/// Whether cached nodes do not suffice for the pods of a live `observation`.
///
/// Nodes matter where a result belongs to a node and not to its pod: where a pod that is not done is on a node
/// that was, and where a node has failed. A cache that lags might take a node for an earlier one of its name.
/// And they matter where the cache does not know a pod's node, which may be gone, and where a node keeps its
/// place until it is gone.
pub(crate) fn needs_live_nodes(observation: &Observation<'_>) -> bool {
    let Observation { job, pods, nodes, .. } = observation;
    let Some(daemon_set) = observation.daemon_set.as_deref() else {
        return false;
    };
    let is_any = |set: &Option<NodeSet>| set.as_ref().is_some_and(|set| !set.is_empty());
    let has_places = job
        .status
        .is_some_and(|status| is_any(&status.started_nodes) || is_any(&status.stopping_nodes));
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
    has_failed
        || has_places
        || gone_nodes::are_many(observation)
        || pods.iter().any(is_unknown)
        || has_unfinished()
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
mod tests;
