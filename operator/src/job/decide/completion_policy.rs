//! `spec.completionPolicy`: a Job that never completes stays for nodes that join.

use api::job::{
    CompletionPolicy, JobSpec, JobStatus,
    conditions::{self, COMPLETE, FAILED, READY, Reason, SUSPENDED},
};

use super::{
    gone_nodes,
    observation::{Observation, Source},
    progress::Progress,
};

/// Whether a Job may end for `reason`.
///
/// One that never completes does not end because its nodes have ended.
pub(super) fn ends(spec: &JobSpec, reason: Reason) -> bool {
    let of_nodes =
        matches!(reason, Reason::Completed | Reason::NoMatchingNodes | Reason::NodesFailed);
    spec.completion_policy == CompletionPolicy::Always || !of_nodes
}

/// `status` without an end that its Job does not have any more, because its policy was edited.
pub(super) fn reopened(spec: &JobSpec, mut status: JobStatus) -> JobStatus {
    let end = conditions::finished(&status.conditions).and_then(Reason::of);
    if end.is_some_and(|reason| !ends(spec, reason)) {
        conditions::remove(&mut status.conditions, COMPLETE);
        conditions::remove(&mut status.conditions, FAILED);
        (status.completion_time, status.duration) = (None, None);
    }
    status
}

/// Whether cached objects do not suffice.
///
/// They may be too old to say that every wanted node is done, or that a node is gone.
pub(super) fn needs_live(observation: &Observation<'_>, progress: &Progress) -> bool {
    let spec = observation.job.spec;
    let known = observation.job.status.map_or(&[][..], |status| &status.conditions);
    let is_news = is_ready(progress) && conditions::find_true(known, READY).is_none();
    spec.completion_policy == CompletionPolicy::Never
        && observation.source == Source::Caches
        && (is_news || gone_nodes::are_many(observation))
}

/// Drops the nodes that are gone from the results of a Job that never completes, if they are many.
pub(super) fn drop_gone_nodes(observation: &Observation<'_>, progress: &mut Progress) {
    if observation.source == Source::Live && gone_nodes::are_many(observation) {
        gone_nodes::drop_from(&mut progress.completed_nodes, observation);
        gone_nodes::drop_from(&mut progress.failed_nodes, observation);
    }
}

/// `status` with the condition Ready of a Job that never completes.
pub(super) fn assessed(
    observation: &Observation<'_>,
    progress: &Progress,
    mut status: JobStatus,
) -> JobStatus {
    if observation.job.spec.completion_policy == CompletionPolicy::Never {
        let (reason, message) = readiness(progress);
        set(&mut status, observation, reason, message);
    }
    status
}

fn is_ready(progress: &Progress) -> bool {
    progress.has_ended && progress.failed == 0
}

fn readiness(progress: &Progress) -> (Reason, String) {
    if is_ready(progress) && progress.desired == 0 {
        return (Reason::NoNodesWanted, "no node matches now".to_owned());
    }
    if is_ready(progress) {
        return (Reason::AllNodesDone, "every wanted node is done".to_owned());
    }
    let message = match progress.failed {
        0 => "some wanted nodes are not done".to_owned(),
        _ => format!("failed on: {}", progress.failed_names()),
    };
    (Reason::NodesNotDone, message)
}

/// `status` with the condition Ready that fits its other conditions.
pub(super) fn settled(observation: &Observation<'_>, mut status: JobStatus) -> JobStatus {
    if observation.job.spec.completion_policy == CompletionPolicy::Always {
        conditions::remove(&mut status.conditions, READY);
        return status;
    }
    let is_true = |type_| conditions::find_true(&status.conditions, type_).is_some();
    let suspended = conditions::find(&status.conditions, SUSPENDED).and_then(Reason::of);
    if is_true(FAILED) {
        let message = "the condition Failed says why the Job does not go on".to_owned();
        set(&mut status, observation, Reason::NotRunning, message);
    } else if is_true(SUSPENDED) || suspended == Some(Reason::PodsStopping) {
        set(&mut status, observation, Reason::NotRunning, "the Job is suspended".to_owned());
    } else if conditions::find(&status.conditions, READY).and_then(Reason::of)
        == Some(Reason::NotRunning)
        || conditions::find(&status.conditions, READY).is_none()
    {
        let (reason, message) = readiness(&Progress::default());
        set(&mut status, observation, reason, message);
    }
    status
}

fn set(status: &mut JobStatus, observation: &Observation<'_>, reason: Reason, message: String) {
    let generation = observation.job.metadata.generation;
    let condition = conditions::condition(reason, message, generation, observation.now);
    conditions::set(&mut status.conditions, condition);
}
