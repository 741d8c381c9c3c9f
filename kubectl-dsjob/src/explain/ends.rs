//! Causes of Jobs that have ended, or have not begun by somebody's will.

use api::job::{
    DeletionPolicy,
    conditions::{COMPLETE, FAILED, Reason},
};

use super::check::Check;
use crate::{
    model::{evidence::Evidence, finding::Finding, nodes::State},
    render::text,
};

pub(super) const CHECKS: &[Check] = &[
    Check { name: "NodesFailed", find: nodes_failed },
    Check { name: "DeadlineExceeded", find: deadline_exceeded },
    Check { name: "NoMatchingNodes", find: no_matching_nodes },
    Check { name: "DeletesItself", find: deletes_itself },
];

/// How a Job that has failed is run again.
fn again(evidence: &Evidence) -> String {
    let name = &evidence.model.name;
    format!(
        "fix the work, which starts it again, or run it again as it is: kubectl dsjob retry {name} --failed-only"
    )
}

fn nodes_failed(evidence: &Evidence) -> Option<Finding> {
    let condition = evidence.condition(FAILED)?;
    let cause = match Reason::of(condition)? {
        Reason::NodesFailed => "Nodes failed more often than backoffLimitPerNode tolerates",
        Reason::MaxFailedNodesExceeded => "More nodes failed than maxFailedNodes tolerates",
        _ => return None,
    };
    let failed = evidence.model.nodes.iter().filter(|node| node.state == State::Failed);
    let names = failed.map(|node| node.name.clone()).collect();
    Some(Finding::problem(cause).quote(&condition.message).nodes(names).cure(again(evidence)))
}

fn deadline_exceeded(evidence: &Evidence) -> Option<Finding> {
    let condition = evidence.condition(FAILED)?;
    (Reason::of(condition)? == Reason::DeadlineExceeded).then_some(())?;
    let deadline = text::duration(evidence.model.deadline_seconds.unwrap_or_default());
    let cause = format!("The Job was not done within activeDeadlineSeconds, {deadline}");
    Some(Finding::problem(cause).quote(&condition.message).cure(again(evidence)))
}

fn no_matching_nodes(evidence: &Evidence) -> Option<Finding> {
    let condition = evidence.condition(COMPLETE)?;
    (Reason::of(condition)? == Reason::NoMatchingNodes).then_some(())?;
    Some(
        Finding::problem(
            "No node matches the node selector and affinity in template, so nothing has run",
        )
        .quote(&condition.message)
        .cure(format!(
            "fix the selector, which starts it again, or label nodes and run it again: kubectl dsjob retry {}",
            evidence.model.name
        )),
    )
}

fn deletes_itself(evidence: &Evidence) -> Option<Finding> {
    let event = evidence.event("DeletesItself")?;
    // The event stays after an edit.
    (evidence.job.spec.deletion_policy == DeletionPolicy::Delete).then_some(())?;
    Some(
        Finding::warning("The Job runs again and again: what has applied it creates it again")
            .quote(&event.message)
            .cure(
                "set deletionPolicy: Retain where the Job is kept, and no ttlSecondsAfterFinished",
            ),
    )
}
