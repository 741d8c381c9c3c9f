//! Waits that watch, have a deadline, and tell what they saw last.

use std::fmt::Debug;
use std::time::Duration;

use anyhow::{Result, bail};
use futures::StreamExt as _;
use kube::Api;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::watch_object;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Long enough for a busy machine with two cores; a test that passes never waits for it.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Waits until the object satisfies `condition`, which gets `None` while there is no such object.
pub(crate) async fn until<K>(
    api: &Api<K>,
    name: &str,
    what: &str,
    condition: impl Fn(Option<&K>) -> bool,
) -> Result<Option<K>>
where
    K: kube::Resource + Clone + Debug + DeserializeOwned + Serialize + Send + 'static,
{
    let mut last = None;
    let mut watch = watch_object(api.clone(), name).default_backoff().boxed();
    let search = async {
        while let Some(event) = watch.next().await {
            match event {
                Ok(object) if condition(object.as_ref()) => return Ok(object),
                Ok(object) => last = object,
                // The watch starts over by itself; what it could not say is not what we wait for.
                Err(error) => tracing::debug!(%error, "while waiting"),
            }
        }
        bail!("the watch of {name} has ended")
    };
    match tokio::time::timeout(TIMEOUT, search).await {
        Ok(result) => result,
        Err(_) => bail!(
            "expected of {name} within {TIMEOUT:?}: {what}; last seen: {}",
            serde_json::to_string_pretty(&last)?
        ),
    }
}
