//! Caches of objects, for controllers.

use futures::Stream;
use kube::{
    Resource,
    runtime::{
        reflector::{Store, store::Writer},
        watcher::{self, Event},
    },
};

use super::index::{Change, Index, Synced, index};

/// The objects of one kind, filled by their watch. Clones share them.
#[derive(Clone)]
pub struct Cache<K: Resource<DynamicType = ()> + 'static> {
    /// The objects.
    pub store: Store<K>,
    synced: Synced,
}

impl<K: Resource<DynamicType = ()> + 'static> Cache<K> {
    /// Waits for the first complete list; returns `false` if the watch ended before.
    pub async fn synced(&self) -> bool {
        self.synced.wait().await
    }
}

/// Makes a cache, and the stream of changes that fills it as it is polled.
pub fn cache<K, S>(events: S) -> (Cache<K>, impl Stream<Item = Change<K>> + Send + use<K, S>)
where
    K: Resource<DynamicType = ()> + Clone + Send + Sync + 'static,
    S: Stream<Item = watcher::Result<Event<K>>> + Send,
{
    let writer = Writer::default();
    let store = writer.as_reader();
    let (synced, changes) = index(StoreIndex(writer), events);
    (Cache { store, synced }, changes)
}

/// Fills kube's store, which takes nothing but events.
struct StoreIndex<K: Resource<DynamicType = ()> + Clone + 'static>(Writer<K>);

impl<K: Resource<DynamicType = ()> + Clone + Send + 'static> Index<K> for StoreIndex<K> {
    type List = Vec<K>;

    fn collect(&mut self, list: &mut Vec<K>, object: K) {
        list.push(object);
    }

    fn reset(&mut self, list: Vec<K>) {
        self.0.apply_watcher_event(&Event::Init);
        for object in list {
            self.0.apply_watcher_event(&Event::InitApply(object));
        }
        self.0.apply_watcher_event(&Event::InitDone);
    }

    fn apply(&mut self, object: &K) -> bool {
        self.0.apply_watcher_event(&Event::Apply(object.clone()));
        true
    }

    fn delete(&mut self, object: &K) -> bool {
        self.0.apply_watcher_event(&Event::Delete(object.clone()));
        true
    }
}

#[cfg(test)]
mod tests {
    use futures::StreamExt;
    use k8s_openapi::api::core::v1::ConfigMap;

    use super::*;

    #[tokio::test]
    async fn a_change_is_reported_when_the_cache_holds_it() {
        let mut object = ConfigMap::default();
        object.metadata.name = Some("a".to_owned());
        let events = [
            Event::Init,
            Event::InitApply(object.clone()),
            Event::InitDone,
            Event::Apply(object.clone()),
            Event::Delete(object.clone()),
        ];
        let (cache, changes) = cache(futures::stream::iter(events.map(Ok)));
        let changes: Vec<_> = changes.map(|change| (change, cache.store.len())).collect().await;
        let expected = [
            (Change::Listed, 1),
            (Change::Applied(object.clone()), 1),
            (Change::Deleted(object), 0),
        ];
        assert_eq!(changes, expected);
        assert!(cache.synced().await);
    }
}
