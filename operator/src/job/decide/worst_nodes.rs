//! The nodes that a status lists: those that are neither done nor waiting, the worst ones first.

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

/// Counts the nodes that are neither done nor waiting, and picks the first ones for the status.
///
/// It sorts no more than these of thousands. `known` is what the last status says, and `given_up` what pods say
/// that have gone since.
pub(crate) fn worst_nodes(
    mode: CompletionMode,
    nodes: &[NodeWork<'_>],
    known: &[NodeStatus],
    given_up: &[NodeStatus],
) -> (usize, Vec<NodeStatus>) {
    type Unfinished<'n> = (NodeState, &'n str, &'n Outcome);
    let unfinished = |node: &'_ NodeWork<'_>| match node.state {
        WorkState::Failed => Some(NodeState::Failed),
        WorkState::Active(state) => Some(state),
        WorkState::Completed | WorkState::Waiting | WorkState::Gone => None,
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
    let says = |node: &&NodeStatus| node.reason.is_some() || node.state == NodeState::Failed;
    let known = given_up.iter().chain(known.iter().filter(says));
    let known: HashMap<_, _> = known.map(|node| (node.name.as_str(), node)).collect();
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
        // Its last pod was gone before anybody looked at it: the one before it failed in the same way.
        Some(known)
            if has_failed
                && (says_nothing || is_success)
                && known.reason.as_deref() != Some(UNSCHEDULABLE) =>
        {
            let NodeStatus { reason, message, exit_code, .. } = known.clone();
            NodeStatus { reason, message, exit_code, ..status }
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
        None if has_failed && is_success => failed(status, " before it succeeded"),
        _ if has_failed && says_nothing => failed(status, "; its last pod is gone"),
        _ => status,
    }
}

fn failed(status: NodeStatus, when: &str) -> NodeStatus {
    let message = format!("failed more often than the Job tolerates{when}");
    NodeStatus { exit_code: None, reason: None, message: Some(message), ..status }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(state: NodeState, reason: Option<&str>, exit_code: Option<i32>) -> NodeStatus {
        NodeStatus {
            name: "a".to_owned(),
            state,
            reason: reason.map(str::to_owned),
            exit_code,
            ..NodeStatus::default()
        }
    }

    #[test]
    fn a_failed_node_whose_last_pod_is_gone_is_explained_by_the_pod_before() {
        let (failed, pending) = (NodeState::Failed, NodeState::Pending);
        let explain = |status: NodeStatus, known: Option<NodeStatus>| {
            let node = explained(CompletionMode::ExitCode, status, known.as_ref());
            (node.state, node.reason, node.exit_code, node.message.is_some())
        };
        let rejected = Some("SysctlForbidden".to_owned());
        for known in [failed, pending] {
            let known = Some(node(known, Some("SysctlForbidden"), None));
            for status in [node(failed, None, None), node(failed, Some("PodInitializing"), None)] {
                assert_eq!(explain(status, known.clone()), (failed, rejected.clone(), None, false));
            }
        }
        let crashed = Some(node(pending, Some("Error"), Some(3)));
        assert_eq!(
            explain(node(failed, Some("Completed"), Some(0)), crashed),
            (failed, Some("Error".to_owned()), Some(3), false)
        );
        let waited = Some(node(pending, Some(UNSCHEDULABLE), None));
        for known in [None, waited] {
            assert_eq!(explain(node(failed, None, None), known), (failed, None, None, true));
        }
        let own = node(failed, Some("Error"), Some(1));
        let known = Some(node(pending, Some("SysctlForbidden"), None));
        assert_eq!(explain(own, known), (failed, Some("Error".to_owned()), Some(1), false));
    }
}
