//! The pods of all Jobs by their DaemonSet, filled by their watch.
//!
//! To look at a Job costs what its own pods cost, however many pods other Jobs have.

use std::{collections::HashMap, sync::Arc, time::Duration};

use api::views::PodView;
use futures::Stream;
use kube::runtime::watcher::{self, Event};
use runtime::{
    expiring_map::ExpiringMap,
    watch::index::{Change, Index, Synced, index},
};
use tokio::sync::watch;

use super::gone_pods::{ByDaemonSet, GonePods};

/// Time for which the loss of a pod matters.
///
/// The cached nodes may be so old: a connection that has gone silent is given up after five minutes, and
/// some seconds pass until the next list is complete.
const LOSS: Duration = Duration::from_mins(6);

/// The pods of all Jobs. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct PodIndex {
    pods: watch::Receiver<Pods>,
    /// The DaemonSets, by UID, that have lost a pod.
    losses: Arc<ExpiringMap>,
    synced: Synced,
}

/// Makes the index, and the stream of changes that fills it as it is polled.
///
/// The stream leaves out pods of which nothing but the version has changed.
pub(crate) fn pod_index(
    events: impl Stream<Item = watcher::Result<Event<PodView>>> + Send + 'static,
) -> (PodIndex, impl Stream<Item = Change<PodView>> + Send + 'static) {
    let (sender, pods) = watch::channel(Pods::default());
    let losses = Arc::new(ExpiringMap::new(LOSS));
    let writer = Writer { pods: sender, losses: Arc::clone(&losses) };
    let (synced, changes) = index(writer, events);
    (PodIndex { pods, losses, synced }, changes)
}

impl PodIndex {
    /// Waits for the first complete list; returns `false` if the watch ended before.
    pub(crate) async fn synced(&self) -> bool {
        self.synced.wait().await
    }

    /// Returns the highest version of any pod.
    pub(crate) fn version(&self) -> u64 {
        self.pods.borrow().version
    }

    /// Waits until all changes of pods up to `version` are known.
    ///
    /// Returns `false` if that cannot be known: `version` is no number, or not later than `before`.
    ///
    /// Versions of the objects of one kind are numbers that grow with each change of any of them, and a watch
    /// reports the changes in that order.
    /// <https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-versions>
    pub(crate) async fn until(&self, before: u64, version: &str) -> bool {
        let Some(version) = version.parse().ok().filter(|version| *version > before) else {
            return false;
        };
        self.pods.clone().wait_for(|pods| pods.version >= version).await.is_ok()
    }

    /// Returns whether the DaemonSet with this UID has lost a pod within [`LOSS`].
    pub(crate) fn has_lost(&self, daemon_set: &str) -> bool {
        self.losses.age(daemon_set).is_some()
    }

    /// Returns the pods of the DaemonSet with this UID.
    pub(crate) fn of(&self, daemon_set: &str) -> Vec<Arc<PodView>> {
        let pods = self.pods.borrow();
        pods.by_daemon_set.get(daemon_set).into_iter().flat_map(HashMap::values).cloned().collect()
    }

    /// Returns the pods of the DaemonSet that may be gone, with results.
    ///
    /// Their kubelets gave them up lately, or they were done and are gone.
    pub(crate) fn gone(&self, daemon_set: &str) -> Vec<Arc<PodView>> {
        self.pods.borrow().gone.of(daemon_set)
    }

    /// Returns the pods of all DaemonSets that have, or had, this name.
    pub(crate) fn of_all(&self, namespace: &str, daemon_set: &str) -> Vec<Arc<PodView>> {
        let is_of = |pod: &Arc<PodView>| {
            pod.metadata.namespace.as_deref() == Some(namespace)
                && pod.daemon_set().is_some_and(|owner| owner.name == daemon_set)
        };
        let pods = self.pods.borrow();
        let all = pods.by_daemon_set.values();
        all.filter(|pods| pods.values().next().is_some_and(is_of))
            .flat_map(HashMap::values)
            .cloned()
            .collect()
    }

    /// Returns the pods on a node.
    pub(crate) fn on(&self, node: &str) -> Vec<Arc<PodView>> {
        self.pods.borrow().by_node.on(node).to_vec()
    }
}

struct Writer {
    pods: watch::Sender<Pods>,
    losses: Arc<ExpiringMap>,
}

impl Index<PodView> for Writer {
    type List = Pods;

    fn collect(&mut self, list: &mut Pods, pod: PodView) {
        list.insert(&pod);
    }

    fn reset(&mut self, mut list: Pods) {
        let Self { pods, losses } = self;
        pods.send_modify(|pods| {
            list.gone = std::mem::take(&mut pods.gone);
            let before = std::mem::replace(pods, list);
            for (daemon_set, known) in before.by_daemon_set {
                let later = pods.by_daemon_set.get(&daemon_set);
                let mut has_lost = false;
                for (uid, pod) in known {
                    let later = later.and_then(|later| later.get(&uid));
                    has_lost |= later.is_none();
                    pods.gone.keep_result(&pod, later.map(AsRef::as_ref));
                }
                if has_lost {
                    losses.insert(&daemon_set, ());
                }
            }
        });
    }

    fn apply(&mut self, pod: &PodView) -> bool {
        let mut has_changed = false;
        self.pods.send_modify(|pods| {
            has_changed = pods.insert(pod);
            pods.gone.keep_given_up(pod);
        });
        has_changed
    }

    fn delete(&mut self, pod: &PodView) -> bool {
        self.pods.send_modify(|pods| pods.remove(pod));
        if let Some(daemon_set) = pod.daemon_set() {
            self.losses.insert(&daemon_set.uid, ());
        }
        true
    }
}

/// Pods by the UID of their DaemonSet, and their own.
#[derive(Debug, Default)]
struct Pods {
    /// The highest version of any pod.
    version: u64,
    /// Pods without a DaemonSet are none of ours.
    by_daemon_set: ByDaemonSet,
    by_node: PodsByNode,
    gone: GonePods,
}

impl Pods {
    /// Adds or replaces a pod; returns whether more than its version has changed.
    ///
    /// A condition that serves as a barrier, for example, is no reason to look at the Job again.
    fn insert(&mut self, pod: &PodView) -> bool {
        self.advance_to(pod);
        let owner = pod.daemon_set().map(|owner| owner.uid.as_str());
        let known = owner.and_then(|owner| self.by_daemon_set.get_mut(owner)?.get_mut(uid(pod)));
        if let Some(known) = known {
            let before = std::mem::replace(known, Arc::new(pod.clone()));
            self.by_node.replace(&before, known);
            self.gone.keep_result(&before, Some(pod));
            let mut before = Arc::unwrap_or_clone(before);
            before.metadata.resource_version.clone_from(&pod.metadata.resource_version);
            return before != *pod;
        }
        // It is new, or had another owner: a DaemonSet can be deleted without its pods.
        self.forget(pod);
        if let Some(owner) = owner {
            let (pods, pod) = (self.by_daemon_set.entry(owner.to_owned()), Arc::new(pod.clone()));
            self.by_node.add(&pod);
            pods.or_default().insert(uid(&pod).to_owned(), pod);
        }
        true
    }

    fn remove(&mut self, pod: &PodView) {
        self.advance_to(pod);
        self.forget(pod);
    }

    fn forget(&mut self, pod: &PodView) {
        self.by_daemon_set.retain(|_, pods| match pods.remove(uid(pod)) {
            Some(known) => {
                self.by_node.remove(&known);
                self.gone.keep_result(&known, None);
                !pods.is_empty()
            }
            None => true,
        });
    }

    fn advance_to(&mut self, pod: &PodView) {
        let version = pod.metadata.resource_version.as_ref();
        let version = version.and_then(|version| version.parse().ok()).unwrap_or_default();
        self.version = self.version.max(version);
        self.gone.expire();
    }
}

/// Pods by the name of the node that they are bound to or aimed at.
#[derive(Debug, Default)]
struct PodsByNode(HashMap<Box<str>, Vec<Arc<PodView>>>);

impl PodsByNode {
    fn on(&self, node: &str) -> &[Arc<PodView>] {
        self.0.get(node).map_or(&[], Vec::as_slice)
    }

    fn add(&mut self, pod: &Arc<PodView>) {
        let Some(node) = pod.node() else { return };
        match self.0.get_mut(node) {
            Some(pods) => pods.push(Arc::clone(pod)),
            // Most nodes have one: a vector that grows by itself has room for four.
            None => _ = self.0.insert(node.into(), vec![Arc::clone(pod)]),
        }
    }

    fn replace(&mut self, before: &PodView, pod: &Arc<PodView>) {
        let node = pod.node().filter(|node| before.node() == Some(*node));
        let pods = node.and_then(|node| self.0.get_mut(node));
        match pods.and_then(|pods| pods.iter_mut().find(|other| uid(other) == uid(pod))) {
            Some(known) => known.clone_from(pod),
            None => {
                self.remove(before);
                self.add(pod);
            }
        }
    }

    fn remove(&mut self, pod: &PodView) {
        let Some(node) = pod.node() else { return };
        if let Some(pods) = self.0.get_mut(node) {
            pods.retain(|other| uid(other) != uid(pod));
            if pods.is_empty() {
                self.0.remove(node);
            }
        }
    }
}

fn uid(pod: &PodView) -> &str {
    pod.metadata.uid.as_deref().unwrap_or_default()
}

#[cfg(test)]
mod tests;
