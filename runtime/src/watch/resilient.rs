//! Watches that never end.

use std::{fmt, time::Duration};

use futures::{Stream, StreamExt};
use kube::{
    Api, Client, Resource,
    core::{ClusterResourceScope, NamespaceResourceScope},
    runtime::{WatchStreamExt, watcher},
};
use serde::de::DeserializeOwned;
use tracing::debug;

use crate::backoff::ExponentialBackoff;

/// The HTTP status of a resource version that the API server does not remember.
/// <https://kubernetes.io/docs/reference/using-api/api-concepts/#410-gone-responses>
const GONE: u16 = 410;

/// Waits after errors of a watch; an event resets them.
const BACKOFF: ExponentialBackoff =
    ExponentialBackoff::new(Duration::from_millis(500), Duration::from_secs(5));

/// Watches the objects of one kind, in `namespace` or in all namespaces.
///
/// The stream never ends: it yields errors, and resumes the watch after a backoff.
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

/// Watches the objects of one kind that is in no namespace, as [`watch`] does.
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
    recover(watcher(api, config))
}

/// Resumes a watch after errors, sooner than kube does by default.
///
/// With kube's backoff, a watch that an API server's restart has silenced waits for up to a minute more.
fn recover<E: Send>(
    events: impl Stream<Item = watcher::Result<E>> + Send,
) -> impl Stream<Item = watcher::Result<E>> + Send {
    // An expired watch is listed anew at once: it is no failure of the API server.
    events
        .filter(|event| std::future::ready(!event.as_ref().is_err_and(is_expired)))
        .backoff(BACKOFF)
}

/// Returns whether a watch cannot be resumed where it broke off.
fn is_expired(error: &watcher::Error) -> bool {
    // Not of a watch that could not be started, for kube 5.0 does not list anew then.
    let expired = matches!(error, watcher::Error::WatchError(status) if status.code == GONE);
    if expired {
        debug!("{error}");
    }
    expired
}

/// Bounds of an object that can be watched.
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

    /// The items of a recovering watch, and when they came, in tenths of a second.
    async fn yields(
        events: Vec<watcher::Result<&'static str>>,
    ) -> Vec<(Option<&'static str>, u128)> {
        let start = Instant::now();
        recover(stream::iter(events))
            .map(|event| (event.ok(), start.elapsed().as_millis() / 100))
            .collect()
            .await
    }

    #[tokio::test(start_paused = true)]
    async fn a_watch_that_expired_is_taken_up_at_once() {
        let events = vec![Ok("a"), refused(410, "Expired"), Ok("b")];
        assert_eq!(yields(events).await, [(Some("a"), 0), (Some("b"), 0)]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_watch_that_cannot_be_started_rests() {
        let expired = Status::failure("", "Expired").with_code(410).boxed();
        let events =
            vec![Err(watcher::Error::WatchStartFailed(kube::Error::Api(expired))), Ok("a")];
        assert_eq!(yields(events).await, [(None, 0), (Some("a"), 5)]);
    }

    #[tokio::test(start_paused = true)]
    async fn an_api_server_that_was_out_for_long_is_asked_again_within_seconds() {
        let out = || refused(503, "ServiceUnavailable");
        let mut events: Vec<_> = (0..9).map(|_| out()).collect();
        events.extend([Ok("a"), out(), Ok("b")]);
        let times: Vec<_> = yields(events).await.into_iter().map(|(_, time)| time).collect();
        assert_eq!(times, [0, 5, 15, 35, 75, 125, 175, 225, 275, 325, 325, 330]);
    }
}
