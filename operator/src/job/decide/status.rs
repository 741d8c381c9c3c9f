//! The status of a Job: how it is derived, and when it is worth a write.

use std::{borrow::Cow, time::Duration};

use api::job::{
    JobStatus, Phase,
    conditions::{self, COMPLETE, FAILED, Reason},
};
use k8s_openapi::{
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time},
    jiff::Timestamp,
};

use super::{applied::Applied, job_view::JobView, progress::Progress};

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
    let fresh = || JobStatus { work_hash: Some(job.work_hash.clone()), ..JobStatus::default() };
    acknowledged(job.status_of_work().cloned().unwrap_or_else(fresh), job, now)
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
    let has_begun = progress.active + progress.succeeded + progress.failed > 0;
    status.phase = Some(if has_begun { Phase::Running } else { Phase::Pending });
    for end in [COMPLETE, FAILED] {
        conditions::remove(&mut status.conditions, end);
    }
    counted(status, progress)
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
    with_condition(status, reason, message, now)
}

/// The status of a Job that cannot be decoded for `error`.
///
/// It is the same each time, for the status before it cannot be decoded either.
pub(crate) fn undecodable(job: &ObjectMeta, error: &str) -> JobStatus {
    let status = JobStatus { observed_generation: job.generation, ..JobStatus::default() };
    let since = job.creation_timestamp.as_ref().map_or(Timestamp::UNIX_EPOCH, |time| time.0);
    blocked(status, Reason::InvalidSpec, error.to_owned(), since)
}

fn counted(mut status: JobStatus, progress: Progress) -> JobStatus {
    status.desired = progress.desired;
    status.active = progress.active;
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

/// The part of a status that the operator writes: all but the conditions of others.
pub(crate) fn ours(status: &JobStatus) -> Cow<'_, JobStatus> {
    if status.conditions.iter().all(conditions::is_ours) {
        return Cow::Borrowed(status);
    }
    let mut status = status.clone();
    status.conditions.retain(conditions::is_ours);
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
        && current.conditions == next.conditions
        && current.observed_generation == next.observed_generation
        // By the time of a later write the pod whose runs these are may be gone.
        && current.failed_runs == next.failed_runs
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

#[cfg(test)]
mod tests {
    use api::job::{Job, work_hash};
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

    use super::*;
    use crate::job::decide::worst_nodes::MAX_NODES;

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    fn status(succeeded: i32) -> JobStatus {
        JobStatus { phase: Some(Phase::Running), succeeded, ..JobStatus::default() }
    }

    #[test]
    fn an_unchanged_status_is_not_written() {
        assert_eq!(when_to_write(Some(&status(1)), &status(1), None, NOW), Write::Never);
    }

    #[test]
    fn progress_is_written_at_most_once_a_second() {
        let ago = |millis| Some(Duration::from_millis(millis));
        let write = |since_last| when_to_write(Some(&status(1)), &status(2), since_last, NOW);
        assert_eq!(write(ago(300)), Write::After(Duration::from_millis(700)));
        assert_eq!(write(ago(1000)), Write::Now);
        assert_eq!(write(None), Write::Now);
    }

    #[test]
    fn progress_of_a_job_that_runs_for_long_is_written_less_often() {
        let wait = |seconds: i64| {
            let start_time = Timestamp::from_second(-seconds).ok().map(Time);
            let next = JobStatus { start_time, ..status(2) };
            when_to_write(Some(&status(1)), &next, Some(Duration::ZERO), NOW)
        };
        let after = |seconds| Write::After(Duration::from_secs(seconds));
        assert_eq!([10, 60, 3600].map(wait), [after(1), after(3), after(5)]);
    }

    #[test]
    fn a_changed_phase_is_written_at_once() {
        let done = JobStatus { phase: Some(Phase::Completed), ..status(3) };
        assert_eq!(when_to_write(Some(&status(2)), &done, Some(Duration::ZERO), NOW), Write::Now);
        assert_eq!(when_to_write(None, &done, Some(Duration::ZERO), NOW), Write::Now);
    }

    #[test]
    fn conditions_of_others_are_neither_taken_over_nor_a_change() {
        let others = conditions::condition(Reason::InvalidSpec, String::new(), None, NOW);
        let others = Condition { type_: "Audited".to_owned(), ..others };
        let hash = Some(work_hash::hash(&Job::default().spec));
        let status = JobStatus { conditions: vec![others], work_hash: hash, ..status(1) };
        let job = Job { status: Some(status.clone()), ..Job::default() };
        assert_eq!(base(&JobView::new(&job), NOW).conditions, []);
        let next = JobStatus { conditions: Vec::new(), ..status.clone() };
        assert_eq!(when_to_write(Some(&status), &next, None, NOW), Write::Never);
    }

    #[test]
    fn a_job_that_nobody_has_looked_at_is_written_to_at_once() {
        let never = JobStatus { observed_generation: Some(-1), ..JobStatus::default() };
        let job =
            Job { status: Some(never.clone()), ..Job::new("j", api::job::JobSpec::default()) };
        let job = JobView::new(&job);
        for next in [base(&job, NOW), kept(&job, NOW)] {
            assert!(
                next.start_time.is_some() && next.observed_generation == job.metadata.generation
            );
            let next = running(next, Progress::default());
            let write = when_to_write(Some(&never), &next, Some(Duration::ZERO), NOW);
            assert_eq!(write, Write::Now);
        }
    }

    #[test]
    fn the_status_of_other_work_is_not_built_on() {
        let other = JobStatus { work_hash: Some("other".into()), ..status(3) };
        let job = Job { status: Some(other), ..Job::default() };
        let base = base(&JobView::new(&job), NOW);
        assert_eq!((base.succeeded, base.phase), (0, None));
        assert_eq!(base.work_hash, Some(work_hash::hash(&job.spec)));
    }

    #[test]
    fn the_status_of_five_thousand_nodes_is_far_from_the_limit_of_etcd() {
        let mut progress = Progress { desired: 10_000, ..Progress::default() };
        for node in 0..5000 {
            let name = format!("ip-10-0-{node}.eu-central-1.compute.internal");
            progress.completed_nodes.insert(&name);
            let message = Some("x".repeat(256));
            let reason = Some("CreateContainerConfigError".to_owned());
            let node = api::job::NodeStatus { name, reason, message, ..Default::default() };
            progress.nodes.push(node);
        }
        progress.nodes.truncate(MAX_NODES);
        let status = running(JobStatus::default(), progress);
        let size = serde_json::to_string(&status).unwrap().len();
        assert!(size < 100_000, "{size} bytes of the 1.5 MiB that etcd takes");
    }

    #[test]
    fn durations_read_as_kubectls() {
        let format = |seconds| format_duration(Duration::from_secs(seconds));
        assert_eq!([7, 72, 7260].map(format), ["7s", "1m12s", "2h1m"]);
    }
}
