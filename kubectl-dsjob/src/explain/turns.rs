//! Causes of nodes that wait: suspension, parallelism, windows, order.

use api::job::conditions::{Reason, SUSPENDED, WAITING};

use super::check::Check;
use crate::model::{evidence::Evidence, finding::Finding, nodes::State};

pub(super) const CHECKS: &[Check] = &[
    Check { name: "Suspended", find: suspended },
    Check { name: "Waiting", find: waiting },
    Check { name: "FailedKeepPlaces", find: failed_keep_places },
];

fn suspended(evidence: &Evidence) -> Option<Finding> {
    let condition = evidence.any_condition(SUSPENDED);
    let is_suspended = condition.is_some_and(|condition| condition.status == "True");
    if !evidence.job.spec.is_suspended() && !is_suspended {
        return None;
    }
    let resume = format!("kubectl dsjob resume {}", evidence.model.name);
    let (cause, cure) = match is_suspended {
        true => ("The Job is suspended: nothing of it runs", resume),
        false => (
            "The Job is being suspended: its pods are stopped",
            format!(
                "wait, or {resume}; a pod on a lost node goes when the node is back or deleted"
            ),
        ),
    };
    let finding = Finding::warning(cause).cure(cure);
    Some(condition.iter().fold(finding, |finding, condition| finding.quote(&condition.message)))
}

fn waiting(evidence: &Evidence) -> Option<Finding> {
    let condition = evidence.any_condition(WAITING)?;
    let reason = Reason::of(condition);
    if condition.status != "True" && reason != Some(Reason::NotGated) {
        return None;
    }
    let (is_wrong, cause, cure) = match reason {
        Some(Reason::Paused) => {
            (true, "parallelism is 0, so no further node starts", "raise parallelism")
        }
        Some(Reason::WindowClosed) => (
            false,
            "no window is open in which nodes start",
            "wait for the next window, or change windows",
        ),
        Some(Reason::OrderWaits) => (
            false,
            "an earlier group of order is not through",
            "see what that group waits for; a failed node of it counts only within maxFailedNodes",
        ),
        Some(Reason::MinReadySeconds) => {
            (false, "a node that is done keeps its place for minReadySeconds", "wait")
        }
        Some(Reason::NodesUnreachable) => (
            true,
            "the control plane has lost those whose turn it is",
            "bring the nodes back, or delete them: kubectl delete node NAME",
        ),
        Some(Reason::DaemonSetDiffers) => (
            true,
            "somebody has changed the Job's DaemonSet",
            "have that tool leave the DaemonSet alone; the operator puts it back",
        ),
        Some(Reason::NotGated) => (
            true,
            "fields of a rollout were set while the Job ran, and count from the next change of the work",
            "kubectl dsjob suspend and then resume, and they count at once",
        ),
        Some(Reason::LabelsUnknown) => {
            (false, "labels of nodes that order names are not known yet", "wait a moment")
        }
        Some(Reason::TooManyFailed) => (
            true,
            "more nodes failed than maxFailedNodes tolerates, and no further one starts",
            "change the work, or raise maxFailedNodes",
        ),
        Some(Reason::ReleaseRefused) => (
            true,
            "the API server refuses to let their pods start",
            "give the operator the right to patch pods by applying deploy/30-rbac.yaml anew; except its \
             service account from a webhook or policy that is quoted",
        ),
        Some(Reason::OtherGates) => (
            true,
            "their pods have scheduling gates of somebody else",
            "see schedulingGates of the pods, and ask the owner of the gate",
        ),
        _ => {
            (false, "as many nodes are at work as parallelism allows", "wait, or raise parallelism")
        }
    };
    let cause = format!("Nodes wait for their turn: {cause}");
    let finding = if is_wrong { Finding::problem(cause) } else { Finding::info(cause) };
    Some(finding.quote(&condition.message).cure(cure))
}

fn failed_keep_places(evidence: &Evidence) -> Option<Finding> {
    let condition = evidence.condition(WAITING)?;
    let is_it = condition.reason == "PlacesInUse" && condition.message.contains("keeps its place");
    let failed = evidence.model.nodes.iter().filter(|node| node.state == State::Failed);
    let nodes: Vec<_> = failed.map(|node| node.name.clone()).collect();
    is_it.then(|| {
        Finding::problem(
            "Failed nodes keep their places, so that a bad change does not reach every node",
        )
        .nodes(nodes)
        .cure("change the work, or let the others go on: raise maxFailedNodes or parallelism")
    })
}
