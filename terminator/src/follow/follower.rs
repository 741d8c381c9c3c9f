//! One follower: reads a log until the word is in it, and records that.

use std::{
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};

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

/// Up to where one run of a container was read.
#[derive(Debug)]
pub(super) struct ReadTo(Mutex<Progress>);

#[derive(Debug)]
struct Progress {
    /// The latest time of a line up to which nothing is missing, or that is reported.
    settled: Option<Timestamp>,
    /// The latest time of a line that has come.
    read: Option<Timestamp>,
    /// Whether the one is as late as the other.
    is_settled: bool,
}

impl ReadTo {
    /// Starts where an earlier follower of the run has ended.
    pub(super) fn new(settled: Option<Timestamp>) -> Self {
        Self(Mutex::new(Progress { settled, read: settled, is_settled: false }))
    }

    /// Returns the time of the last line up to which nothing is missing.
    ///
    /// Or what is missing is reported.
    pub(super) fn time(&self) -> Option<Timestamp> {
        self.progress().settled
    }

    /// Notes a line that has come. The clock of a node may be set back.
    fn advance(&self, time: Timestamp) {
        let mut progress = self.progress();
        progress.read = progress.read.max(Some(time));
        if progress.is_settled {
            progress.settled = progress.read;
        }
    }

    /// Notes that nothing is missing before what is read, or that it is reported.
    fn settle(&self) {
        let mut progress = self.progress();
        progress.is_settled = true;
        progress.settled = progress.read;
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Follows a log, and records on the pod when the word is in it.
pub(super) async fn follow_and_record(
    clients: Clients,
    metrics: Metrics,
    log: PodLog,
    is_first: bool,
    read_to: Arc<ReadTo>,
    emit: impl Fn(FollowerEvent),
) -> Outcome {
    let (first_line, before) = (OnceLock::new(), read_to.time());
    let on_read = |event| match event {
        ReadEvent::FirstLine(time) => {
            // It comes once.
            let _ = first_line.set(time);
            read_to.advance(time);
            if Some(time) <= before {
                read_to.settle();
            }
        }
        ReadEvent::ReadTo(time) => read_to.advance(time),
        event => emit(FollowerEvent::Read(event)),
    };
    let followed = FollowedLog { log: &log, is_first, read_to: before, first_line: &first_line };
    let checked = || {
        read_to.settle();
        emit(FollowerEvent::BeginningChecked);
    };
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_after_a_gap_counts_once_the_gap_is_reported() {
        let at = |second| Timestamp::from_second(second).ok();
        let read_to = ReadTo::new(at(5));
        read_to.advance(at(9).unwrap());
        assert_eq!(read_to.time(), at(5), "whoever follows next has to report it");
        read_to.settle();
        assert_eq!(read_to.time(), at(9));
        read_to.advance(at(7).unwrap());
        assert_eq!(read_to.time(), at(9), "a clock was set back");
        read_to.advance(at(11).unwrap());
        assert_eq!(read_to.time(), at(11));
    }
}
