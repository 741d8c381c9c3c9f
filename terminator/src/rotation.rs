//! Reports a log that does not go back to the start of its container.
//!
//! The kubelet rotates logs, serves what is left, and says nothing of it
//! (<https://kubernetes.io/docs/concepts/cluster-administration/logging/#log-rotation>). Who follows a
//! log from its start misses nothing. Who comes late may never see the word, and cannot tell a log
//! that has rotated from one of a container that was silent at first. So nothing is concluded from
//! it: it is written where people look for the reason that a Job does not end. An empty log is not
//! worth that: most containers that say nothing before the word have said nothing yet.

use std::{convert::Infallible, sync::OnceLock, time::Duration};

use api::{
    names,
    runtime::{Brief, Clients, PodId, set_condition},
    views::PodView,
};
use k8s_openapi::{
    api::core::v1::PodCondition,
    apimachinery::pkg::apis::meta::v1::Time,
    jiff::{SignedDuration, Timestamp},
};
use kube::{Api, api::ListParams};
use prometheus_client::metrics::counter::Counter;
use tracing::{info, warn};

use crate::{entry, target::Target};

/// A log is followed from its start if it is opened, or begins, within this time of it. Until an
/// upgraded terminator has its caches takes some seconds.
const LATE: SignedDuration = SignedDuration::from_secs(10);

/// How long the follower is given to find the word in what there is of the log.
const CATCH_UP: Duration = Duration::from_secs(3);

/// The wait before a report that was not taken is tried again.
const RETRY: Duration = Duration::from_secs(5);

/// A log that is followed.
#[derive(Clone, Copy)]
pub(crate) struct Watched<'f> {
    /// Whose it is.
    pub(crate) target: &'f Target,
    /// Whether its beginning is to be looked for.
    pub(crate) is_first: bool,
    /// The time of its first line, once the follower knows it.
    pub(crate) first_line: &'f OnceLock<Timestamp>,
}

/// Reports on the pod of a log if that was opened late and has no beginning, and calls `begun` when that
/// is known. It never resolves: it goes on beside the follower, and ends with it. `reported` counts.
pub(crate) async fn watch(
    clients: &Clients,
    watched: Watched<'_>,
    reported: &Counter,
    begun: impl FnOnce(),
) -> Infallible {
    let Watched { target, is_first, first_line } = watched;
    if let Some(started) = target.started.filter(|_| is_first) {
        let is_late = Timestamp::now().duration_since(started) > LATE;
        tokio::time::sleep(CATCH_UP).await;
        loop {
            let first = first_line.get().copied();
            // Our clock need not be the node's. It only spares a question about a log that says nothing.
            if first.is_none() && !is_late {
                break;
            }
            match report(clients, target, started, first, grace(is_late)).await {
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

/// How long after the start of its container a log may begin that is whole. One that does not seem to be
/// opened late may have got its first line only now.
fn grace(is_late: bool) -> SignedDuration {
    if is_late { LATE } else { LATE + SignedDuration::try_from(CATCH_UP).unwrap_or_default() }
}

/// Whether there was something to report.
enum Reported {
    Yes,
    No,
}

async fn report(
    clients: &Clients,
    target: &Target,
    started: Timestamp,
    first: Option<Timestamp>,
    grace: SignedDuration,
) -> Result<Reported, Error> {
    let first = match first {
        Some(first) => Some(first),
        None => entry::first(&clients.call, target).await?,
    };
    let Some(message) = first.and_then(|first| missing(started, first, grace)) else {
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

/// What to say of a log that begins with an entry of this time, if that is not the start.
fn missing(started: Timestamp, first: Timestamp, grace: SignedDuration) -> Option<String> {
    let gap = first.duration_since(started);
    (gap > grace).then(|| {
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
    /// The beginning could not be asked for.
    #[error("{0}")]
    Entry(#[from] entry::Error),
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
        assert_eq!(missing(at(100), at(100), LATE), None);
        assert_eq!(missing(at(100), at(110), LATE), None);
        // startedAt has whole seconds, so that the first entry may seem to be earlier.
        assert_eq!(missing(at(100), at(99), LATE), None);
        assert!(missing(at(100), at(172), LATE).unwrap().starts_with("its log begins 72 s after"));
    }

    /// What is asked of the API server about a log whose first line has this time, or is not known, of a
    /// container that started at that time.
    async fn asked(started: Timestamp, first: Option<Timestamp>) -> Vec<String> {
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let seen = Arc::clone(&asked);
        let service = tower::service_fn(move |request: http::Request<kube::client::Body>| {
            seen.lock().unwrap().push(request.uri().path().to_owned());
            let is_list = request.uri().path().ends_with("/pods");
            let answer = if is_list { r#"{"metadata": {}, "items": []}"# } else { "" };
            std::future::ready(Ok::<_, std::io::Error>(http::Response::new(answer.to_owned())))
        });
        let clients = Clients::from(kube::Client::new(service, "n"));
        let target = Target { started: Some(started), ..Target::of_run("uid", "run") };
        let first_line = OnceLock::new();
        first.map(|first| first_line.set(first));
        let watched = Watched { target: &target, is_first: true, first_line: &first_line };
        let (tell, begun) = tokio::sync::oneshot::channel();
        let rotated = Counter::default();
        tokio::select! {
            never = watch(&clients, watched, &rotated, || tell.send(()).unwrap()) => match never {},
            begun = begun => begun.unwrap(),
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
}
