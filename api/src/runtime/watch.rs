//! Watches of one namespace, of all, or of what is in none.

use std::{fmt, time::Duration};

use futures::{Stream, StreamExt};
use kube::{
    Api, Client, Resource,
    core::{ClusterResourceScope, NamespaceResourceScope},
    runtime::{WatchStreamExt, utils::Backoff, watcher},
};
use serde::de::DeserializeOwned;
use tracing::debug;

use crate::views;

/// The HTTP status of what the API server does not remember.
/// <https://kubernetes.io/docs/reference/using-api/api-concepts/#410-gone-responses>
const GONE: u16 = 410;

/// The rest after a first error.
const FIRST_REST: Duration = Duration::from_millis(500);
/// The longest rest.
const LONGEST_REST: Duration = Duration::from_secs(5);

/// The events of the objects of one kind, in `namespace` or in all namespaces.
///
/// It never ends: errors are passed on, and the watch is taken up again after a backoff.
pub fn watch<K>(
    client: &Client,
    namespace: Option<&str>,
    config: watcher::Config,
) -> impl Stream<Item = watcher::Result<watcher::Event<K>>> + Send + use<K>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Watched,
{
    events(
        match namespace {
            Some(namespace) => Api::namespaced(client.clone(), namespace),
            None => Api::all(client.clone()),
        },
        config,
    )
}

/// As [`watch`], of objects that are in no namespace.
pub fn watch_cluster<K>(
    client: &Client,
    config: watcher::Config,
) -> impl Stream<Item = watcher::Result<watcher::Event<K>>> + Send + use<K>
where
    K: Resource<Scope = ClusterResourceScope, DynamicType = ()> + Watched,
{
    events(Api::all(client.clone()), config)
}

fn events<K: Resource + Watched>(
    api: Api<K>,
    config: watcher::Config,
) -> impl Stream<Item = watcher::Result<watcher::Event<K>>> + Send + use<K> {
    patient(watcher(api, config)).modify(views::prune)
}

/// Lets a watch rest after errors, shorter than kube does by default: there one that had gone silent
/// with an API server that restarted rests for up to a minute more.
fn patient<E: Send>(
    events: impl Stream<Item = watcher::Result<E>> + Send,
) -> impl Stream<Item = watcher::Result<E>> + Send {
    // What the API server does not remember is listed anew, and that is no reason to rest.
    events
        .filter(|event| std::future::ready(!event.as_ref().is_err_and(is_expired)))
        .backoff(Rest::default())
}

/// Whether a watch cannot be taken up where it broke off.
fn is_expired(error: &watcher::Error) -> bool {
    // Not of a watch that could not be started: kube 5.0 does not list anew then.
    let expired = matches!(error, watcher::Error::WatchError(status) if status.code == GONE);
    if expired {
        debug!("{error}");
    }
    expired
}

/// How long a watch rests: doubled by each error, up to the longest, until an event comes.
#[derive(Debug, Default)]
struct Rest {
    errors: u32,
}

impl Iterator for Rest {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let rest = FIRST_REST.saturating_mul(1_u32.checked_shl(self.errors).unwrap_or(u32::MAX));
        self.errors = self.errors.saturating_add(1);
        Some(rest.min(LONGEST_REST))
    }
}

impl Backoff for Rest {
    fn reset(&mut self) {
        self.errors = 0;
    }
}

/// For [`Controller::trigger_backoff`](kube::runtime::Controller::trigger_backoff): no rest after the error
/// of a watch, for each of ours rests by itself. kube's default is one rest for all of them together, of up
/// to half a minute, so that a watch that is well again would not be heard while another one is not.
#[derive(Clone, Copy, Debug)]
pub struct NoRest;

impl Iterator for NoRest {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        Some(Duration::ZERO)
    }
}

impl Backoff for NoRest {
    fn reset(&mut self) {}
}

/// What an object must be able to do to be watched.
pub trait Watched: Clone + DeserializeOwned + fmt::Debug + Send + 'static {}

impl<K: Clone + DeserializeOwned + fmt::Debug + Send + 'static> Watched for K {}

#[cfg(test)]
mod tests {
    use futures::stream;
    use kube::core::Status;
    use tokio::time::Instant;

    use super::*;

    fn refused(code: u16, reason: &str) -> watcher::Result<&'static str> {
        Err(watcher::Error::WatchError(Status::failure("", reason).with_code(code).boxed()))
    }

    /// What came of a watch, and when, in tenths of a second.
    async fn told(events: Vec<watcher::Result<&'static str>>) -> Vec<(Option<&'static str>, u128)> {
        let start = Instant::now();
        patient(stream::iter(events))
            .map(|event| (event.ok(), start.elapsed().as_millis() / 100))
            .collect()
            .await
    }

    #[tokio::test(start_paused = true)]
    async fn a_watch_that_expired_is_taken_up_at_once() {
        let events = vec![Ok("a"), refused(410, "Expired"), Ok("b")];
        assert_eq!(told(events).await, [(Some("a"), 0), (Some("b"), 0)]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_watch_that_cannot_be_started_rests() {
        let expired = Status::failure("", "Expired").with_code(410).boxed();
        let events =
            vec![Err(watcher::Error::WatchStartFailed(kube::Error::Api(expired))), Ok("a")];
        assert_eq!(told(events).await, [(None, 0), (Some("a"), 5)]);
    }

    #[tokio::test(start_paused = true)]
    async fn an_api_server_that_was_out_for_long_is_asked_again_within_seconds() {
        let out = || refused(503, "ServiceUnavailable");
        let mut events: Vec<_> = (0..9).map(|_| out()).collect();
        events.extend([Ok("a"), out(), Ok("b")]);
        let times: Vec<_> = told(events).await.into_iter().map(|(_, time)| time).collect();
        assert_eq!(times, [0, 5, 15, 35, 75, 125, 175, 225, 275, 325, 325, 330]);
    }
}
