//! Caches that watches fill.

use futures::{Stream, StreamExt, channel::mpsc};
use kube::{
    Resource,
    runtime::{
        WatchStreamExt,
        reflector::{self, Store},
        watcher::{self, Event},
    },
};
use tokio::sync::watch;

/// The objects of one kind, as far as their watch has told. Clones share them.
#[derive(Clone)]
pub struct Cache<K: Resource<DynamicType = ()> + 'static> {
    /// The objects.
    pub store: Store<K>,
    filled: watch::Receiver<bool>,
}

impl<K: Resource<DynamicType = ()> + 'static> Cache<K> {
    /// Waits until the first list of the objects is complete; `false` if it never will be, for the
    /// watch has ended.
    ///
    /// Any number of tasks can wait, which `Store::wait_until_ready` of kube 5.0 does not allow: it
    /// wakes only the one that came last.
    pub async fn synced(&self) -> bool {
        self.filled.clone().wait_for(|filled| *filled).await.is_ok()
    }
}

/// A cache, and the events that fill it as they are polled.
pub fn cache<K>(
    events: impl Stream<Item = watcher::Result<Event<K>>> + Send + 'static,
) -> (Cache<K>, impl Stream<Item = watcher::Result<Event<K>>> + Send + 'static)
where
    K: Resource<DynamicType = ()> + Clone + Send + Sync + 'static,
{
    let (store, writer) = reflector::store();
    let (sender, filled) = watch::channel(false);
    // Behind the store: what it tells of is in there.
    let events = events.reflect(writer).inspect(move |event| {
        if matches!(event, Ok(Event::InitDone)) {
            sender.send_replace(true);
        }
    });
    (Cache { store, filled }, events)
}

/// Tells when lists are complete: for [`Controller::reconcile_all_on`](kube::runtime::Controller::reconcile_all_on).
///
/// A cache knows what a list holds when that is complete, and not as it comes; and of what it does not hold any
/// more no event tells. So whoever was looked at meanwhile is to be looked at again.
#[derive(Clone, Debug)]
pub struct Lists(mpsc::UnboundedSender<()>);

impl Lists {
    /// The other half yields whenever a list has become complete.
    pub fn new() -> (Self, impl Stream<Item = ()> + Send + 'static) {
        let (sender, complete) = mpsc::unbounded();
        (Self(sender), complete)
    }

    /// Tells of the lists among these events, which have passed the cache.
    pub fn tell<K, S>(&self, events: S) -> impl Stream<Item = watcher::Result<Event<K>>> + use<K, S>
    where
        S: Stream<Item = watcher::Result<Event<K>>>,
    {
        let Self(sender) = self.clone();
        events.inspect(move |event| {
            if matches!(event, Ok(Event::InitDone)) {
                // Nobody hears it when the process ends.
                let _ = sender.unbounded_send(());
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;
    use crate::v1beta1::{Job, JobSpec};

    #[tokio::test]
    async fn every_waiter_is_woken_when_the_first_list_is_complete() {
        let events = futures::stream::iter([Event::Init, Event::InitDone].map(Ok));
        let (cache, events) = cache::<Job>(events.chain(futures::stream::pending()));
        let waiters = (0..3).map(|_| {
            let cache = cache.clone();
            tokio::spawn(async move { cache.synced().await })
        });
        let waiters: Vec<_> = waiters.collect();
        tokio::task::yield_now().await;
        let watch = tokio::spawn(events.for_each(|_| std::future::ready(())));
        for waiter in waiters {
            assert!(waiter.await.unwrap());
        }
        watch.abort();
    }

    #[tokio::test]
    async fn a_list_is_told_of_when_the_cache_holds_it() {
        let listed =
            [Event::Init, Event::InitApply(Job::new("a", JobSpec::default())), Event::InitDone];
        let (cache, events) = cache(futures::stream::iter(listed.map(Ok)));
        let (lists, mut complete) = Lists::new();
        let mut events = std::pin::pin!(lists.tell(events));
        let mut told = Vec::new();
        while events.next().await.is_some() {
            let is_complete = complete.next().now_or_never().is_some();
            told.push((is_complete, cache.store.len()));
        }
        assert_eq!(told, [(false, 0), (false, 0), (true, 1)]);
    }

    #[tokio::test]
    async fn a_watch_that_ended_will_never_be_synced() {
        let (cache, events) = cache::<Job>(futures::stream::empty());
        drop(events);
        assert!(!cache.synced().await);
    }
}
