//! The nodes that a status lists: those that are not done, the worst ones first.

use std::collections::HashMap;

use api::{
    job::{CompletionMode, NodeState, NodeStatus},
    views::INITIALIZING,
};

use super::{
    nodes::{NodeWork, WorkState},
    outcome::Outcome,
};

/// Nodes that a status reports one by one: with messages of 256 bytes, some 40 KB.
pub(crate) const MAX_NODES: usize = 100;
/// Failed nodes whose output a status has: with 2 KiB each, 40 KB.
const MAX_OUTPUTS: usize = 20;
/// The scheduler's reason for a pod without a node. It is over when the pod has one.
const UNSCHEDULABLE: &str = "Unschedulable";

/// Counts the nodes that are not done, and picks the first ones for the status.
///
/// It sorts no more than these of thousands.
pub(crate) fn worst_nodes(
    mode: CompletionMode,
    nodes: &[NodeWork<'_>],
    known: &[NodeStatus],
) -> (usize, Vec<NodeStatus>) {
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
    let known: HashMap<_, _> = known.iter().map(|node| (node.name.as_str(), node)).collect();
    let status = |(state, name, outcome): Unfinished<'_>| {
        let report = outcome.report.clone();
        let status = NodeStatus { name: name.to_owned(), state, ..report };
        explained(mode, status, known.get(name).copied())
    };
    let mut listed: Vec<_> = unfinished.into_iter().map(status).collect();
    for node in listed.iter_mut().skip(MAX_OUTPUTS) {
        node.output = None;
    }
    (number, listed)
}

/// `status` of a node, with what the last status said of it where that explains more.
///
/// The kubelet goes on with a node that has failed: its next run may succeed, and its next pod has not begun.
fn explained(
    mode: CompletionMode,
    mut status: NodeStatus,
    known: Option<&NodeStatus>,
) -> NodeStatus {
    // The output is that of the run that has failed the node, whatever runs after it.
    if let Some(known) = known.filter(|known| known.state == NodeState::Failed) {
        status.output = known.output.clone().or(status.output);
    }
    let says_nothing = match status.reason.as_deref() {
        None => status.exit_code.is_none(),
        Some(reason) => INITIALIZING.contains(&reason),
    };
    let has_failed = status.state == NodeState::Failed;
    let is_success = mode == CompletionMode::ExitCode && status.exit_code == Some(0);
    let known = known.filter(|known| {
        known.reason.is_some() && known.exit_code.is_none_or(|code| code != 0 || !is_success)
    });
    match known {
        Some(known)
            if has_failed && known.state == NodeState::Failed && (says_nothing || is_success) =>
        {
            known.clone()
        }
        Some(known)
            if says_nothing
                && status.state == NodeState::Pending
                && known.exit_code.is_none()
                && known.reason.as_deref() != Some(UNSCHEDULABLE) =>
        {
            let (reason, message) = (known.reason.clone(), known.message.clone());
            NodeStatus { reason, message, ..status }
        }
        None if has_failed && is_success => {
            let message = "failed more often than the Job tolerates before it succeeded".to_owned();
            NodeStatus { exit_code: None, reason: None, message: Some(message), ..status }
        }
        _ => status,
    }
}
