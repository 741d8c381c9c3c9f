//! Reports a log that does not go back to the start of its container.
//!
//! The kubelet rotates logs, serves what is left, and says nothing of it
//! (<https://kubernetes.io/docs/concepts/cluster-administration/logging/#log-rotation>). Who follows a
//! log from its start misses nothing. Who comes late may never see the word, and cannot tell a log
//! that has rotated from one of a container that was silent at first. So nothing is concluded from
//! it: it is written where people look for the reason that a Job does not end. An empty log is not
//! worth that: most containers that say nothing before the word have said nothing yet.

use std::{convert::Infallible, time::Duration};

use api::{
    names,
    runtime::{Brief, Clients, PodId, set_condition},
    views::PodView,
};
use futures::AsyncReadExt;
use k8s_openapi::{
    api::core::v1::{Pod, PodCondition},
    apimachinery::pkg::apis::meta::v1::Time,
    jiff::{SignedDuration, Timestamp},
};
use kube::{
    Api,
    api::{ListParams, LogParams},
};
use prometheus_client::metrics::counter::Counter;
use tracing::{info, warn};

use crate::target::Target;

/// A log is followed from its start if it is opened, or begins, within this time of it. Until an
/// upgraded terminator has its caches takes some seconds.
const LATE: SignedDuration = SignedDuration::from_secs(10);

/// How long the follower is given to find the word in what there is of the log.
const CATCH_UP: Duration = Duration::from_secs(3);

/// The wait before a report that was not taken is tried again.
const RETRY: Duration = Duration::from_secs(5);

/// Bytes of the longest time stamp with which the kubelet begins a line, and the space after it.
const TIME_STAMP: usize = "2006-01-02T15:04:05.000000000+00:00 ".len();

/// Reports on the pod of `target` if its log was opened late and has no beginning, and calls `begun` when that
/// is known. It never resolves: it goes on beside the follower, and ends with it. `reported` counts.
pub(crate) async fn watch(
    clients: &Clients,
    target: &Target,
    is_first: bool,
    reported: &Counter,
    begun: impl FnOnce(),
) -> Infallible {
    let now = Timestamp::now();
    let started = target.started.filter(|started| is_first && now.duration_since(*started) > LATE);
    if let Some(started) = started {
        tokio::time::sleep(CATCH_UP).await;
        loop {
            match report(clients, target, started).await {
                Ok(Reported::Yes) => reported.inc(),
                Ok(Reported::No) => 0,
                Err(error) => {
                    warn!("cannot look for the beginning of the log: {error}");
                    tokio::time::sleep(RETRY).await;
                    continue;
                }
            };
            break;
        }
    }
    begun();
    std::future::pending().await
}

/// Whether there was something to report.
enum Reported {
    Yes,
    No,
}

async fn report(clients: &Clients, target: &Target, started: Timestamp) -> Result<Reported, Error> {
    let first = first_entry(clients, target).await?;
    let Some(message) = first.and_then(|first| missing(started, first)) else {
        return Ok(Reported::No);
    };
    let pods: Api<PodView> = Api::namespaced(clients.call.clone(), &target.namespace);
    // Listed, for there is no right to get one.
    let it = ListParams::default().fields(&format!("metadata.name={}", target.name));
    let Some(pod) = pods.list(&it).await?.items.pop() else {
        return Ok(Reported::No);
    };
    let is_it = pod.metadata.uid.as_deref() == Some(&*target.uid);
    if !is_it || pod.has_logged_word() || pod.log_rotated(started).is_some() {
        return Ok(Reported::No);
    }
    let it = PodId {
        namespace: &target.namespace,
        name: &target.name,
        uid: &target.uid,
        // A completion that is recorded meanwhile is not taken back.
        version: pod.metadata.resource_version.as_deref(),
    };
    let condition = PodCondition {
        type_: names::POD_COMPLETED.to_owned(),
        status: "False".to_owned(),
        reason: Some(names::LOG_ROTATED.to_owned()),
        message: Some(message.clone()),
        last_transition_time: Some(Time(Timestamp::now())),
        ..PodCondition::default()
    };
    set_condition(&clients.call, it, &condition, names::TERMINATOR).await?;
    info!("{message}");
    Ok(Reported::Yes)
}

/// The time of the first entry that is left of the log; `None` if it is empty.
async fn first_entry(clients: &Clients, target: &Target) -> Result<Option<Timestamp>, Error> {
    let pods: Api<Pod> = Api::namespaced(clients.call.clone(), &target.namespace);
    let params = LogParams {
        container: Some(names::JOB_CONTAINER.to_owned()),
        timestamps: true,
        limit_bytes: i64::try_from(TIME_STAMP).ok(),
        ..LogParams::default()
    };
    let log = pods.log_stream(&target.name, &params).await?;
    let mut stamp = Vec::with_capacity(TIME_STAMP);
    log.take(TIME_STAMP as u64).read_to_end(&mut stamp).await?;
    if stamp.is_empty() {
        return Ok(None);
    }
    time_stamp(&stamp).map(Some).ok_or(Error::TimeStamp)
}

/// The time stamp that a line begins with.
fn time_stamp(line: &[u8]) -> Option<Timestamp> {
    let stamp = line.split(|byte| *byte == b' ').next()?;
    str::from_utf8(stamp).ok()?.parse().ok()
}

/// What to say of a log that begins with an entry of this time, if that is not the start.
fn missing(started: Timestamp, first: Timestamp) -> Option<String> {
    let gap = first.duration_since(started);
    (gap > LATE).then(|| {
        format!(
            "its log begins {} s after the start of its container: if the word has rotated away, delete the pod to run it again",
            gap.as_secs()
        )
    })
}

/// Why a log could not be looked into, or that not be reported.
#[derive(Debug, thiserror::Error)]
enum Error {
    /// The API server could not take a call.
    #[error("{}", Brief(.0))]
    Kube(#[from] kube::Error),
    /// The connection broke.
    #[error("the log broke off: {0}")]
    Broken(#[from] std::io::Error),
    /// A line came without the time stamp that was asked for.
    #[error("a line of the log has no time stamp")]
    TimeStamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    #[test]
    fn only_a_log_that_begins_late_is_reported() {
        assert_eq!(missing(at(100), at(100)), None);
        assert_eq!(missing(at(100), at(110)), None);
        // startedAt has whole seconds, so that the first entry may seem to be earlier.
        assert_eq!(missing(at(100), at(99)), None);
        assert!(missing(at(100), at(172)).unwrap().starts_with("its log begins 72 s after"));
    }

    #[test]
    fn time_stamps_of_all_runtimes_are_read() {
        for (line, expected) in [
            (&b"2026-01-02T03:04:05.123456789+01:00 "[..], Some("2026-01-02T02:04:05.123456789Z")),
            (b"2026-01-02T03:04:05.1Z done\n\xff", Some("2026-01-02T03:04:05.1Z")),
            (b"done", None),
            (b"\xff ", None),
        ] {
            let expected = expected.map(|expected| expected.parse().unwrap());
            assert_eq!(time_stamp(line), expected, "{line:?}");
        }
    }
}
