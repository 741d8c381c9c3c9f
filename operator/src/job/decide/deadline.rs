//! `spec.activeDeadlineSeconds`.

use std::time::Duration;

use api::job::{
    JobStatus,
    conditions::{self, Reason},
};
use k8s_openapi::jiff::{SignedDuration, Timestamp};

use super::{observation::Observation, progress::Progress};

/// Time until the deadline, if that is not past.
pub(crate) fn time_left(observation: &Observation<'_>, status: &JobStatus) -> Option<Duration> {
    let deadline = deadline(observation, status)?;
    (deadline > observation.now).then(|| until(deadline, observation.now))
}

/// Reason and message of the end of a Job whose deadline has passed.
pub(crate) fn exceeded(
    observation: &Observation<'_>,
    status: &JobStatus,
    progress: &Progress,
) -> Option<(Reason, String)> {
    if deadline(observation, status)? > observation.now {
        return None;
    }
    let seconds = observation.job.spec.active_deadline_seconds.unwrap_or_default();
    let mut message = format!("not done within the {seconds} s of spec.activeDeadlineSeconds");
    let unfinished = progress.unfinished_names();
    if !unfinished.is_empty() {
        message += &format!("; not done: {unfinished}");
    }
    if progress.waiting > 0 {
        message += &format!("; waiting for their turn: {} nodes", progress.waiting);
    }
    Some((Reason::DeadlineExceeded, message))
}

/// Whether the Job is refused until it is edited.
///
/// One that only an edit can help is not late: the refusal stays until it is fixed.
pub(crate) fn is_refused(status: &JobStatus) -> bool {
    conditions::find_true(&status.conditions, conditions::FAILED)
        .is_some_and(|condition| Reason::of(condition) == Some(Reason::InvalidSpec))
}

/// The time from `now` until `time`; none if that is past.
pub(crate) fn until(time: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(time.duration_since(now)).unwrap_or_default()
}

/// The time by which the Job must be done; none beyond the end of the calendar.
///
/// Times in a status are cut to whole seconds, so that the Job may have started up to a second later.
fn deadline(observation: &Observation<'_>, status: &JobStatus) -> Option<Timestamp> {
    let seconds = observation.job.spec.active_deadline_seconds?;
    let start = Timestamp::from_second(status.start_time.as_ref()?.0.as_second()).ok()?;
    start.checked_add(SignedDuration::from_secs(seconds.saturating_add(1))).ok()
}
