//! The ledger of a Job: the nodes that hold a place.
//!
//! Places are counted here and not by pods: a cache of pods may show a pod that waits, and was released a moment
//! ago. A node enters the ledger before its pod is released, and leaves it for one of two reasons: its work is
//! done and recorded, or it has no pod that could do any.

use api::{
    job::node_set::{Member, NodeSet},
    views::NodeView,
};
use k8s_openapi::jiff::{SignedDuration, Timestamp};

use super::look::Look;
use crate::job::decide::{
    job_view::JobView,
    nodes::{NodeWork, WorkState},
};

/// Time within which the API server has handled a release, or never will.
///
/// It gives up a request after one minute.
/// <https://kubernetes.io/docs/reference/command-line-tools-reference/kube-apiserver/>
const LATE_RELEASE: SignedDuration = SignedDuration::from_mins(2);

/// The nodes that hold a place.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Ledger {
    /// Nodes that have leave to start.
    pub(crate) started: NodeSet,
    /// Nodes where earlier work may still run.
    pub(crate) stopping: NodeSet,
}

/// What a look at the ledger leaves open.
#[derive(Debug, Default)]
pub(super) struct Open {
    /// When the next node that is done may be so for long enough, or an unknown one is gone.
    pub(super) look_at: Option<Timestamp>,
    /// The caches call for nodes to leave, which only live observations decide.
    pub(super) needs_live: bool,
    /// Number of nodes that are done and keep their place for a while.
    pub(super) done: usize,
}

impl Open {
    fn look_at(&mut self, time: Timestamp) {
        self.look_at = self.look_at.into_iter().chain([time]).min();
    }
}

/// The place of a node that was started.
enum Place {
    Kept,
    /// The work is done, but not for long enough.
    Done(Option<Timestamp>),
    Free,
}

impl Ledger {
    /// The ledger that `job` has recorded.
    ///
    /// Nodes that were started for earlier work may still be stopping.
    pub(crate) fn of(job: &JobView<'_>) -> Self {
        let Some(status) = job.status else {
            return Self::default();
        };
        let started = status.started_nodes.clone().unwrap_or_default();
        let mut stopping = status.stopping_nodes.clone().unwrap_or_default();
        if job.status_of_work().is_some() {
            return Self { started, stopping };
        }
        stopping.extend(&started);
        Self { started: NodeSet::default(), stopping }
    }

    pub(super) fn holds(&self, node: Member) -> bool {
        self.started.contains(node) || self.stopping.contains(node)
    }

    /// Number of places in use.
    ///
    /// The work may run on nodes outside the ledger as well: somebody else has released a pod, or a node was
    /// registered anew while its pod runs.
    pub(super) fn places_in_use(&self, look: &Look<'_>) -> usize {
        let holds = |node: Option<Member>| node.is_some_and(|member| self.holds(member));
        let (mut at_work, mut in_both) = (look.unassigned + look.earlier.len(), 0);
        for node in look.nodes {
            let counts = node.turn.is_at_work && !look.earlier.contains(node.name);
            at_work += usize::from(counts);
            in_both += usize::from(counts && holds(node.member));
        }
        let of_earlier = look.earlier.iter().filter_map(|name| look.observation.nodes.get(*name));
        in_both += of_earlier.filter(|node| holds(node.member())).count();
        let only_stopping = self.stopping.iter().filter(|node| !self.started.contains(*node));
        at_work + self.started.len() + only_stopping.count() - in_both
    }

    /// Takes out the nodes that hold their place no longer.
    pub(super) fn shrink(&mut self, look: &Look<'_>) -> Open {
        let mut open = Open::default();
        let may_have_stopped = look.is_up_to_date();
        let mut seen = NodeSet::default();
        for node in look.nodes {
            let Some(member) = node.member.filter(|member| self.holds(*member)) else {
                continue;
            };
            seen.insert(member);
            if self.started.contains(member) {
                match place(look, node, member) {
                    Place::Kept => {}
                    Place::Done(until) => {
                        open.done += 1;
                        until.into_iter().for_each(|until| open.look_at(until));
                    }
                    Place::Free if look.is_live() || look.completed.contains(member) => {
                        self.started.remove(member);
                    }
                    // Its pod was bound to an earlier node: caches may show that one still.
                    Place::Free => open.needs_live = true,
                }
            }
            // The DaemonSet controller has created the next pod when the one before was gone. Caches may show a
            // DaemonSet that somebody has deleted since, and the pods that are stopping as those that do the work.
            // Work that was changed and changed back before that controller looked goes on.
            let has_stopped = may_have_stopped
                && !node.is_leaving
                && !node.turn.is_at_work
                && !look.has_earlier(node);
            if has_stopped && self.stopping.contains(member) {
                match look.is_live() {
                    true => self.stopping.remove(member),
                    false => open.needs_live = true,
                }
            }
        }
        let mut without_pods = Self::default();
        let is_unseen = |node: &Member| !seen.contains(*node);
        self.started.iter().filter(is_unseen).for_each(|node| without_pods.started.insert(node));
        self.stopping.iter().filter(is_unseen).for_each(|node| without_pods.stopping.insert(node));
        self.take_out(without_pods.gone(look, &mut open), look, &mut open);
        open
    }

    /// The nodes of these, which hold no pod, that are gone: from the cluster, or from those that the DaemonSet
    /// wants.
    fn gone(mut self, look: &Look<'_>, open: &mut Open) -> Self {
        let mut gone = Self::default();
        if self == gone {
            return gone;
        }
        let (is_complete, is_up_to_date) = (look.is_complete(), look.is_up_to_date());
        for (name, node) in look.observation.nodes.iter() {
            let Some(member) = node.member().filter(|member| self.holds(*member)) else {
                continue;
            };
            let has_earlier = look.earlier.contains(&**name);
            if is_complete && self.started.contains(member) && !has_earlier {
                gone.started.insert(member);
            }
            if is_up_to_date && self.stopping.contains(member) && !has_earlier {
                gone.stopping.insert(member);
            }
            self.started.remove(member);
            self.stopping.remove(member);
        }
        // These are no nodes any more. Their names are not known, so that any pod may be theirs that is older than
        // the node of its name.
        let older = || look.nodes.iter().filter(|node| node.turn.may_be_of_earlier_node);
        if look.earlier.is_empty() && !older().any(|node| node.turn.has_earlier) {
            gone.stopping.extend(&self.stopping);
        }
        // Nor is the age of a pod that waits: a process whose cache of nodes was late may have released it for the
        // node before, so that the age of its node decides.
        let waiting = look.nodes.iter().filter(|node| node.turn.waiting.is_some());
        let until = waiting.filter_map(|node| node.node.map_or(Some(Timestamp::MAX), forgotten_at));
        match until.filter(|until| *until > look.observation.now).max() {
            Some(until) if !self.started.is_empty() => open.look_at(until),
            _ => gone.started.extend(&self.started),
        }
        gone
    }

    /// Takes out nodes that are `gone`, unless caches alone say so.
    fn take_out(&mut self, gone: Self, look: &Look<'_>, open: &mut Open) {
        if look.is_live() {
            self.started.retain(|node| !gone.started.contains(node));
            self.stopping.retain(|node| !gone.stopping.contains(node));
        } else {
            open.needs_live |= gone != Self::default();
        }
    }
}

/// The place of `node`, which was started.
fn place(look: &Look<'_>, node: &NodeWork<'_>, member: Member) -> Place {
    let is_recorded = look.completed.contains(member);
    if node.state != WorkState::Completed || !is_recorded && node.is_leaving {
        return Place::Kept;
    }
    let seconds = look.spec().min_ready_seconds.unwrap_or_default();
    if seconds == 0 {
        return Place::Free;
    }
    // The next pod is created when the one that was done is gone.
    let next = node.turn.waiting.and_then(|pod| pod.metadata.creation_timestamp.as_ref());
    let done_at = node.outcome.done_at.or(next.map(|time| time.0));
    let delay = SignedDuration::from_secs(seconds.into());
    let until = done_at.and_then(|time| time.checked_add(delay).ok());
    match until {
        Some(until) if until <= look.observation.now => match node.node {
            Some(node) if node.is_ready() => Place::Free,
            _ => Place::Done(None),
        },
        until => Place::Done(until),
    }
}

/// When no release can be under way any more that was meant for an earlier node of the name of `node`.
fn forgotten_at(node: &NodeView) -> Option<Timestamp> {
    node.metadata.creation_timestamp.as_ref()?.0.checked_add(LATE_RELEASE).ok()
}
