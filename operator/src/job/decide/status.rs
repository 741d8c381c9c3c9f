//! The status of a Job: how it is derived, and when it is worth a write.

use std::{borrow::Cow, time::Duration};

use api::job::{
    JobStatus, Phase,
    conditions::{self, COMPLETE, FAILED, Reason, SUSPENDED, WAITING},
    node_set::NodeSet,
};
use k8s_openapi::{
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time},
    jiff::Timestamp,
};

use super::{
    applied::Applied,
    daemon_set::Gating,
    job_view::JobView,
    progress::Progress,
    summary::{differ, summed_up},
    turns::{Turns, ledger::Ledger, waiting::Hold},
};

/// Shortest time between two writes of progress.
///
/// The operator writes changes of phase and conditions at once.
const SHORTEST_INTERVAL: Duration = Duration::from_secs(1);
/// Longest time between two writes of progress.
///
/// Each write carries the set of all completed nodes, to the API server, to etcd and to all watches.
pub(crate) const LONGEST_INTERVAL: Duration = Duration::from_secs(5);
/// Between the bounds the interval is 1/20 of the Job's age.
const INTERVALS_PER_AGE: u32 = 20;

/// The status to build on: that of the Job, unless it describes other work.
pub(crate) fn base(job: &JobView<'_>, now: Timestamp) -> JobStatus {
    acknowledged(job.status_of_work().cloned().unwrap_or_else(|| fresh(job)), job, now)
}

/// A status for other work than that of the Job: a Job stays suspended, whatever its work.
///
/// And nodes keep the places of that other work until it has ended there.
fn fresh(job: &JobView<'_>) -> JobStatus {
    let suspended = job.status.and_then(|it| conditions::find(&it.conditions, SUSPENDED));
    JobStatus {
        work_hash: Some(job.work_hash.clone()),
        stopping_nodes: Some(Ledger::of(job).stopping).filter(|nodes| !nodes.is_empty()),
        conditions: suspended.into_iter().cloned().collect(),
        ..JobStatus::default()
    }
}

/// The status to build on when the spec is invalid: always that of the Job.
pub(crate) fn kept(job: &JobView<'_>, now: Timestamp) -> JobStatus {
    acknowledged(job.status.cloned().unwrap_or_default(), job, now)
}

fn acknowledged(mut status: JobStatus, job: &JobView<'_>, now: Timestamp) -> JobStatus {
    status.conditions.retain(conditions::is_ours);
    status.start_time.get_or_insert(Time(now));
    status.observed_generation = job.metadata.generation;
    status
}

/// `status` with a condition for an edit of the DaemonSet, or without one.
///
/// It stays as long as the edit is recent, or goes on.
pub(crate) fn edited(
    mut status: JobStatus,
    applied: Option<&Applied>,
    now: Timestamp,
) -> JobStatus {
    match applied.and_then(Applied::edit) {
        Some(message) => conditions::set(
            &mut status.conditions,
            conditions::daemon_set_edited(message, status.observed_generation, now),
        ),
        None => conditions::remove(&mut status.conditions, conditions::DAEMON_SET_EDITED),
    }
    status
}

/// `status` of a Job that runs, or is about to.
pub(crate) fn running(mut status: JobStatus, progress: Progress) -> JobStatus {
    let with_pods = [progress.active, progress.waiting, progress.succeeded, progress.failed];
    let has_begun = with_pods.into_iter().any(|nodes| nodes > 0);
    status.phase = Some(if has_begun { Phase::Running } else { Phase::Pending });
    for end in [COMPLETE, FAILED] {
        conditions::remove(&mut status.conditions, end);
    }
    counted(status, progress)
}

/// `status` of a Job whose DaemonSet has this gating: nodes are started if they take turns.
///
/// Otherwise those that were started may be stopping, for when nodes take turns again.
pub(crate) fn gated(mut status: JobStatus, gating: Gating) -> JobStatus {
    if gating == Gating::Turn {
        status.started_nodes.get_or_insert_default();
    } else if let Some(started) = status.started_nodes.take().filter(|nodes| !nodes.is_empty()) {
        status.stopping_nodes.get_or_insert_default().extend(&started);
    }
    status
}

/// `status` with the ledger of `turns`, which are those of a Job whose nodes take turns.
pub(crate) fn with_turns(mut status: JobStatus, turns: &Turns) -> JobStatus {
    status.started_nodes = Some(turns.started_nodes.clone());
    status.stopping_nodes =
        Some(turns.stopping_nodes.clone()).filter(|nodes: &NodeSet| !nodes.is_empty());
    status
}

/// `status` with the reason why nodes wait, if they do.
pub(crate) fn waiting(mut status: JobStatus, hold: Option<&Hold>, now: Timestamp) -> JobStatus {
    match hold {
        Some(Hold { reason, message, .. }) => conditions::set(
            &mut status.conditions,
            conditions::condition(*reason, message.clone(), status.observed_generation, now),
        ),
        None => conditions::remove(&mut status.conditions, WAITING),
    }
    status
}

/// `status` of a Job that is finished for `reason`.
pub(crate) fn finished(
    status: JobStatus,
    progress: Progress,
    reason: Reason,
    message: String,
    now: Timestamp,
) -> JobStatus {
    let mut status = counted(status, progress);
    conditions::remove(&mut status.conditions, conditions::DAEMON_SET_EDITED);
    conditions::remove(&mut status.conditions, WAITING);
    if reason.condition() == COMPLETE {
        status.phase = Some(Phase::Completed);
        status.completion_time = Some(Time(now));
    } else {
        status.phase = Some(Phase::Failed);
    }
    let since = status.start_time.as_ref().map_or(now, |start| start.0);
    status.duration = Some(format_duration(now.duration_since(since).unsigned_abs()));
    with_condition(status, reason, message, now)
}

/// `status` of a Job that cannot go on for a `reason` that may lift.
///
/// Counts stay as they were.
pub(crate) fn blocked(
    mut status: JobStatus,
    reason: Reason,
    message: String,
    now: Timestamp,
) -> JobStatus {
    status.phase = Some(Phase::Failed);
    conditions::remove(&mut status.conditions, WAITING);
    with_condition(status, reason, message, now)
}

/// The status of a Job that cannot be decoded for `error`.
///
/// It is the same each time, for the status before it cannot be decoded either.
pub(crate) fn undecodable(job: &ObjectMeta, error: &str) -> JobStatus {
    let status = JobStatus { observed_generation: job.generation, ..JobStatus::default() };
    let since = job.creation_timestamp.as_ref().map_or(Timestamp::UNIX_EPOCH, |time| time.0);
    summed_up(blocked(status, Reason::InvalidSpec, error.to_owned(), since), &[], since)
}

fn counted(mut status: JobStatus, progress: Progress) -> JobStatus {
    status.desired = progress.desired;
    status.active = progress.active;
    status.waiting = progress.waiting;
    status.succeeded = progress.succeeded;
    status.failed = progress.failed;
    status.completed = Some(format!("{}/{}", progress.succeeded, progress.desired));
    status.nodes = progress.nodes;
    status.completed_nodes = Some(progress.completed_nodes).filter(|set| !set.is_empty());
    status.failed_nodes = Some(progress.failed_nodes).filter(|set| !set.is_empty());
    status.failed_runs = Some(progress.failed_runs).filter(|runs| !runs.is_empty());
    status
}

/// `status` with the condition for `reason`. A Job is not both complete and failed.
fn with_condition(
    mut status: JobStatus,
    reason: Reason,
    message: String,
    now: Timestamp,
) -> JobStatus {
    let condition = conditions::condition(reason, message, status.observed_generation, now);
    let other = if condition.type_ == COMPLETE { FAILED } else { COMPLETE };
    conditions::remove(&mut status.conditions, other);
    conditions::set(&mut status.conditions, condition);
    status
}

/// A duration as kubectl shows that of a Job.
fn format_duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match (hours, minutes) {
        (0, 0) => format!("{seconds}s"),
        (0, _) => format!("{minutes}m{seconds}s"),
        _ => format!("{hours}h{minutes}m"),
    }
}

/// The part of a status that the operator writes: all but the conditions of others, in its own order.
pub(crate) fn ours(status: &JobStatus) -> Cow<'_, JobStatus> {
    let all = &status.conditions;
    if all.iter().all(conditions::is_ours) && conditions::are_sorted(all) {
        return Cow::Borrowed(status);
    }
    let mut status = status.clone();
    status.conditions.retain(conditions::is_ours);
    conditions::sort(&mut status.conditions);
    Cow::Owned(status)
}

/// When to write a status.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Write {
    /// Nothing changed.
    Never,
    /// At once.
    Now,
    /// After this time, with what it will be by then.
    After(Duration),
}

/// When to replace `current` by `next`.
///
/// The last write was `since_last` ago.
pub(crate) fn when_to_write(
    current: Option<&JobStatus>,
    next: &JobStatus,
    since_last: Option<Duration>,
    now: Timestamp,
) -> Write {
    let Some(current) = current.map(ours) else {
        return Write::Now;
    };
    if *current == *next {
        return Write::Never;
    }
    let only_progress = current.phase == next.phase
        && !differ(&current.conditions, &next.conditions)
        && current.observed_generation == next.observed_generation
        // By the time of a later write the pod whose runs these are may be gone.
        && current.failed_runs == next.failed_runs
        // Pods wait for that.
        && !has_grown(current.started_nodes.as_ref(), next.started_nodes.as_ref())
        && !has_grown(current.stopping_nodes.as_ref(), next.stopping_nodes.as_ref())
        && current.work_hash == next.work_hash;
    let started = next.start_time.as_ref().map_or(now, |time| time.0);
    // Zero when the clock was set back.
    let running = Duration::try_from(now.duration_since(started)).unwrap_or_default();
    let interval = (running / INTERVALS_PER_AGE).clamp(SHORTEST_INTERVAL, LONGEST_INTERVAL);
    match since_last.and_then(|since| interval.checked_sub(since)) {
        Some(rest) if only_progress && !rest.is_zero() => Write::After(rest),
        _ => Write::Now,
    }
}

/// Whether `next` has a node that `current` has not, or is there for the first time.
fn has_grown(current: Option<&NodeSet>, next: Option<&NodeSet>) -> bool {
    match (current, next) {
        (_, None) => false,
        (None, Some(_)) => true,
        (Some(current), Some(next)) => !current.is_superset(next),
    }
}

#[cfg(test)]
mod tests;
