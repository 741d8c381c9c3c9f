//! One follower: reads a log until the word is in it, and records that.

use std::{sync::OnceLock, time::Duration};

use k8s_openapi::jiff::Timestamp;
use runtime::{
    backoff::ExponentialBackoff,
    client::{Clients, ShortError, is_gone},
};
use tracing::{debug, warn};

use super::{
    pod_log::PodLog,
    reader::{ReadEvent, ReadOutcome, follow},
    rotation::{FollowedLog, check_beginning},
    scheduler::Outcome,
};
use crate::{metrics::Metrics, record};

/// Waits before a completion that could not be recorded is recorded again.
const BACKOFF: ExponentialBackoff =
    ExponentialBackoff::new(Duration::from_millis(200), Duration::from_secs(5));

/// An event of a follower before its end.
#[derive(Clone, Copy, Debug)]
pub(super) enum FollowerEvent {
    /// An event of the log.
    Read(ReadEvent),
    /// The beginning of the log has been checked.
    BeginningChecked,
    /// The word is in the log, and is being recorded.
    WordFound,
}

/// Follows a log, and records on the pod when the word is in it.
pub(super) async fn follow_and_record(
    clients: Clients,
    metrics: Metrics,
    log: PodLog,
    is_first: bool,
    emit: impl Fn(FollowerEvent),
) -> Outcome {
    let first_line = OnceLock::new();
    let on_read = |event| match event {
        // It comes once.
        ReadEvent::FirstLine(time) => drop(first_line.set(time)),
        event => emit(FollowerEvent::Read(event)),
    };
    let followed = FollowedLog { log: &log, is_first, first_line: &first_line };
    let checked = || emit(FollowerEvent::BeginningChecked);
    let read = tokio::select! {
        read = follow(&clients, &log, &metrics.bytes_read, on_read) => read,
        never = check_beginning(&clients, followed, &metrics.rotated, checked) => match never {}
    };
    match read {
        Ok(ReadOutcome::Found) => {
            emit(FollowerEvent::WordFound);
            metrics.observe_word(&log.namespace, &log.daemon_set);
            debug!("node is done");
            record(&clients, &metrics, &log).await
        }
        Ok(ReadOutcome::Ended) => Outcome::Ended,
        Ok(ReadOutcome::Silent) => Outcome::Silent,
        Err(error) => {
            warn!("the log cannot be followed now: {error}");
            Outcome::Broken
        }
    }
}

/// Records that a node is done; retries until that succeeds or the pod is gone.
///
/// The pod may be replaced meanwhile: then the follower is stopped.
async fn record(clients: &Clients, metrics: &Metrics, log: &PodLog) -> Outcome {
    let now = Timestamp::now();
    let _timer = metrics.start_recording();
    let mut backoff = BACKOFF;
    loop {
        match record::completed(&clients.call, log.pod(), &log.word, now).await {
            Ok(()) => return Outcome::Done,
            Err(error) if is_gone(&error) => return Outcome::Done,
            Err(error) => warn!("cannot record that the node is done: {}", ShortError(&error)),
        }
        tokio::time::sleep(backoff.next_wait()).await;
    }
}
