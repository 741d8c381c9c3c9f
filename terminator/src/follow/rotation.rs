//! Reports a log that does not go back to what was read of it, or to its start.
//!
//! The kubelet rotates logs, serves the newest file, and does not report that
//! (<https://kubernetes.io/docs/concepts/cluster-administration/logging/#log-rotation>). A follower that comes
//! late may have missed the word, and cannot distinguish a rotated log from that of a container that was silent
//! at first. So the report has no other effect: it is a hint for people who wonder why a Job does not end. An
//! empty log is not reported: most containers that log nothing before the word have logged nothing yet.
//!
//! A log may also be rotated between two of its slices, or while its stream was broken. Then it begins after the
//! last line that was read, or is empty again. Whether a line is missing in between nobody knows: the file that
//! was read may have been at its end. A log that was empty so far, and files that come and go while a stream has
//! lost its place, show nothing at all.

use std::{convert::Infallible, sync::OnceLock, time::Duration};

use api::{labels, views::PodView};
use k8s_openapi::{
    api::core::v1::PodCondition,
    apimachinery::pkg::apis::meta::v1::Time,
    jiff::{SignedDuration, Timestamp},
};
use kube::{Api, api::ListParams};
use prometheus_client::metrics::counter::Counter;
use runtime::client::{Clients, PodId, ShortError, set_condition};
use tracing::{info, warn};

use super::{entry_times, pod_log::PodLog};

/// Time after the start of a container within which a whole log begins.
///
/// A log that is opened within it is followed from its start. An upgraded terminator takes some seconds to fill
/// its caches.
const LATE: SignedDuration = SignedDuration::from_secs(10);

/// Time for the follower to find the word in the present log.
const CATCH_UP: Duration = Duration::from_secs(3);

/// Wait before a failed report is tried again.
const RETRY: Duration = Duration::from_secs(5);

/// A log that is followed.
#[derive(Clone, Copy)]
pub(super) struct FollowedLog<'f> {
    /// The log.
    pub(super) log: &'f PodLog,
    /// Whether its beginning must be checked.
    pub(super) is_first: bool,
    /// Time of the last line that an earlier follower has read.
    pub(super) read_to: Option<Timestamp>,
    /// Time of the first line, once it has come.
    pub(super) first_line: &'f OnceLock<Timestamp>,
}

/// Where a log has to begin.
#[derive(Clone, Copy, Debug)]
enum Since {
    /// Within this time after the start of its container.
    Start(SignedDuration),
    /// Not after the line of this time, which was read.
    Line(Timestamp),
}

/// Reports on the pod if the beginning of its log is missing; calls `checked` then.
///
/// The future never resolves: it runs beside the follower, and is dropped with it. `reported` counts.
pub(super) async fn check_beginning(
    clients: &Clients,
    followed: FollowedLog<'_>,
    reported: &Counter,
    checked: impl FnOnce(),
) -> Infallible {
    let FollowedLog { log, is_first, read_to, first_line } = followed;
    if let Some(started) = log.started.filter(|_| is_first || read_to.is_some()) {
        let is_late = Timestamp::now().duration_since(started) > LATE;
        let since = match read_to.filter(|_| !is_first) {
            Some(line) => Since::Line(line),
            None => Since::Start(grace(is_late)),
        };
        tokio::time::sleep(CATCH_UP).await;
        loop {
            let first = first_line.get().copied();
            // The node's clock may differ from ours, which only spares the read of a silent log.
            if first.is_none() && !is_late && is_first {
                break;
            }
            match report(clients, log, (started, since), first).await {
                Ok(Reported::Yes) => reported.inc(),
                Ok(Reported::No) => 0,
                Err(error) => {
                    warn!("cannot check the beginning of the log: {error}");
                    tokio::time::sleep(RETRY).await;
                    continue;
                }
            };
            break;
        }
    }
    checked();
    std::future::pending().await
}

/// Returns the time after the start of a container within which its log begins.
///
/// A log that does not seem to be opened late may have got its first line only now.
fn grace(is_late: bool) -> SignedDuration {
    if is_late { LATE } else { LATE + SignedDuration::try_from(CATCH_UP).unwrap_or_default() }
}

/// Whether a report was made.
enum Reported {
    Yes,
    No,
}

async fn report(
    clients: &Clients,
    log: &PodLog,
    (started, since): (Timestamp, Since),
    first: Option<Timestamp>,
) -> Result<Reported, Error> {
    let first = match first {
        Some(first) => Some(first),
        None => entry_times::first(&clients.call, log).await?,
    };
    let Some(message) = missing(started, since, first) else {
        return Ok(Reported::No);
    };
    let pods: Api<PodView> = Api::namespaced(clients.call.clone(), &log.namespace);
    // The terminator may list pods, but not get one.
    let by_name = ListParams::default().fields(&format!("metadata.name={}", log.name));
    let Some(pod) = pods.list(&by_name).await?.items.pop() else {
        return Ok(Reported::No);
    };
    let is_same = pod.metadata.uid.as_deref() == Some(&*log.uid);
    if !is_same || pod.has_logged_word() || pod.log_rotated(started).is_some() {
        return Ok(Reported::No);
    }
    let id = PodId {
        // A completion that was recorded meanwhile must stay.
        version: pod.metadata.resource_version.as_deref(),
        ..log.pod()
    };
    let condition = PodCondition {
        type_: labels::POD_COMPLETED.to_owned(),
        status: "False".to_owned(),
        reason: Some(labels::LOG_ROTATED.to_owned()),
        message: Some(message.clone()),
        last_transition_time: Some(Time(Timestamp::now())),
        ..PodCondition::default()
    };
    set_condition(&clients.call, id, &condition, labels::TERMINATOR).await?;
    info!("{message}");
    Ok(Reported::Yes)
}

/// Returns the report about a log whose first entry is late. None: it is empty.
fn missing(started: Timestamp, since: Since, first: Option<Timestamp>) -> Option<String> {
    let (from, what, grace) = match since {
        Since::Start(grace) => (started, "the start of its container", grace),
        Since::Line(line) => (line, "the last line that was read", SignedDuration::ZERO),
    };
    let begins = match (since, first) {
        (_, Some(first)) => {
            let gap = first.duration_since(from);
            (gap > grace).then(|| format!("begins {} s after {what}", gap.as_secs()))
        }
        (Since::Line(_), None) => Some("was read before, and is empty now".to_owned()),
        (Since::Start(_), None) => None,
    };
    begins.map(|begins| {
        format!("its log {begins}: if the word has rotated away, delete the pod to run it again")
    })
}

/// Why a beginning could not be checked or reported.
#[derive(Debug, thiserror::Error)]
enum Error {
    /// A call failed.
    #[error("{}", ShortError(.0))]
    Kube(#[from] kube::Error),
    /// The time of the first entry could not be read.
    #[error("{0}")]
    EntryTimes(#[from] entry_times::Error),
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    #[test]
    fn only_a_log_that_begins_late_is_reported() {
        let begins = |first| missing(at(100), Since::Start(LATE), first);
        assert_eq!(begins(Some(at(100))), None);
        assert_eq!(begins(Some(at(110))), None);
        // startedAt has whole seconds, so that the first entry may seem to be earlier.
        assert_eq!(begins(Some(at(99))), None);
        assert!(begins(Some(at(172))).unwrap().starts_with("its log begins 72 s after the start"));
        assert_eq!(begins(None), None);
    }

    #[test]
    fn a_log_that_begins_after_what_was_read_or_is_empty_again_is_reported() {
        let begins = |first| missing(at(100), Since::Line(at(150)), first);
        assert_eq!((begins(Some(at(101))), begins(Some(at(150)))), (None, None));
        let message = begins(Some(at(153))).unwrap();
        assert!(message.starts_with("its log begins 3 s after the last line that was read: if"));
        assert!(begins(None).unwrap().starts_with("its log was read before, and is empty now: if"));
    }

    /// Returns the requests about a log with this first line, or none yet.
    ///
    /// Its container started at that time.
    async fn asked(started: Timestamp, first: Option<Timestamp>) -> Vec<String> {
        asked_about(started, None, first).await
    }

    /// The same of a log that was read up to a line before, if there is one.
    async fn asked_about(
        started: Timestamp,
        read_to: Option<Timestamp>,
        first: Option<Timestamp>,
    ) -> Vec<String> {
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let seen = Arc::clone(&asked);
        let service = tower::service_fn(move |request: http::Request<kube::client::Body>| {
            seen.lock().unwrap().push(request.uri().path().to_owned());
            let is_list = request.uri().path().ends_with("/pods");
            let answer = if is_list { r#"{"metadata": {}, "items": []}"# } else { "" };
            std::future::ready(Ok::<_, std::io::Error>(http::Response::new(answer.to_owned())))
        });
        let clients = Clients::from(kube::Client::new(service, "n"));
        let log = PodLog { started: Some(started), ..PodLog::of_run("uid", "run") };
        let first_line = OnceLock::new();
        first.map(|first| first_line.set(first));
        let (log, is_first) = (&log, read_to.is_none());
        let followed = FollowedLog { log, is_first, read_to, first_line: &first_line };
        let (sender, checked) = tokio::sync::oneshot::channel();
        let rotated = Counter::default();
        tokio::select! {
            never = check_beginning(&clients, followed, &rotated, || sender.send(()).unwrap()) => {
                match never {}
            }
            checked = checked => checked.unwrap(),
        }
        asked.lock().unwrap().clone()
    }

    #[tokio::test(start_paused = true)]
    async fn the_beginning_is_asked_for_only_if_the_follower_does_not_know_it() {
        let long_ago = at(1_000_000_000);
        assert_eq!(asked(long_ago, Some(at(1_000_000_001))).await, [""; 0]);
        assert_eq!(asked(long_ago, None).await, ["/api/v1/namespaces/n/pods/p/log"]);
        assert_eq!(asked(Timestamp::now(), None).await, [""; 0], "it has said nothing yet");
    }

    #[tokio::test(start_paused = true)]
    async fn clocks_that_differ_hide_no_log_that_has_rotated() {
        let ahead = Timestamp::now() + SignedDuration::from_mins(30);
        assert_eq!(asked(ahead, Some(ahead + SignedDuration::from_secs(13))).await, [""; 0]);
        let rotated = Some(ahead + SignedDuration::from_secs(14));
        assert_eq!(asked(ahead, rotated).await, ["/api/v1/namespaces/n/pods"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_log_that_was_read_before_is_asked_for_only_if_it_says_nothing() {
        let (started, last) = (Timestamp::now(), Some(at(1_000_000_000)));
        assert_eq!(asked_about(started, last, Some(at(999_999_999))).await, [""; 0]);
        let pods = "/api/v1/namespaces/n/pods";
        assert_eq!(asked_about(started, last, Some(at(1_000_000_001))).await, [pods]);
        // It has been rotated, and is empty, however early that is.
        assert_eq!(asked_about(started, last, None).await, [&format!("{pods}/p/log"), pods]);
    }
}
