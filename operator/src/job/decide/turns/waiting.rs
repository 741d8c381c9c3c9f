//! Why nodes wait for their turn.
//!
//! A changed message is a write of the status, so that messages leave out numbers that change with each node.

use api::{
    job::conditions::{self, Reason, WAITING},
    views::NodeView,
};
use k8s_openapi::jiff::Timestamp;

use super::{
    candidates::EarlierGroup,
    ledger::Ledger,
    limit::is_paused,
    look::Look,
    windows::{Windows, windows},
};
use crate::job::decide::{
    comparison::Comparison,
    names::join_names,
    nodes::{NodeWork, WorkState},
};

/// Why nodes wait.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Hold {
    pub(crate) reason: Reason,
    pub(crate) message: String,
    /// When that may be over.
    pub(super) until: Option<Timestamp>,
}

impl Hold {
    pub(super) fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into(), until: None }
    }
}

/// Whether nodes may start at all, if places are free.
pub(super) enum Permission {
    Given,
    /// Why not; none if that is about to be over.
    Withheld(Option<Hold>),
}

/// Whether nodes may start at all.
pub(super) fn permission(look: &Look<'_>) -> Permission {
    let comparison = look.observation.compare(look.daemon_set);
    match withheld(look) {
        None => Permission::Given,
        // The watch is about to show the DaemonSet as it was written.
        Some(hold) if hold.reason == Reason::DaemonSetDiffers => {
            Permission::Withheld(Some(hold).filter(|_| comparison != Comparison::Outdated))
        }
        hold => Permission::Withheld(hold),
    }
}

fn withheld(look: &Look<'_>) -> Option<Hold> {
    let spec = look.spec();
    if !look.observation.trusts(look.daemon_set) {
        let message = "the DaemonSet is not as the operator writes it";
        return Some(Hold::new(Reason::DaemonSetDiffers, message));
    }
    if let Some(max) = spec.max_failed_nodes.filter(|max| look.failed > *max) {
        let message = format!(
            "more nodes failed than the {max} of spec.maxFailedNodes; those at work run to their end"
        );
        return Some(Hold::new(Reason::TooManyFailed, message));
    }
    if is_paused(look) {
        return Some(Hold::new(Reason::Paused, "spec.parallelism is 0"));
    }
    if let Windows::Closed { until } = windows(&spec.windows, look.observation.now) {
        let message = match until {
            Some(until) => format!("next window opens at {until}"),
            None => "no window opens any more".to_owned(),
        };
        return Some(Hold { until, ..Hold::new(Reason::WindowClosed, message) });
    }
    if !spec.order.is_empty() && !look.observation.has_labels {
        let message = "labels of nodes that spec.order names are not known yet";
        return Some(Hold::new(Reason::LabelsUnknown, message));
    }
    None
}

/// Why pods of started nodes wait, as far as the API server has said.
///
/// It withholds nothing: one pod that is refused keeps its place, and holds up no other.
pub(super) fn refused(look: &Look<'_>) -> Option<Hold> {
    let refusal = look.observation.release_refusal.clone()?;
    Some(Hold::new(Reason::ReleaseRefused, refusal))
}

/// Places of a look, after nodes were started.
pub(super) struct Places {
    /// None: it is not known yet.
    pub(super) limit: Option<usize>,
    pub(super) in_use: usize,
    /// Number of those that nodes hold that are done.
    pub(super) done: usize,
}

/// Why `waiting` nodes wait if any may start.
pub(super) fn not_yet(
    look: &Look<'_>,
    ledger: &Ledger,
    places: &Places,
    later: Option<&EarlierGroup<'_>>,
    waiting: &[&NodeWork<'_>],
) -> Option<Hold> {
    if waiting.is_empty() {
        return None;
    }
    let limit = places.limit?;
    if places.in_use >= limit {
        return Some(no_place(look, ledger, places, limit));
    }
    if let Some(group) = later {
        return Some(Hold::new(Reason::OrderWaits, order_waits(group)));
    }
    let any = |is: fn(&NodeWork<'_>) -> bool| waiting.iter().any(|node| is(node));
    let holds = |node: &NodeWork<'_>| node.member.is_some_and(|member| ledger.holds(member));
    if waiting.iter().any(|node| holds(node) || look.earlier.contains(node.name)) {
        let message = "earlier work has not ended on the nodes that wait";
        return Some(Hold::new(Reason::PlacesInUse, message));
    }
    if any(|node| node.turn.waiting.is_some_and(|pod| pod.spec.gates.others)) {
        let message = "the pods that wait have scheduling gates of others";
        return Some(Hold::new(Reason::OtherGates, message));
    }
    let unreachable = waiting.iter().filter(|node| node.node.is_some_and(NodeView::is_unreachable));
    let mut unreachable: Vec<_> = unreachable.map(|node| node.name).collect();
    unreachable.sort_unstable();
    (!unreachable.is_empty()).then(|| {
        let message = format!("the nodes that wait are unreachable: {}", join_names(&unreachable));
        Hold::new(Reason::NodesUnreachable, message)
    })
}

/// Why nodes wait for a place.
fn no_place(look: &Look<'_>, ledger: &Ledger, places: &Places, limit: usize) -> Hold {
    let Places { in_use, done, .. } = *places;
    if done == in_use && done > 0 {
        let seconds = look.spec().min_ready_seconds.unwrap_or_default();
        let message = format!(
            "done nodes keep their places for the {seconds} s of spec.minReadySeconds, and until they are Ready"
        );
        return Hold::new(Reason::MinReadySeconds, message);
    }
    let mut message = match in_use > limit {
        false => format!("{in_use} of {limit} places in use"),
        true => format!("more places in use than {limit}"),
    };
    let has_failed = |node: &&NodeWork<'_>| {
        let holds = node.member.is_some_and(|member| ledger.holds(member));
        node.state == WorkState::Failed && (holds || node.turn.is_at_work)
    };
    let mut failed: Vec<_> = look.nodes.iter().filter(has_failed).collect();
    failed.sort_unstable_by_key(|node| node.name);
    let names: Vec<_> = failed.iter().map(|node| node.name).collect();
    match failed.first() {
        None => {}
        Some(node) if failed.len() == 1 => {
            message += &format!("; node {} failed and keeps its place", node.name);
        }
        Some(_) => {
            message += &format!("; nodes failed and keep their places: {}", join_names(&names));
        }
    }
    let explanation = failed.first().and_then(|node| node.outcome.report.message.as_deref());
    let message = match explanation.filter(|_| failed.len() == 1) {
        Some(explanation) => explained(look, message, explanation),
        None => message,
    };
    Hold::new(Reason::PlacesInUse, message)
}

/// `message` with an explanation; with that which the status has, if it has one.
///
/// Another run may end with another one.
fn explained(look: &Look<'_>, message: String, explanation: &str) -> String {
    let status = look.observation.job.status_of_work();
    let known = status.and_then(|status| conditions::find_true(&status.conditions, WAITING));
    let message = format!("{message}: ");
    match known.filter(|known| known.message.starts_with(&message)) {
        Some(known) => known.message.clone(),
        None => message + explanation,
    }
}

fn order_waits(group: &EarlierGroup<'_>) -> String {
    let Some(number) = group.number else {
        return "some nodes that may come first hold no pod yet".to_owned();
    };
    let mut message = format!("spec.order[{number}] comes first, and is not through");
    if !group.failed.is_empty() {
        message += &format!("; failed: {}", join_names(&group.failed));
    }
    if !group.unreachable.is_empty() {
        message += &format!("; unreachable: {}", join_names(&group.unreachable));
    }
    message
}
