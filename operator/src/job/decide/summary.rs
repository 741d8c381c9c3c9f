//! Conditions that sum up a status: they follow from its phase, its counts and its other conditions.
//!
//! The API conventions want `Complete` and `Failed` from the first look on. Tools that know nothing of Jobs (kstatus,
//! and with it Flux) look for `Reconciling` and `Stalled`.

use api::job::{
    JobStatus, Phase,
    conditions::{self, COMPLETE, FAILED, READY, RECONCILING, Reason, STALLED, SUSPENDED, WAITING},
};
use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Condition, jiff::Timestamp};

/// `status` with the conditions that sum it up.
///
/// Those that the stored status has as well, whose conditions are `known`, keep their time. All conditions are of the
/// generation that the status describes: kubectl waits for no condition of an earlier one.
pub(super) fn summed_up(mut status: JobStatus, known: &[Condition], now: Timestamp) -> JobStatus {
    let generation = status.observed_generation;
    let add = |status: &mut JobStatus, reason: Reason, message: String| {
        let mut condition = conditions::condition(reason, message, generation, now);
        let before = conditions::find(known, &condition.type_);
        if let Some(before) = before.filter(|before| before.status == condition.status) {
            condition.last_transition_time = before.last_transition_time.clone();
        }
        conditions::remove(&mut status.conditions, &condition.type_);
        status.conditions.push(condition);
    };
    for (type_, reason, message) in [
        (COMPLETE, Reason::NotComplete, "the Job is not complete"),
        (FAILED, Reason::NotFailed, "the Job has not failed"),
    ] {
        if conditions::find_true(&status.conditions, type_).is_none() {
            add(&mut status, reason, message.to_owned());
        }
    }
    conditions::remove(&mut status.conditions, RECONCILING);
    if let Some(message) = waits_for(&status) {
        add(&mut status, Reason::Progressing, message);
    }
    conditions::remove(&mut status.conditions, STALLED);
    let stalled = conditions::find_true(&status.conditions, FAILED).map(conditions::stalled);
    status.conditions.extend(stalled);
    for condition in &mut status.conditions {
        condition.observed_generation = generation;
    }
    conditions::sort(&mut status.conditions);
    status
}

/// What the Job waits for, unless it is finished, or cannot go on.
///
/// One that never completes waits for nothing while all its nodes are done.
fn waits_for(status: &JobStatus) -> Option<String> {
    let is_true = |type_| conditions::find_true(&status.conditions, type_).is_some();
    if [COMPLETE, FAILED, READY].into_iter().any(is_true) {
        return None;
    }
    let suspended = conditions::find(&status.conditions, SUSPENDED)
        .filter(|condition| Reason::of(condition) != Some(Reason::JobResumed));
    if let Some(suspended) = suspended {
        return Some(suspended.message.clone());
    }
    let progress = progress(status);
    let waiting = conditions::find_true(&status.conditions, WAITING);
    Some(waiting.map_or(progress.clone(), |waiting| format!("{progress}; {}", waiting.message)))
}

fn progress(status: &JobStatus) -> String {
    let JobStatus { succeeded, desired, failed, .. } = status;
    if status.phase != Some(Phase::Running) && *desired == 0 {
        return "no pod of the Job has been seen yet".to_owned();
    }
    let progress = format!("{succeeded} of {desired} nodes done");
    match failed {
        0 => progress,
        failed => format!("{progress}, {failed} failed"),
    }
}

/// Whether conditions differ by more than the progress that `Reconciling` tells.
pub(super) fn differ(current: &[Condition], next: &[Condition]) -> bool {
    let is_progress = |current: &Condition, next: &Condition| {
        let message = current.message.clone();
        next.type_ == RECONCILING && *current == Condition { message, ..next.clone() }
    };
    let is_same =
        |(current, next): (&Condition, &Condition)| current == next || is_progress(current, next);
    current.len() != next.len() || !current.iter().zip(next).all(is_same)
}

#[cfg(test)]
mod tests;
