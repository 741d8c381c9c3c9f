//! The pods of all Jobs, as far as their watch has told, by the DaemonSet that they belong to.
//!
//! To look at a Job costs what its own pods cost, however many pods other Jobs have.

use std::{collections::HashMap, sync::Arc};

use api::views::PodView;
use futures::{Stream, StreamExt};
use kube::runtime::watcher::{self, Event};
use tokio::sync::watch;

/// The pods of all Jobs. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct PodCache(watch::Receiver<Known>);

/// The pods, and the events that tell of them, which are known when they are passed on.
pub(crate) fn pods(
    events: impl Stream<Item = watcher::Result<Event<PodView>>> + Send + 'static,
) -> (PodCache, impl Stream<Item = watcher::Result<Event<PodView>>> + Send + 'static) {
    let (writer, reader) = watch::channel(Known::default());
    let mut listed = Known::default();
    let events = events.inspect(move |event| match event {
        Ok(Event::Init) => listed = Known::default(),
        Ok(Event::InitApply(pod)) => listed.insert(pod),
        Ok(Event::InitDone) => {
            let list = std::mem::take(&mut listed);
            writer.send_modify(|known| {
                let version = known.version.max(list.version);
                *known = Known { version, is_filled: true, ..list };
            });
        }
        Ok(Event::Apply(pod)) => writer.send_modify(|known| known.insert(pod)),
        Ok(Event::Delete(pod)) => writer.send_modify(|known| known.remove(pod)),
        Err(_) => {}
    });
    (PodCache(reader), events)
}

impl PodCache {
    /// Waits until the first list is complete; `false` if it never will be, for the watch has ended.
    pub(crate) async fn synced(&self) -> bool {
        self.0.clone().wait_for(|known| known.is_filled).await.is_ok()
    }

    /// Waits until all is known that happened to any pod before this version; `false` if that cannot be
    /// told.
    ///
    /// Versions of the objects of one kind are numbers that grow with each change of any of them, and a watch
    /// tells of the changes in that order.
    /// <https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-versions>
    pub(crate) async fn until(&self, version: &str) -> bool {
        let Ok(version) = version.parse() else {
            return false;
        };
        self.0.clone().wait_for(|known| known.version >= version).await.is_ok()
    }

    /// The pods of the DaemonSet with this UID.
    pub(crate) fn of(&self, daemon_set: &str) -> Vec<Arc<PodView>> {
        let known = self.0.borrow();
        known.of(daemon_set).flat_map(HashMap::values).cloned().collect()
    }

    /// The pods on a node.
    pub(crate) fn on(&self, node: &str) -> Vec<Arc<PodView>> {
        let known = self.0.borrow();
        let all = known.by_daemon_set.values().flat_map(HashMap::values);
        all.filter(|pod| pod.node() == Some(node)).cloned().collect()
    }
}

/// What is known of the pods.
#[derive(Debug, Default)]
struct Known {
    /// A list was complete.
    is_filled: bool,
    /// The highest version that any pod was in.
    version: u64,
    /// By the UID of the DaemonSet, and their own. Pods without a DaemonSet are none of ours.
    by_daemon_set: HashMap<String, HashMap<String, Arc<PodView>>>,
}

impl Known {
    fn of(&self, daemon_set: &str) -> impl Iterator<Item = &HashMap<String, Arc<PodView>>> {
        self.by_daemon_set.get(daemon_set).into_iter()
    }

    fn insert(&mut self, pod: &PodView) {
        self.has_come_to(pod);
        let owner = pod.daemon_set().map(|owner| owner.uid.as_str());
        let known = owner.and_then(|owner| self.by_daemon_set.get_mut(owner)?.get_mut(uid(pod)));
        if let Some(known) = known {
            *known = Arc::new(pod.clone());
            return;
        }
        // It is new, or belonged to somebody else: a DaemonSet can be deleted without its pods.
        self.forget(pod);
        if let Some(owner) = owner {
            let pods = self.by_daemon_set.entry(owner.to_owned()).or_default();
            pods.insert(uid(pod).to_owned(), Arc::new(pod.clone()));
        }
    }

    fn remove(&mut self, pod: &PodView) {
        self.has_come_to(pod);
        self.forget(pod);
    }

    fn forget(&mut self, pod: &PodView) {
        self.by_daemon_set.retain(|_, pods| pods.remove(uid(pod)).is_none() || !pods.is_empty());
    }

    fn has_come_to(&mut self, pod: &PodView) {
        let version = pod.metadata.resource_version.as_ref();
        let version = version.and_then(|version| version.parse().ok()).unwrap_or_default();
        self.version = self.version.max(version);
    }
}

fn uid(pod: &PodView) -> &str {
    pod.metadata.uid.as_deref().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures::{FutureExt, stream};

    use super::*;
    use crate::fixtures;

    fn pod(uid: &str, version: &str) -> PodView {
        fixtures::pod("a").identity(uid, version).build().as_ref().clone()
    }

    /// What is known after these events.
    fn after(events: Vec<Event<PodView>>) -> PodCache {
        let (pods, events) = pods(stream::iter(events.into_iter().map(Ok)));
        events.for_each(|_| std::future::ready(())).now_or_never().unwrap();
        pods
    }

    fn uids(pods: &PodCache, daemon_set: &str) -> Vec<String> {
        let mut uids: Vec<_> =
            pods.of(daemon_set).iter().map(|pod| super::uid(pod).to_owned()).collect();
        uids.sort();
        uids
    }

    #[test]
    fn pods_are_known_by_their_daemon_set_until_they_are_gone() {
        let other = fixtures::pod("a").owner("ds-2").identity("c", "3").build();
        let pods = after(vec![
            Event::Init,
            Event::InitApply(pod("a", "1")),
            Event::InitDone,
            Event::Apply(pod("b", "2")),
            Event::Apply((*other).clone()),
            Event::Delete(pod("a", "4")),
        ]);
        assert_eq!(uids(&pods, fixtures::DAEMON_SET_UID), ["b"]);
        assert_eq!(uids(&pods, "ds-2"), ["c"]);
        assert_eq!(pods.on("a").len(), 2);
    }

    #[test]
    fn what_is_not_in_a_later_list_is_gone() {
        let listed = |uid| [Event::Init, Event::InitApply(pod(uid, "1")), Event::InitDone];
        let pods = after(listed("a").into_iter().chain(listed("b")).collect());
        assert_eq!(uids(&pods, fixtures::DAEMON_SET_UID), ["b"]);
    }

    #[test]
    fn half_a_list_is_not_known() {
        let pods = after(vec![Event::Init, Event::InitApply(pod("a", "1"))]);
        assert_eq!(uids(&pods, fixtures::DAEMON_SET_UID), [""; 0]);
        assert_eq!(pods.until("1").now_or_never(), Some(false));
    }

    #[test]
    fn pod_that_its_daemon_set_has_left_behind_is_nobodys() {
        let mut orphan = pod("a", "2");
        orphan.metadata.owner_references = None;
        let pods = after(vec![Event::Apply(pod("a", "1")), Event::Apply(orphan)]);
        assert_eq!(uids(&pods, fixtures::DAEMON_SET_UID), [""; 0]);
        assert_eq!(pods.0.borrow().by_daemon_set.len(), 0, "nothing is left of it");
    }

    #[tokio::test(start_paused = true)]
    async fn a_version_has_come_when_it_or_a_later_one_was_told() {
        let (pods, events) = pods(stream::iter([
            Ok(Event::Init),
            Ok(Event::InitApply(pod("a", "8"))),
            Ok(Event::InitDone),
            Ok(Event::Apply(pod("b", "12"))),
            Ok(Event::Delete(pod("a", "15"))),
        ]));
        let mut events = std::pin::pin!(events);
        let mut told = Vec::new();
        loop {
            let until = |version: &'static str| pods.until(version).now_or_never() == Some(true);
            told.push(["8", "9", "12", "15"].map(until));
            if events.next().await.is_none() {
                break;
            }
        }
        let (no, listed, applied) =
            ([false; 4], [true, false, false, false], [true, true, true, false]);
        assert_eq!(told, [no, no, no, listed, applied, [true; 4]]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_no_number_never_comes() {
        let (pods, _events) = pods(stream::pending());
        assert!(!pods.until("opaque").await);
        let waits = tokio::time::timeout(Duration::from_secs(60), pods.until("1")).await;
        assert!(waits.is_err());
    }
}
