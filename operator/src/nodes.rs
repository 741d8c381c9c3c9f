//! The nodes of the cluster, as far as their watch has told.

use std::{collections::HashMap, sync::Arc};

use api::views::NodeView;
use futures::{Stream, StreamExt};
use kube::runtime::watcher::{self, Event};
use tokio::sync::watch;

use crate::observed::Nodes;

/// The nodes of the cluster. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct NodeCache(watch::Receiver<Known>);

/// What is known of the nodes.
#[derive(Debug, Default)]
struct Known {
    /// A list was complete.
    is_filled: bool,
    /// Copied by a change only while somebody looks at it.
    nodes: Arc<Nodes>,
}

/// The nodes, and the events that tell of them, which are known when they are passed on.
pub(crate) fn nodes(
    events: impl Stream<Item = watcher::Result<Event<NodeView>>> + Send + 'static,
) -> (NodeCache, impl Stream<Item = watcher::Result<Event<NodeView>>> + Send + 'static) {
    let (writer, reader) = watch::channel(Known::default());
    let mut listed = HashMap::new();
    let events = events.inspect(move |event| match event {
        Ok(Event::Init) => listed = HashMap::new(),
        Ok(Event::InitApply(node)) => insert(&mut listed, node),
        Ok(Event::InitDone) => {
            let nodes = Arc::new(std::mem::take(&mut listed));
            writer.send_replace(Known { is_filled: true, nodes });
        }
        Ok(Event::Apply(node)) => {
            writer.send_modify(|known| insert(Arc::make_mut(&mut known.nodes), node));
        }
        Ok(Event::Delete(node)) => writer.send_modify(|known| {
            Arc::make_mut(&mut known.nodes).remove(name(node));
        }),
        Err(_) => {}
    });
    (NodeCache(reader), events)
}

impl NodeCache {
    /// Waits until the first list is complete; `false` if it never will be, for the watch has ended.
    pub(crate) async fn synced(&self) -> bool {
        self.0.clone().wait_for(|known| known.is_filled).await.is_ok()
    }

    /// What is known now.
    pub(crate) fn known(&self) -> Arc<Nodes> {
        Arc::clone(&self.0.borrow().nodes)
    }
}

fn insert(nodes: &mut Nodes, node: &NodeView) {
    nodes.insert(name(node).to_owned(), Arc::new(node.clone()));
}

fn name(node: &NodeView) -> &str {
    node.metadata.name.as_deref().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use futures::{FutureExt, stream};

    use super::*;
    use crate::fixtures;

    fn node(name: &str) -> NodeView {
        (*fixtures::node(name)).clone()
    }

    #[test]
    fn nodes_are_known_until_they_are_gone_and_what_was_looked_at_stays_as_it_was() {
        let (nodes, events) = nodes(stream::iter([
            Ok(Event::Init),
            Ok(Event::InitApply(node("a"))),
            Ok(Event::InitDone),
            Ok(Event::Apply(node("b"))),
            Ok(Event::Delete(node("a"))),
            Ok(Event::Init),
            Ok(Event::InitDone),
        ]));
        let seen = events.map(|_| nodes.known()).collect::<Vec<_>>().now_or_never().unwrap();
        let names: Vec<_> = seen
            .iter()
            .map(|nodes| {
                let mut names: Vec<_> = nodes.keys().map(String::as_str).collect();
                names.sort_unstable();
                names.join(" ")
            })
            .collect();
        assert_eq!(names, ["", "", "a", "a b", "b", "b", ""]);
    }
}
