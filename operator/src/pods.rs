//! The pods of all Jobs, as far as their watch has told, by the DaemonSet that they belong to.
//!
//! To look at a Job costs what its own pods cost, however many pods other Jobs have.

use std::{collections::HashMap, sync::Arc, time::Duration};

use api::views::PodView;
use futures::{Stream, StreamExt};
use kube::runtime::watcher::{self, Event};
use tokio::sync::watch;

use crate::recent::Recent;

/// How long it matters that a pod is gone: nodes may be known so late, for a connection that has gone silent
/// is given up after five minutes, and some seconds pass until the next list is complete.
const LOSS: Duration = Duration::from_mins(6);

/// The pods of all Jobs. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct PodCache {
    known: watch::Receiver<Known>,
    /// The DaemonSets, by UID, of which a pod is gone.
    losses: Arc<Recent>,
}

/// The pods, and the events that change what is known of them, passed on when it is.
pub(crate) fn pods(
    events: impl Stream<Item = watcher::Result<Event<PodView>>> + Send + 'static,
) -> (PodCache, impl Stream<Item = watcher::Result<Event<PodView>>> + Send + 'static) {
    let (writer, known) = watch::channel(Known::default());
    let losses = Arc::new(Recent::within(LOSS));
    let cache = PodCache { known, losses: Arc::clone(&losses) };
    let mut listed = Known::default();
    let events = events.filter_map(move |event| {
        let mut has_changed = true;
        match &event {
            Ok(Event::Init) => listed = Known::default(),
            Ok(Event::InitApply(pod)) => _ = listed.insert(pod),
            Ok(Event::InitDone) => {
                let list = Known { is_filled: true, ..std::mem::take(&mut listed) };
                let before = writer.send_replace(list);
                let now = writer.borrow();
                before.lost_in(&now).for_each(|daemon_set| losses.done(daemon_set, ()));
            }
            Ok(Event::Apply(pod)) => writer.send_modify(|known| has_changed = known.insert(pod)),
            Ok(Event::Delete(pod)) => {
                writer.send_modify(|known| known.remove(pod));
                pod.daemon_set().into_iter().for_each(|owner| losses.done(&owner.uid, ()));
            }
            Err(_) => {}
        }
        std::future::ready(has_changed.then_some(event))
    });
    (cache, events)
}

impl PodCache {
    /// Waits until the first list is complete; `false` if it never will be, for the watch has ended.
    pub(crate) async fn synced(&self) -> bool {
        self.known.clone().wait_for(|known| known.is_filled).await.is_ok()
    }

    /// The highest version that is known.
    pub(crate) fn version(&self) -> u64 {
        self.known.borrow().version
    }

    /// Waits until all is known that happened to any pod before this version; `false` if that cannot be
    /// told, for it is no later one than that of `before`, for example.
    ///
    /// Versions of the objects of one kind are numbers that grow with each change of any of them, and a watch
    /// tells of the changes in that order.
    /// <https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-versions>
    pub(crate) async fn until(&self, before: u64, version: &str) -> bool {
        let Some(version) = version.parse().ok().filter(|version| *version > before) else {
            return false;
        };
        self.known.clone().wait_for(|known| known.version >= version).await.is_ok()
    }

    /// Whether a pod of the DaemonSet with this UID is gone since cached nodes can be from.
    pub(crate) fn has_lost(&self, daemon_set: &str) -> bool {
        self.losses.since(daemon_set).is_some()
    }

    /// The pods of the DaemonSet with this UID.
    pub(crate) fn of(&self, daemon_set: &str) -> Vec<Arc<PodView>> {
        let known = self.known.borrow();
        known.of(daemon_set).flat_map(HashMap::values).cloned().collect()
    }

    /// The pods on a node.
    pub(crate) fn on(&self, node: &str) -> Vec<Arc<PodView>> {
        let known = self.known.borrow();
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

    /// The DaemonSets of which a pod is not in `later` any more.
    fn lost_in<'a>(&'a self, later: &'a Known) -> impl Iterator<Item = &'a str> {
        let has_lost = |(owner, pods): &(&String, &HashMap<_, _>)| {
            let later = later.by_daemon_set.get(*owner);
            pods.keys().any(|pod| later.is_none_or(|later| !later.contains_key(pod)))
        };
        self.by_daemon_set.iter().filter(has_lost).map(|(owner, _)| owner.as_str())
    }

    /// Whether more than its version is new: a mark of ours, say, is no reason to look at the Job again.
    fn insert(&mut self, pod: &PodView) -> bool {
        self.has_come_to(pod);
        let owner = pod.daemon_set().map(|owner| owner.uid.as_str());
        let known = owner.and_then(|owner| self.by_daemon_set.get_mut(owner)?.get_mut(uid(pod)));
        if let Some(known) = known {
            let mut before = (**known).clone();
            before.metadata.resource_version.clone_from(&pod.metadata.resource_version);
            *known = Arc::new(pod.clone());
            return before != *pod;
        }
        // It is new, or belonged to somebody else: a DaemonSet can be deleted without its pods.
        self.forget(pod);
        if let Some(owner) = owner {
            let pods = self.by_daemon_set.entry(owner.to_owned()).or_default();
            pods.insert(uid(pod).to_owned(), Arc::new(pod.clone()));
        }
        true
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
    fn what_changes_nothing_but_the_version_is_known_and_not_passed_on() {
        let done = fixtures::pod("a").identity("a", "3").done().build();
        let events = [
            Event::Init,
            Event::InitApply(pod("a", "1")),
            Event::InitDone,
            Event::Apply(pod("a", "2")),
            Event::Apply((*done).clone()),
            Event::Apply((*done).clone()),
            Event::Delete((*done).clone()),
        ];
        let (pods, events) = pods(stream::iter(events.map(Ok)));
        let told = events
            .filter_map(|event| std::future::ready(event.ok()))
            .map(|event| (matches!(event, Event::Apply(_)), pods.version()))
            .collect::<Vec<_>>();
        let expected = [(false, 0), (false, 0), (false, 1), (true, 3), (false, 3)];
        assert_eq!(told.now_or_never().unwrap(), expected);
    }

    #[test]
    fn a_daemon_set_has_lost_a_pod_when_one_is_gone() {
        let mine = fixtures::DAEMON_SET_UID;
        let listed = |uids: &[&str]| {
            let listed = uids.iter().map(|uid| Event::InitApply(pod(uid, "1")));
            [Event::Init].into_iter().chain(listed).chain([Event::InitDone]).collect::<Vec<_>>()
        };
        let has_lost = |events: [Vec<Event<PodView>>; 2]| after(events.concat()).has_lost(mine);
        assert!(!has_lost([listed(&["a"]), listed(&["a", "b"])]));
        assert!(has_lost([listed(&["a", "b"]), listed(&["a"])]), "while nobody was told");
        assert!(has_lost([listed(&["a"]), vec![Event::Delete(pod("a", "2"))]]));
        let other = fixtures::pod("a").owner("ds-2").identity("c", "3").build();
        assert!(!has_lost([listed(&["a"]), vec![Event::Delete((*other).clone())]]));
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
        assert_eq!(pods.until(0, "1").now_or_never(), Some(false));
    }

    #[test]
    fn pod_that_its_daemon_set_has_left_behind_is_nobodys() {
        let mut orphan = pod("a", "2");
        orphan.metadata.owner_references = None;
        let pods = after(vec![Event::Apply(pod("a", "1")), Event::Apply(orphan)]);
        assert_eq!(uids(&pods, fixtures::DAEMON_SET_UID), [""; 0]);
        assert_eq!(pods.known.borrow().by_daemon_set.len(), 0, "nothing is left of it");
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
            let until = |version: &'static str| pods.until(0, version).now_or_never() == Some(true);
            told.push(["8", "9", "12", "15"].map(until));
            if events.next().await.is_none() {
                break;
            }
        }
        let (no, listed, applied) =
            ([false; 4], [true, false, false, false], [true, true, true, false]);
        assert_eq!(told, [no, no, no, listed, applied, [true; 4]]);
    }

    #[test]
    fn a_version_that_is_no_later_one_tells_nothing() {
        let pods = after(vec![Event::Apply(pod("a", "5"))]);
        let told = |before| pods.until(before, "5").now_or_never();
        assert_eq!((told(4), told(5)), (Some(true), Some(false)));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_no_number_never_comes() {
        let (pods, _events) = pods(stream::pending());
        assert!(!pods.until(0, "opaque").await);
        let waits = tokio::time::timeout(Duration::from_secs(60), pods.until(0, "1")).await;
        assert!(waits.is_err());
    }
}
