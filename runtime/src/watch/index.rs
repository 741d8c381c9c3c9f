//! Keeps indices up to date by the events of watches.
//!
//! ```text
//!  watcher ── Event ──▶ Reflector ── collect, reset, apply, delete ──▶ Index
//!                           ├── Synced: the first list is complete
//!                           └── Change: what the index has taken over
//! ```
//!
//! A watch begins with a list, and begins anew with a list whenever it cannot be resumed. No event reports
//! what was deleted in between: only the complete list shows it.

use std::collections::BTreeMap;

use futures::{Stream, StreamExt};
use kube::{
    Resource, ResourceExt,
    runtime::watcher::{self, Event},
};
use tokio::sync::watch;

/// A view of the objects of one kind that a watch keeps up to date.
pub trait Index<K> {
    /// The objects of a list that is not complete yet.
    type List: Default + Send;

    /// Adds an object to a list that is not complete yet.
    ///
    /// The index may use the object at once, but must wait for [`reset`](Self::reset) to remove others.
    fn collect(&mut self, list: &mut Self::List, object: K);

    /// Takes over a complete list: objects that are not in it are gone.
    fn reset(&mut self, list: Self::List);

    /// Adds or replaces an object; returns whether the [`Change`] is of interest.
    fn apply(&mut self, object: &K) -> bool;

    /// Removes an object; returns whether the [`Change`] is of interest.
    fn delete(&mut self, object: &K) -> bool;
}

/// A change that an index has taken over.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Change<K> {
    /// An object was added or replaced.
    Applied(K),
    /// An object was deleted.
    Deleted(K),
    /// A list replaced all objects: any may have changed, and some may be gone.
    Listed,
}

impl<K> Change<K> {
    /// Returns the object that was applied or deleted.
    pub fn object(&self) -> Option<&K> {
        match self {
            Self::Applied(object) | Self::Deleted(object) => Some(object),
            Self::Listed => None,
        }
    }
}

/// Applies the events of one watch to an index whose lists are of the type `L`.
#[derive(Debug)]
pub struct Reflector<L> {
    list: L,
    synced: watch::Sender<bool>,
}

impl<L: Default> Default for Reflector<L> {
    fn default() -> Self {
        Self { list: L::default(), synced: watch::Sender::new(false) }
    }
}

impl<L: Default> Reflector<L> {
    /// Returns a handle that waits for the first complete list.
    #[must_use]
    pub fn synced(&self) -> Synced {
        Synced(self.synced.subscribe())
    }

    /// Applies an event to `index`; returns the change if it is of interest.
    pub fn observe<K, I>(&mut self, index: &mut I, event: Event<K>) -> Option<Change<K>>
    where
        I: Index<K, List = L>,
    {
        match event {
            Event::Init => {
                self.list = L::default();
                None
            }
            Event::InitApply(object) => {
                index.collect(&mut self.list, object);
                None
            }
            Event::InitDone => {
                index.reset(std::mem::take(&mut self.list));
                self.synced.send_replace(true);
                Some(Change::Listed)
            }
            Event::Apply(object) => index.apply(&object).then_some(Change::Applied(object)),
            Event::Delete(object) => index.delete(&object).then_some(Change::Deleted(object)),
        }
    }
}

/// Whether a watch has delivered its first complete list. Clones share it.
#[derive(Clone, Debug)]
pub struct Synced(watch::Receiver<bool>);

impl Synced {
    /// Waits for the first complete list; returns `false` if the watch ended before.
    ///
    /// Any number of tasks can wait. `Store::wait_until_ready` of kube 5.0 wakes only the last one.
    pub async fn wait(&self) -> bool {
        self.0.clone().wait_for(|synced| *synced).await.is_ok()
    }

    /// Returns whether the first list is complete.
    #[must_use]
    pub fn is_synced(&self) -> bool {
        *self.0.borrow()
    }
}

/// Applies `events` to `index`, and passes on the changes of interest.
///
/// The index advances as the returned stream is polled.
///
/// The stream leaves out errors: [`watch`](super::watch()) recovers from them, and
/// [`report_errors`](super::report_errors) reports them on their way here.
pub fn index<K, I, S>(
    mut index: I,
    events: S,
) -> (Synced, impl Stream<Item = Change<K>> + Send + use<K, I, S>)
where
    K: Send,
    I: Index<K> + Send,
    S: Stream<Item = watcher::Result<Event<K>>> + Send,
{
    let mut reflector = Reflector::default();
    let synced = reflector.synced();
    let changes = events.filter_map(move |event| {
        let change = event.ok().and_then(|event| reflector.observe(&mut index, event));
        std::future::ready(change)
    });
    (synced, changes)
}

/// Objects by namespace and name.
pub type Objects<K> = BTreeMap<(String, String), K>;

impl<K: Resource<DynamicType = ()> + Clone + Send> Index<K> for Objects<K> {
    type List = Self;

    fn collect(&mut self, list: &mut Self, object: K) {
        list.insert(key(&object), object);
    }

    fn reset(&mut self, list: Self) {
        *self = list;
    }

    fn apply(&mut self, object: &K) -> bool {
        self.insert(key(object), object.clone());
        true
    }

    fn delete(&mut self, object: &K) -> bool {
        self.remove(&key(object));
        true
    }
}

fn key<K: Resource>(object: &K) -> (String, String) {
    (object.namespace().unwrap_or_default(), object.name_any())
}

#[cfg(test)]
mod tests {
    use futures::stream;
    use k8s_openapi::api::core::v1::ConfigMap;

    use super::*;

    fn object(name: &str) -> ConfigMap {
        let mut object = ConfigMap::default();
        object.metadata.name = Some(name.to_owned());
        object
    }

    fn names(objects: &Objects<ConfigMap>) -> String {
        objects.keys().map(|(_, name)| name.as_str()).collect()
    }

    #[test]
    fn a_list_is_taken_over_as_a_whole_when_it_is_complete() {
        let (mut objects, mut reflector) = (Objects::default(), Reflector::default());
        let synced = reflector.synced();
        let mut observe = |event| {
            let change = reflector.observe(&mut objects, event);
            (names(&objects), change)
        };
        assert_eq!(observe(Event::Init), (String::new(), None));
        assert_eq!(observe(Event::InitApply(object("a"))), (String::new(), None));
        assert!(!synced.is_synced());
        assert_eq!(observe(Event::InitDone), ("a".to_owned(), Some(Change::Listed)));
        assert!(synced.is_synced());
        let b = object("b");
        assert_eq!(observe(Event::Apply(b.clone())), ("ab".to_owned(), Some(Change::Applied(b))));
        let a = object("a");
        assert_eq!(observe(Event::Delete(a.clone())), ("b".to_owned(), Some(Change::Deleted(a))));
        assert_eq!(observe(Event::Init), ("b".to_owned(), None));
        assert_eq!(observe(Event::InitApply(object("c"))), ("b".to_owned(), None));
        // The watch has broken off in the middle of the list.
        assert_eq!(observe(Event::Init), ("b".to_owned(), None));
        assert_eq!(observe(Event::InitApply(object("d"))), ("b".to_owned(), None));
        assert_eq!(observe(Event::InitDone), ("d".to_owned(), Some(Change::Listed)));
    }

    #[tokio::test]
    async fn every_waiter_is_woken_when_the_first_list_is_complete() {
        let events = stream::iter([Event::Init, Event::InitDone].map(Ok)).chain(stream::pending());
        let (synced, changes) = index(Objects::<ConfigMap>::default(), events);
        let waiters = (0..3).map(|_| {
            let synced = synced.clone();
            tokio::spawn(async move { synced.wait().await })
        });
        let waiters: Vec<_> = waiters.collect();
        tokio::task::yield_now().await;
        let watch = tokio::spawn(changes.for_each(|_| std::future::ready(())));
        for waiter in waiters {
            assert!(waiter.await.unwrap());
        }
        watch.abort();
    }

    #[tokio::test]
    async fn a_watch_that_ended_will_never_be_synced() {
        let (synced, changes) = index(Objects::<ConfigMap>::default(), stream::empty());
        drop(changes);
        assert!(!synced.wait().await);
    }

    #[tokio::test]
    async fn errors_of_the_watch_change_nothing() {
        let events = [
            Ok(Event::Init),
            Ok(Event::InitApply(object("a"))),
            Err(watcher::Error::NoResourceVersion),
            Ok(Event::InitDone),
        ];
        let (_, changes) = index(Objects::default(), stream::iter(events));
        assert_eq!(changes.collect::<Vec<_>>().await, [Change::<ConfigMap>::Listed]);
    }
}
