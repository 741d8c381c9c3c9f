//! The pods of nodes whose turn it is.

use api::job::node_set::NodeSet;

use crate::job::decide::nodes::{NodeWork, WorkState};

/// A pod whose node's turn it is: its gate is to be removed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Release {
    /// Name of the pod.
    pub(crate) pod: String,
    /// UID of the pod: one of the same name is another.
    pub(crate) uid: String,
    /// Name of its node.
    pub(crate) node: String,
    /// Whether the status had that node before: the pod may be another one than was released then.
    pub(crate) is_repeated: bool,
}

impl Release {
    /// The release of the pod of `node`, if it waits for nothing but its turn.
    ///
    /// `recorded` are the nodes that the status had.
    pub(super) fn of(node: &NodeWork<'_>, recorded: Option<&NodeSet>) -> Option<Self> {
        let pod = node.turn.waiting.filter(|_| node.state == WorkState::Waiting)?;
        (!pod.spec.gates.others).then(|| Self {
            pod: pod.metadata.name.clone().unwrap_or_default(),
            uid: pod.metadata.uid.clone().unwrap_or_default(),
            node: node.name.to_owned(),
            is_repeated: recorded
                .zip(node.member)
                .is_some_and(|(recorded, node)| recorded.contains(node)),
        })
    }
}
