//! What the turns of a Job's nodes depend on.

use std::collections::HashSet;

use api::{
    job::{JobSpec, node_set::NodeSet},
    views::DaemonSetView,
};

use crate::job::decide::{
    nodes::{NodeWork, WorkState, count, is_caught_up, wanted},
    observation::{Observation, Source},
};

/// One look at a Job whose nodes take turns.
pub(crate) struct Look<'l> {
    pub(crate) observation: &'l Observation<'l>,
    pub(crate) daemon_set: &'l DaemonSetView,
    /// The nodes that hold a pod.
    pub(crate) nodes: &'l [NodeWork<'l>],
    /// Number of pods that are neither bound to a node nor aimed at one.
    pub(crate) unassigned: usize,
    /// The nodes that are done, those of this look included.
    pub(crate) completed: &'l NodeSet,
    /// Number of nodes that have failed.
    pub(crate) failed: i32,
    /// Names of the nodes with pods of earlier DaemonSets of the Job.
    pub(crate) earlier: HashSet<&'l str>,
}

impl<'l> Look<'l> {
    pub(super) fn spec(&self) -> &'l JobSpec {
        self.observation.job.spec
    }

    pub(super) fn is_live(&self) -> bool {
        self.observation.source == Source::Live
    }

    /// Whether the DaemonSet controller works on the operator's own template, and on no earlier one.
    pub(super) fn is_up_to_date(&self) -> bool {
        let status = self.daemon_set.status.as_ref();
        let observed = status.and_then(|status| status.observed_generation);
        self.observation.trusts(self.daemon_set)
            && observed.is_some()
            && observed == self.daemon_set.metadata.generation
    }

    /// Whether each wanted node holds a pod that stays.
    pub(super) fn is_complete(&self) -> bool {
        let staying = self.staying().count();
        self.is_up_to_date()
            && is_caught_up(self.daemon_set, &self.observation.job.work_hash)
            && count(staying) >= wanted(self.daemon_set)
    }

    /// The nodes that hold a pod that stays.
    pub(super) fn staying(&self) -> impl Iterator<Item = &'l NodeWork<'l>> {
        self.nodes.iter().filter(|node| !node.is_leaving && node.state != WorkState::Gone)
    }

    /// Whether a pod of earlier work, or one that is being deleted, is on `node`.
    pub(super) fn has_earlier(&self, node: &NodeWork<'_>) -> bool {
        node.turn.has_earlier || self.earlier.contains(node.name)
    }
}
