//! The nodes of the cluster, filled by their watch.

use std::sync::Arc;

use api::views::NodeView;
use futures::Stream;
use kube::runtime::watcher::{self, Event};
use runtime::watch::index::{Change, Index, Synced, index};
use tokio::sync::watch;

use crate::job::decide::observation::Nodes;

/// The nodes of the cluster. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct NodeIndex {
    nodes: watch::Receiver<Arc<Nodes>>,
    synced: Synced,
}

/// Makes the index, and the stream of changes that fills it as it is polled.
///
/// The stream yields a node when it becomes unreachable, or reachable again. All else that matters to a Job
/// also changes the status of its DaemonSet, or its pods.
pub(crate) fn node_index(
    events: impl Stream<Item = watcher::Result<Event<NodeView>>> + Send + 'static,
) -> (NodeIndex, impl Stream<Item = Change<NodeView>> + Send + 'static) {
    let (sender, nodes) = watch::channel(Arc::default());
    let (synced, changes) = index(Writer(sender), events);
    (NodeIndex { nodes, synced }, changes)
}

impl NodeIndex {
    /// Waits for the first complete list; returns `false` if the watch ended before.
    pub(crate) async fn synced(&self) -> bool {
        self.synced.wait().await
    }

    /// Returns the nodes that are known now.
    pub(crate) fn known(&self) -> Arc<Nodes> {
        Arc::clone(&self.nodes.borrow())
    }
}

/// Changes copy the nodes only while a reader holds them.
struct Writer(watch::Sender<Arc<Nodes>>);

impl Index<NodeView> for Writer {
    type List = Nodes;

    fn collect(&mut self, list: &mut Nodes, node: NodeView) {
        list.insert(name(&node).to_owned(), Arc::new(node));
    }

    fn reset(&mut self, list: Nodes) {
        self.0.send_replace(Arc::new(list));
    }

    fn apply(&mut self, node: &NodeView) -> bool {
        let mut was_unreachable = false;
        self.0.send_modify(|nodes| {
            let nodes = Arc::make_mut(nodes);
            let before = nodes.insert(name(node).to_owned(), Arc::new(node.clone()));
            was_unreachable = before.is_some_and(|before| before.is_unreachable());
        });
        was_unreachable != node.is_unreachable()
    }

    fn delete(&mut self, node: &NodeView) -> bool {
        self.0.send_modify(|nodes| _ = Arc::make_mut(nodes).remove(name(node)));
        false
    }
}

fn name(node: &NodeView) -> &str {
    node.metadata.name.as_deref().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use futures::{FutureExt, StreamExt, stream};

    use super::*;
    use crate::testing::fixtures::{self, unreachable_node};

    fn node(name: &str) -> NodeView {
        (*fixtures::node(name)).clone()
    }

    fn lost(name: &str) -> NodeView {
        (*unreachable_node(name)).clone()
    }

    #[test]
    fn nodes_are_known_until_they_are_gone_and_what_was_looked_at_stays_as_it_was() {
        let (sender, nodes) = watch::channel(Arc::default());
        let mut writer = Writer(sender);
        let names = |nodes: &Nodes| {
            let mut names: Vec<_> = nodes.keys().map(String::as_str).collect();
            names.sort_unstable();
            names.join(" ")
        };
        let mut list = HashMap::new();
        writer.collect(&mut list, node("a"));
        writer.reset(list);
        let first = Arc::clone(&nodes.borrow());
        writer.apply(&node("b"));
        let second = Arc::clone(&nodes.borrow());
        writer.delete(&node("a"));
        let third = Arc::clone(&nodes.borrow());
        writer.reset(HashMap::new());
        let seen = [first, second, third, Arc::clone(&nodes.borrow())];
        assert_eq!(seen.map(|nodes| names(&nodes)), ["a", "a b", "b", ""]);
    }

    #[test]
    fn a_node_is_passed_on_once_when_it_is_lost_or_answers_again() {
        let (_, changes) = node_index(stream::iter(
            [
                Event::Init,
                Event::InitApply(node("a")),
                Event::InitDone,
                Event::Apply(node("a")),
                Event::Apply(lost("a")),
                Event::Apply(lost("a")),
                Event::Apply(node("a")),
                Event::Apply(lost("a")),
                // It is another node then.
                Event::Delete(lost("a")),
                Event::Apply(node("a")),
                Event::Apply(lost("b")),
            ]
            .map(Ok),
        ));
        let changes: Vec<_> = changes.collect::<Vec<_>>().now_or_never().unwrap();
        let is_lost = |node: &NodeView| (name(node).to_owned(), node.is_unreachable());
        let seen: Vec<_> = changes.iter().map(|change| change.object().map(is_lost)).collect();
        let turned = |name: &str, is_lost| Some((name.to_owned(), is_lost));
        let expected =
            [turned("a", true), turned("a", false), turned("a", true), turned("b", true)];
        assert_eq!(seen[0], None, "a list may hold any change");
        assert_eq!(seen[1..], expected);
    }
}
