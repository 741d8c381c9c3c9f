//! The view of a node.

use std::{collections::BTreeMap, sync::OnceLock};

use k8s_openapi::api::core::v1::Taint;
use kube::{Resource, core::ObjectMeta};
use serde::Deserialize;

use super::decode;
use crate::job::node_set::Member;

/// A Node with its identity, its labels and its taints.
#[derive(Clone, Debug, Default, Deserialize, Resource)]
#[resource(inherit = k8s_openapi::api::core::v1::Node)]
pub struct NodeView {
    /// Object metadata, without the fields that nobody reads.
    #[serde(deserialize_with = "decode::metadata_with_labels")]
    pub metadata: ObjectMeta,
    /// Taints of the node.
    #[serde(default)]
    pub spec: NodeSpecView,
    /// Cache of [`Self::member`].
    #[serde(skip)]
    member: OnceLock<Option<Member>>,
}

/// Spec of a node, with its taints only.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct NodeSpecView {
    /// Taints, as in a Node.
    #[serde(default)]
    pub taints: Vec<Taint>,
}

/// Taint of a node whose kubelet has been silent for too long.
///
/// The control plane does not know the state of the node's pods.
/// <https://kubernetes.io/docs/reference/labels-annotations-taints/#node-kubernetes-io-unreachable>
const UNREACHABLE: &str = "node.kubernetes.io/unreachable";

/// Taint of a node whose kubelet says that it cannot run pods.
/// <https://kubernetes.io/docs/reference/labels-annotations-taints/#node-kubernetes-io-not-ready>
const NOT_READY: &str = "node.kubernetes.io/not-ready";

impl NodeView {
    /// Creates the view of a node from its metadata and spec.
    #[must_use]
    pub fn new(metadata: ObjectMeta, spec: NodeSpecView) -> Self {
        Self { metadata, spec, member: OnceLock::new() }
    }

    /// The node as a member of the sets in a Job's status.
    #[must_use]
    pub fn member(&self) -> Option<Member> {
        *self.member.get_or_init(|| self.metadata.uid.as_ref().map(Member::from))
    }

    /// Whether the control plane has lost the node.
    ///
    /// Its pods may then be in another state than the API server shows.
    #[must_use]
    pub fn is_unreachable(&self) -> bool {
        self.spec.taints.iter().any(|taint| taint.key == UNREACHABLE)
    }

    /// Whether the control plane takes the node for ready, by its taints.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        !self.spec.taints.iter().any(|taint| [UNREACHABLE, NOT_READY].contains(&taint.key.as_str()))
    }

    /// The labels of the node; in the cache those that some Job names.
    #[must_use]
    pub fn labels(&self) -> &BTreeMap<String, String> {
        static NONE: BTreeMap<String, String> = BTreeMap::new();
        self.metadata.labels.as_ref().unwrap_or(&NONE)
    }

    /// Drops the labels that `is_read` does not select.
    pub fn prune_labels(&mut self, mut is_read: impl FnMut(&str) -> bool) {
        if let Some(labels) = &mut self.metadata.labels {
            labels.retain(|key, _| is_read(key));
        }
        self.metadata.labels = self.metadata.labels.take().filter(|labels| !labels.is_empty());
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn node(taints: &[&str], labels: &Value) -> NodeView {
        let taints: Vec<_> =
            taints.iter().map(|key| json!({"key": key, "effect": "NoExecute"})).collect();
        let node = json!({"metadata": {"labels": labels}, "spec": {"taints": taints}});
        serde_json::from_value(node).unwrap()
    }

    #[test]
    fn a_node_is_ready_unless_a_taint_says_otherwise() {
        let states = [&["example.com/mine"][..], &[NOT_READY], &[UNREACHABLE]];
        let states = states.map(|taints| node(taints, &Value::Null));
        assert_eq!(states.each_ref().map(NodeView::is_ready), [true, false, false]);
        assert_eq!(states.each_ref().map(NodeView::is_unreachable), [false, false, true]);
    }

    #[test]
    fn labels_are_kept_until_they_are_pruned() {
        let mut node = node(&[], &json!({"zone": "z1", "arch": "arm64"}));
        assert_eq!(node.labels().len(), 2);
        node.prune_labels(|key| key == "zone");
        assert_eq!(node.labels().keys().collect::<Vec<_>>(), ["zone"]);
        node.prune_labels(|_| false);
        assert_eq!((node.labels().len(), node.metadata.labels), (0, None));
    }
}
