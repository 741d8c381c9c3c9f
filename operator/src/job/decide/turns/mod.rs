//! Whose turn it is: which nodes of a Job start now.
//!
//! ```text
//! status ─→ Ledger ─ less those that are done or gone ─→ free places ─→ first candidates ─→ next status ─→ releases
//! ```
//!
//! A node enters the status before its pod is released, and its pod is released only once that status is known to
//! be stored. So as many nodes are at work as the Job allows, however old the caches are, and wherever the operator
//! is killed.

mod candidates;
pub(crate) mod gating;
pub(crate) mod ledger;
mod limit;
pub(crate) mod look;
pub(crate) mod order;
pub(crate) mod release;
pub(crate) mod waiting;
pub(crate) mod windows;

use api::job::{conditions::Reason, node_set::NodeSet};
use k8s_openapi::jiff::Timestamp;

use self::{
    candidates::{Candidates, first},
    ledger::Ledger,
    limit::limit,
    look::Look,
    release::Release,
    waiting::{Hold, Permission, Places, not_yet, permission, refused},
    windows::{Windows, windows},
};
use super::nodes::{NodeWork, WorkState};

/// The turns of the nodes of a Job.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Turns {
    /// The ledger for the next status.
    pub(crate) started_nodes: NodeSet,
    pub(crate) stopping_nodes: NodeSet,
    /// The pods to release once that status is stored: all of started nodes that wait.
    pub(crate) releases: Vec<Release>,
    /// Number of started nodes whose pods wait, as far as is known.
    pub(crate) starting: usize,
    /// Why the other nodes wait.
    pub(crate) hold: Option<Hold>,
    /// When to look again, should nothing happen before.
    pub(crate) look_at: Option<Timestamp>,
    /// Whether more nodes may start, which only a live observation decides.
    pub(crate) needs_live: bool,
}

/// Decides whose turn it is.
pub(crate) fn turns(look: &Look<'_>) -> Turns {
    let mut ledger = Ledger::of(&look.observation.job);
    let open = ledger.shrink(look);
    let (limit, before) = (limit(look), ledger.places_in_use(look));
    let permission = permission(look);
    let may_start = matches!(permission, Permission::Given);
    let Candidates { nodes, later } = Candidates::new(look, &ledger);
    let free = limit.filter(|_| may_start).map_or(0, |limit| limit.saturating_sub(before));
    let taken = first(nodes, free);
    taken.iter().filter_map(|node| node.member).for_each(|node| ledger.started.insert(node));

    let waiting = look.nodes.iter().filter(|node| node.state == WorkState::Waiting);
    let is_started =
        |node: &&NodeWork<'_>| node.member.is_some_and(|member| ledger.started.contains(member));
    let (mut starting, waiting): (Vec<_>, Vec<_>) = waiting.partition(is_started);
    starting.sort_unstable_by_key(|node| node.name);
    let places = Places { limit, in_use: before + taken.len(), done: open.done };
    let refused = refused(look).filter(|_| !starting.is_empty());
    let hold = refused.or_else(|| match permission {
        Permission::Withheld(hold) => hold.filter(|_| !waiting.is_empty()),
        Permission::Given => not_yet(look, &ledger, &places, later.as_ref(), &waiting),
    });
    let recorded = look.observation.job.status_of_work();
    let recorded = recorded.and_then(|status| status.started_nodes.as_ref());
    Turns {
        releases: starting.iter().filter_map(|node| Release::of(node, recorded)).collect(),
        starting: starting.len(),
        look_at: look_at(look, &hold, open.look_at),
        needs_live: taken.is_empty()
            && needs_live(look, &waiting, open.needs_live && may_start, hold.as_ref()),
        started_nodes: ledger.started,
        stopping_nodes: ledger.stopping,
        hold,
    }
}

/// When time alone may let nodes start, or keep them from it.
fn look_at(look: &Look<'_>, hold: &Option<Hold>, place: Option<Timestamp>) -> Option<Timestamp> {
    let hold = hold.as_ref()?;
    let closes = match windows(&look.spec().windows, look.observation.now) {
        Windows::Open { until } => until,
        Windows::Closed { .. } => None,
    };
    [hold.until, place, closes].into_iter().flatten().min().filter(|at| *at < Timestamp::MAX)
}

/// Whether a live observation may free what `waiting` nodes wait for.
///
/// A place is free when a node is gone. And nothing tells the DaemonSet controller that the node of a pod is gone that
/// waits: a live observation touches a pod, and so makes it look.
fn needs_live(
    look: &Look<'_>,
    waiting: &[&NodeWork<'_>],
    frees_places: bool,
    hold: Option<&Hold>,
) -> bool {
    let is_unknown = |node: &&NodeWork<'_>| node.node.is_none();
    let waits_for_unknown = || match hold {
        Some(hold) if hold.reason == Reason::OrderWaits => waiting.iter().any(is_unknown),
        _ => waiting.iter().all(is_unknown),
    };
    !look.is_live() && !waiting.is_empty() && (frees_places || waits_for_unknown())
}

#[cfg(test)]
mod tests;
