//! Which nodes are lost, or answer again.

use std::collections::HashSet;

use api::views::NodeView;
use kube::{ResourceExt, runtime::watcher::Event};

/// The nodes that are unreachable, as the events of their watch tell.
///
/// Nothing else of a node matters to the status of a Job by itself: what does changes its DaemonSet's
/// status or its pods.
#[derive(Debug, Default)]
pub(crate) struct Reachability {
    unreachable: HashSet<String>,
    /// The nodes of a list that is not complete yet.
    listed: HashSet<String>,
}

impl Reachability {
    /// The node of an event that has become unreachable, or reachable again, by it.
    pub(crate) fn turned(&mut self, event: Event<NodeView>) -> Option<NodeView> {
        match event {
            Event::Apply(node) => self.has_turned(&node).then_some(node),
            Event::InitApply(node) => {
                self.listed.insert(node.name_any());
                self.has_turned(&node).then_some(node)
            }
            Event::Delete(node) => {
                self.unreachable.remove(&node.name_any());
                None
            }
            Event::Init => {
                self.listed.clear();
                None
            }
            Event::InitDone => {
                let listed = std::mem::take(&mut self.listed);
                self.unreachable.retain(|name| listed.contains(name));
                None
            }
        }
    }

    fn has_turned(&mut self, node: &NodeView) -> bool {
        let name = node.name_any();
        match node.is_unreachable() {
            true => self.unreachable.insert(name),
            false => self.unreachable.remove(&name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{node, unreachable_node};

    #[test]
    fn a_node_is_told_once_when_it_turns() {
        let mut reachability = Reachability::default();
        let (lost, back) = ((*unreachable_node("a")).clone(), (*node("a")).clone());
        let mut turns = |node: &NodeView, event: fn(NodeView) -> Event<NodeView>| {
            reachability.turned(event(node.clone())).is_some()
        };
        assert!(!turns(&back, Event::InitApply), "it is new");
        assert!(turns(&lost, Event::Apply));
        assert!(!turns(&lost, Event::Apply), "that was known");
        assert!(turns(&back, Event::InitApply), "also after a gap in the watch");
        assert!(turns(&lost, Event::InitApply));
        assert!(!turns(&lost, Event::Delete));
        assert!(!turns(&back, Event::Apply), "it is another node");
        assert!(turns(&lost, Event::Apply));
        for event in [Event::Init, Event::InitDone] {
            assert!(reachability.turned(event).is_none());
        }
        assert_eq!(reachability.unreachable.len(), 0, "it is gone");
    }
}
