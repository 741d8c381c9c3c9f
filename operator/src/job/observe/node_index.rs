//! The nodes of the cluster, filled by their watch.
//!
//! The watch delivers all labels of a node. The index keeps those whose keys some Job names in `spec.order`, and
//! begins the watch anew when a Job names a new one.

use std::{collections::BTreeSet, sync::Arc};

use api::views::NodeView;
use futures::{Stream, StreamExt, stream};
use kube::runtime::watcher::{self, Event};
use runtime::watch::index::{Change, Index, Synced, index};
use tokio::sync::watch;

use crate::job::decide::observation::Nodes;

/// Keys of labels.
type Keys = BTreeSet<String>;

/// The nodes of the cluster. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct NodeIndex {
    known: watch::Receiver<Known>,
    wanted: watch::Sender<Keys>,
    synced: Synced,
}

/// The nodes that are known, with all their labels of these keys.
#[derive(Clone, Debug, Default)]
struct Known {
    nodes: Arc<Nodes>,
    keys: Arc<Keys>,
}

/// Makes the index, and the stream of changes that fills it as it is polled.
///
/// `begin` begins the watch; it is called again when a Job names the key of a label that the index lacks.
///
/// The stream yields a node when it is new or gone, when it becomes ready, unreachable or neither, and when a
/// label changes that some Job names. All else that matters to a Job also changes the status of its
/// DaemonSet, or its pods.
pub(crate) fn node_index<S>(
    begin: impl FnMut() -> S + Send + 'static,
) -> (NodeIndex, impl Stream<Item = Change<NodeView>> + Send + 'static)
where
    S: Stream<Item = watcher::Result<Event<NodeView>>> + Send + 'static,
{
    let (writer, known) = watch::channel(Known::default());
    let wanted = watch::Sender::new(Keys::new());
    let events = begun_anew(begin, wanted.subscribe());
    let writer = Writer { known: writer, wanted: wanted.subscribe() };
    let (synced, changes) = index(writer, events);
    (NodeIndex { known, wanted, synced }, changes)
}

/// The events of a watch that begins anew whenever `reason` changes.
fn begun_anew<S: Stream + Send + 'static, R: Send + Sync + 'static>(
    mut begin: impl FnMut() -> S + Send + 'static,
    reason: watch::Receiver<R>,
) -> impl Stream<Item = S::Item> + Send + 'static {
    let events = Box::pin(begin());
    stream::unfold((events, begin, reason), |(mut events, mut begin, mut reason)| async move {
        loop {
            tokio::select! {
                biased;
                Ok(()) = reason.changed() => events = Box::pin(begin()),
                event = events.next() => return event.map(|event| (event, (events, begin, reason))),
            }
        }
    })
}

impl NodeIndex {
    /// Waits for the first complete list; returns `false` if the watch ended before.
    pub(crate) async fn synced(&self) -> bool {
        self.synced.wait().await
    }

    /// Returns the nodes that are known, and whether their labels of these keys are.
    ///
    /// Labels that are not will be known when the next list of nodes is complete.
    pub(crate) fn known<'k>(&self, keys: impl Iterator<Item = &'k str>) -> (Arc<Nodes>, bool) {
        let Known { nodes, keys: known } = self.known.borrow().clone();
        let unknown: Vec<_> = keys.filter(|key| !known.contains(*key)).collect();
        if !unknown.is_empty() {
            self.wanted.send_if_modified(|wanted| {
                let before = wanted.len();
                wanted.extend(unknown.iter().map(|key| (*key).to_owned()));
                wanted.len() > before
            });
        }
        (nodes, unknown.is_empty())
    }
}

/// Changes copy the nodes only while a reader holds them.
struct Writer {
    known: watch::Sender<Known>,
    wanted: watch::Receiver<Keys>,
}

/// A list that is not complete yet.
#[derive(Default)]
struct List {
    nodes: Nodes,
    /// The keys that were wanted when it began: its nodes have these labels.
    keys: Option<Arc<Keys>>,
}

impl Writer {
    /// Drops the labels that no Job names.
    fn prune(&self, mut node: NodeView) -> NodeView {
        let wanted = self.wanted.borrow();
        node.prune_labels(|key| wanted.contains(key));
        node
    }

    fn wanted(&self) -> Arc<Keys> {
        Arc::new(self.wanted.borrow().clone())
    }
}

impl Index<NodeView> for Writer {
    type List = List;

    fn collect(&mut self, list: &mut List, node: NodeView) {
        list.keys.get_or_insert_with(|| self.wanted());
        list.nodes.insert(name(&node).to_owned(), Arc::new(self.prune(node)));
    }

    fn reset(&mut self, list: List) {
        let keys = list.keys.unwrap_or_else(|| self.wanted());
        self.known.send_replace(Known { nodes: Arc::new(list.nodes), keys });
    }

    fn apply(&mut self, node: &NodeView) -> bool {
        let node = Arc::new(self.prune(node.clone()));
        let mut before = None;
        self.known.send_modify(|known| {
            let nodes = Arc::make_mut(&mut known.nodes);
            before = nodes.insert(name(&node).to_owned(), Arc::clone(&node));
        });
        before.is_none_or(|before| differs(&before, &node))
    }

    fn delete(&mut self, node: &NodeView) -> bool {
        self.known.send_modify(|known| _ = Arc::make_mut(&mut known.nodes).remove(name(node)));
        true
    }
}

/// Whether a node has changed in what matters to a Job with a pod on it.
fn differs(before: &NodeView, now: &NodeView) -> bool {
    before.metadata.uid != now.metadata.uid
        || before.is_ready() != now.is_ready()
        || before.is_unreachable() != now.is_unreachable()
        || before.labels() != now.labels()
}

fn name(node: &NodeView) -> &str {
    node.metadata.name.as_deref().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use k8s_openapi::api::core::v1::Taint;

    use super::*;
    use crate::testing::fixtures::{self, unreachable_node};

    fn node(name: &str) -> NodeView {
        (*fixtures::node(name)).clone()
    }

    fn lost(name: &str) -> NodeView {
        (*unreachable_node(name)).clone()
    }

    fn not_ready(name: &str) -> NodeView {
        let mut node = node(name);
        let key = "node.kubernetes.io/not-ready".to_owned();
        node.spec.taints.push(Taint { key, ..Taint::default() });
        node
    }

    fn labelled(name: &str, labels: &[(&str, &str)]) -> NodeView {
        let mut node = node(name);
        let labels = labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        node.metadata.labels = Some(labels.collect());
        node
    }

    fn listed(nodes: impl IntoIterator<Item = NodeView>) -> Vec<Event<NodeView>> {
        let nodes = nodes.into_iter().map(Event::InitApply);
        [Event::Init].into_iter().chain(nodes).chain([Event::InitDone]).collect()
    }

    /// An index whose first watch has these events, and whose second has the others.
    fn watched(
        first: Vec<Event<NodeView>>,
        later: Vec<Event<NodeView>>,
    ) -> (NodeIndex, impl Stream<Item = Change<NodeView>> + Send + Unpin) {
        let mut watches = vec![later, first];
        let (index, changes) = node_index(move || {
            let events = watches.pop().expect("two watches");
            stream::iter(events.into_iter().map(Ok)).chain(stream::pending())
        });
        (index, Box::pin(changes))
    }

    /// The changes that are there now.
    fn ready(changes: &mut (impl Stream<Item = Change<NodeView>> + Unpin)) -> Vec<Option<String>> {
        let name_of = |change: Change<NodeView>| change.object().map(|node| name(node).to_owned());
        std::iter::from_fn(|| changes.next().now_or_never().flatten().map(name_of)).collect()
    }

    fn names(index: &NodeIndex) -> String {
        let (nodes, _) = index.known([].into_iter());
        let mut names: Vec<_> = nodes.keys().map(String::as_str).collect();
        names.sort_unstable();
        names.join(" ")
    }

    #[test]
    fn nodes_are_known_until_they_are_gone_and_what_was_looked_at_stays_as_it_was() {
        let events = [listed([node("a")]), vec![Event::Apply(node("b")), Event::Delete(node("a"))]];
        let (index, mut changes) = watched([events.concat(), listed([])].concat(), vec![]);
        let mut seen = vec![names(&index)];
        let mut first = None;
        while changes.next().now_or_never().flatten().is_some() {
            first.get_or_insert_with(|| index.known([].into_iter()).0);
            seen.push(names(&index));
        }
        assert_eq!(seen, ["", "a", "a b", "b", ""]);
        assert_eq!(first.unwrap().len(), 1);
    }

    #[test]
    fn a_node_is_passed_on_when_it_is_new_or_gone_and_when_its_taints_matter() {
        let again = |node: NodeView| [Event::Apply(node.clone()), Event::Apply(node)];
        let events = [
            listed([node("a")]),
            vec![Event::Apply(node("a"))],
            again(lost("a")).to_vec(),
            again(node("a")).to_vec(),
            again(not_ready("a")).to_vec(),
            vec![Event::Delete(not_ready("a"))],
            again(node("b")).to_vec(),
        ];
        let (_index, mut changes) = watched(events.concat(), vec![]);
        let [a, b] = ["a", "b"].map(|name| Some(name.to_owned()));
        let expected = [None, a.clone(), a.clone(), a.clone(), a, b];
        assert_eq!(ready(&mut changes), expected, "a list may hold any change");
    }

    #[test]
    fn labels_that_no_job_names_take_no_memory() {
        let labels = [("zone", "z1"), ("arch", "arm64")];
        let events = [listed([labelled("a", &labels)]), vec![Event::Apply(labelled("b", &labels))]];
        let (index, mut changes) = watched(events.concat(), vec![]);
        assert_eq!(ready(&mut changes).len(), 2);
        let (nodes, are_known) = index.known([].into_iter());
        assert!(are_known);
        assert_eq!(
            (nodes.len(), nodes.values().any(|node| node.metadata.labels.is_some())),
            (2, false)
        );
    }

    #[test]
    fn nodes_are_listed_once_more_for_a_new_key_and_then_its_labels_are_followed() {
        let with = |zone| labelled("a", &[("zone", zone), ("arch", "arm64")]);
        let later = [
            listed([with("z1")]),
            vec![Event::Apply(with("z1")), Event::Apply(with("z2")), Event::Apply(node("a"))],
        ];
        let (index, mut changes) = watched(listed([with("z1")]), later.concat());
        let known = || index.known(["zone"].into_iter());
        let zone = |nodes: &Nodes| nodes["a"].labels().clone().into_iter().collect::<Vec<_>>();
        ready(&mut changes);
        assert!(!known().1);
        assert!(!known().1, "the list is not there yet");
        assert_eq!(zone(&known().0), []);
        let mut next = || changes.next().now_or_never().flatten().is_some();
        assert!(next());
        let (nodes, are_known) = known();
        assert!(are_known);
        assert_eq!(zone(&nodes), [("zone".to_owned(), "z1".to_owned())]);
        assert!(next());
        assert_eq!(zone(&known().0), [("zone".to_owned(), "z2".to_owned())]);
        assert!(next());
        assert_eq!((zone(&known().0), next()), (vec![], false), "no third watch begins");
    }

    /// The first nodes of the list were pruned before the key was wanted.
    #[test]
    fn a_key_that_is_named_during_a_list_is_known_after_the_next_one() {
        let zoned = |name| labelled(name, &[("zone", "z1")]);
        let (known, nodes) = watch::channel(Known::default());
        let wanted = watch::Sender::new(Keys::new());
        let mut writer = Writer { known, wanted: wanted.subscribe() };
        let knows_zone = || nodes.borrow().keys.contains("zone");
        let mut list = List::default();
        writer.collect(&mut list, zoned("a"));
        wanted.send_replace(["zone".to_owned()].into());
        writer.collect(&mut list, zoned("b"));
        writer.reset(list);
        assert!(!knows_zone());
        let mut list = List::default();
        writer.collect(&mut list, zoned("a"));
        writer.reset(list);
        assert!(knows_zone());
    }
}
