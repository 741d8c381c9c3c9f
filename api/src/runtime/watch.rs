//! Watches of one namespace, of all, or of what is in none.

use std::fmt;

use futures::Stream;
use kube::{
    Api, Client, Resource,
    core::{ClusterResourceScope, NamespaceResourceScope},
    runtime::{WatchStreamExt, watcher},
};
use serde::de::DeserializeOwned;

use crate::views;

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
    watcher(api, config).default_backoff().modify(views::prune)
}

/// What an object must be able to do to be watched.
pub trait Watched: Clone + DeserializeOwned + fmt::Debug + Send + 'static {}

impl<K: Clone + DeserializeOwned + fmt::Debug + Send + 'static> Watched for K {}
