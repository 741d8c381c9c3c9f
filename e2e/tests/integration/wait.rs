//! Waits that watch, have a deadline, and tell what they saw last.

use std::fmt::Debug;
use std::time::Duration;

use anyhow::{Result, bail};
use e2e::wait::recent_events;
use futures::StreamExt as _;
use kube::api::PartialObjectMeta;
use kube::core::NamespaceResourceScope;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, watch_object, watcher};
use kube::{Api, ResourceExt as _};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Long enough for a busy machine with two cores; a test that passes never waits for it.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Long enough for what must not happen to happen: everything that operator and terminator do is
/// done within some tens of milliseconds of its cause.
const QUIET: Duration = Duration::from_secs(1);

/// Gives what must not happen the time to happen.
pub(crate) async fn settle() {
    tokio::time::sleep(QUIET).await;
}

/// Waits until there is an object of that name and it is as wanted.
pub(crate) async fn until<K>(
    api: &Api<K>,
    name: &str,
    what: &str,
    matches: impl Fn(&K) -> bool,
) -> Result<K>
where
    K: kube::Resource + Clone + Debug + DeserializeOwned + Serialize + Send + 'static,
{
    let mut last = None;
    let mut watch = watch_object(api.clone(), name).default_backoff().boxed();
    let search = async {
        loop {
            match watch.next().await {
                Some(Ok(Some(object))) if matches(&object) => return object,
                Some(Ok(object)) => last = object,
                // The watch starts over by itself; what it could not say is not what we wait for.
                Some(Err(error)) => tracing::debug!(%error, "while waiting"),
                None => std::future::pending().await,
            }
        }
    };
    match tokio::time::timeout(TIMEOUT, search).await {
        Ok(object) => Ok(object),
        Err(_) => bail!(
            "expected of {name} within {TIMEOUT:?}: {what}\nlast seen: {}\nevents: {:#?}",
            serde_json::to_string_pretty(&last)?,
            match api.namespace() {
                Some(namespace) => recent_events(&api.clone().into_client(), namespace).await,
                None => Vec::new(),
            }
        ),
    }
}

/// Waits until no object with these labels is as described.
pub(crate) async fn until_none<K>(
    api: &Api<K>,
    labels: &str,
    matches: impl Fn(&PartialObjectMeta<K>) -> bool,
) -> Result<()>
where
    K: kube::Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + Debug
        + DeserializeOwned
        + Send
        + 'static,
{
    let mut left = Vec::new();
    let config = watcher::Config::default().labels(labels);
    let (client, namespace) = (api.clone().into_client(), api.namespace());
    let api: Api<PartialObjectMeta<K>> = Api::namespaced(client, namespace.unwrap_or_default());
    let mut watch = watcher(api.clone(), config).default_backoff().boxed();
    let search = async {
        let mut listed = false;
        while !(listed && left.is_empty()) {
            match watch.next().await {
                Some(Ok(watcher::Event::Init)) => left.clear(),
                Some(Ok(watcher::Event::InitDone)) => listed = true,
                Some(Ok(watcher::Event::Apply(object) | watcher::Event::InitApply(object))) => {
                    if matches(&object) && !left.contains(&object.name_any()) {
                        left.push(object.name_any());
                    }
                }
                Some(Ok(watcher::Event::Delete(object))) => {
                    left.retain(|name| *name != object.name_any());
                }
                Some(Err(error)) => tracing::debug!(%error, "while waiting"),
                None => std::future::pending().await,
            }
        }
    };
    match tokio::time::timeout(TIMEOUT, search).await {
        Ok(()) => Ok(()),
        Err(_) => bail!("still there after {TIMEOUT:?}: {left:?} of {}", api.resource_url()),
    }
}
