//! The status of a Job: how it is derived, and when it is worth a write.

use std::{borrow::Cow, time::Duration};

use api::{
    conditions::{self, Reason},
    v1beta1::{Job, JobStatus, Phase},
    work,
};
use k8s_openapi::{
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time},
    jiff::Timestamp,
};

use crate::progress::Progress;

/// Progress of a Job is written at most this often at first; changes of phase and conditions at once.
const FIRST_INTERVAL: Duration = Duration::from_secs(1);
/// As this, of a Job that has run for long: each write carries the set of all completed nodes, to the API
/// server, to etcd and to all watches.
pub const LONGEST_INTERVAL: Duration = Duration::from_secs(5);
/// In between the progress is as old as this part of the time that the Job has run.
const STALENESS: u32 = 20;

/// What the status of `job` has to build on: itself, or nothing when it describes other work.
#[must_use]
pub fn base(job: &Job, now: Timestamp) -> JobStatus {
    let work_hash = work::hash(&job.spec);
    let known = job.status.clone().filter(|known| known.work_hash.as_ref() == Some(&work_hash));
    let fresh = || JobStatus { work_hash: Some(work_hash), ..JobStatus::default() };
    acknowledged(known.unwrap_or_else(fresh), job, now)
}

/// What the status of `job` has to build on when its spec is of no use: itself, whatever it describes.
#[must_use]
pub fn kept(job: &Job, now: Timestamp) -> JobStatus {
    acknowledged(job.status.clone().unwrap_or_default(), job, now)
}

fn acknowledged(mut status: JobStatus, job: &Job, now: Timestamp) -> JobStatus {
    status.conditions.retain(conditions::is_ours);
    status.start_time.get_or_insert(Time(now));
    status.observed_generation = job.metadata.generation;
    status
}

/// `status` of a Job that runs, or is about to.
#[must_use]
pub fn running(mut status: JobStatus, progress: Progress) -> JobStatus {
    let has_begun = progress.active + progress.succeeded + progress.failed > 0;
    status.phase = Some(if has_begun { Phase::Running } else { Phase::Pending });
    status.conditions = Vec::new();
    counted(status, progress)
}

/// `status` of a Job that is finished for `reason`.
#[must_use]
pub fn finished(
    status: JobStatus,
    progress: Progress,
    reason: Reason,
    message: String,
    now: Timestamp,
) -> JobStatus {
    let mut status = counted(status, progress);
    if reason.condition() == conditions::COMPLETE {
        status.phase = Some(Phase::Completed);
        status.completion_time = Some(Time(now));
    } else {
        status.phase = Some(Phase::Failed);
    }
    let since = status.start_time.as_ref().map_or(now, |start| start.0);
    status.duration = Some(told(now.duration_since(since).unsigned_abs()));
    with_condition(status, reason, message, now)
}

/// `status` of a Job that cannot go on for a `reason` that may lift. Counts stay as they were.
#[must_use]
pub fn blocked(
    mut status: JobStatus,
    reason: Reason,
    message: String,
    now: Timestamp,
) -> JobStatus {
    status.phase = Some(Phase::Failed);
    with_condition(status, reason, message, now)
}

/// The status of a Job that cannot be decoded for `error`: the same each time, for what it said
/// before cannot be decoded either.
#[must_use]
pub fn undecodable(job: &ObjectMeta, error: &str) -> JobStatus {
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
    status
}

fn with_condition(
    mut status: JobStatus,
    reason: Reason,
    message: String,
    now: Timestamp,
) -> JobStatus {
    let generation = status.observed_generation;
    let condition = conditions::condition(reason, message, generation, &status.conditions, now);
    status.conditions = vec![condition];
    status
}

/// As kubectl shows the duration of a Job.
fn told(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match (hours, minutes) {
        (0, 0) => format!("{seconds}s"),
        (0, _) => format!("{minutes}m{seconds}s"),
        _ => format!("{hours}h{minutes}m"),
    }
}

/// The part of a status that the operator writes: all but the conditions that others have added.
pub(crate) fn ours(status: &JobStatus) -> Cow<'_, JobStatus> {
    if status.conditions.iter().all(conditions::is_ours) {
        return Cow::Borrowed(status);
    }
    let mut status = status.clone();
    status.conditions.retain(conditions::is_ours);
    Cow::Owned(status)
}

/// When a changed status is to be written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Write {
    /// Nothing changed.
    Never,
    /// At once.
    Now,
    /// After this time, with what it will be by then.
    After(Duration),
}

/// When to replace `current` by `next` at the time `now`, the last write having been `since_last` ago.
#[must_use]
pub fn when_to_write(
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
        && current.work_hash == next.work_hash;
    let started = next.start_time.as_ref().map_or(now, |time| time.0);
    // Zero when the clock was set back.
    let running = Duration::try_from(now.duration_since(started)).unwrap_or_default();
    let interval = (running / STALENESS).clamp(FIRST_INTERVAL, LONGEST_INTERVAL);
    match since_last.and_then(|since| interval.checked_sub(since)) {
        Some(rest) if only_progress && !rest.is_zero() => Write::After(rest),
        _ => Write::Now,
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

    use super::*;
    use crate::progress::MAX_NODES;

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
        let others = conditions::condition(Reason::InvalidSpec, String::new(), None, &[], NOW);
        let others = Condition { type_: "Audited".to_owned(), ..others };
        let hash = Some(work::hash(&Job::default().spec));
        let status = JobStatus { conditions: vec![others], work_hash: hash, ..status(1) };
        let job = Job { status: Some(status.clone()), ..Job::default() };
        assert_eq!(base(&job, NOW).conditions, []);
        let next = JobStatus { conditions: Vec::new(), ..status.clone() };
        assert_eq!(when_to_write(Some(&status), &next, None, NOW), Write::Never);
    }

    #[test]
    fn a_job_that_nobody_has_looked_at_is_written_to_at_once() {
        let never = JobStatus { observed_generation: Some(-1), ..JobStatus::default() };
        let job =
            Job { status: Some(never.clone()), ..Job::new("j", api::v1beta1::JobSpec::default()) };
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
        let base = base(&job, Timestamp::UNIX_EPOCH);
        assert_eq!((base.succeeded, base.phase), (0, None));
        assert_eq!(base.work_hash, Some(work::hash(&job.spec)));
    }

    #[test]
    fn the_status_of_five_thousand_nodes_is_far_from_the_limit_of_etcd() {
        let mut progress = Progress { desired: 10_000, ..Progress::default() };
        for node in 0..5000 {
            let name = format!("ip-10-0-{node}.eu-central-1.compute.internal");
            progress.completed_nodes.insert(&name);
            let message = Some("x".repeat(256));
            let node = api::v1beta1::NodeStatus { name, message, ..Default::default() };
            progress.nodes.push(node);
        }
        progress.nodes.truncate(MAX_NODES);
        let status = running(JobStatus::default(), progress);
        let size = serde_json::to_string(&status).unwrap().len();
        assert!(size < 100_000, "{size} bytes of the 1.5 MiB that etcd takes");
    }

    #[test]
    fn durations_read_as_kubectls() {
        let told = |seconds| super::told(Duration::from_secs(seconds));
        assert_eq!([told(7), told(72), told(7260)], ["7s", "1m12s", "2h1m"]);
    }
}
