//! The node that a pod is meant for.

use k8s_openapi::api::core::v1::NodeAffinity;
use serde::Deserialize;

/// The part of an affinity that the DaemonSet controller writes.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct AffinityView {
    /// Node affinity, as in a Pod.
    pub node_affinity: Option<NodeAffinity>,
}

/// The node that the DaemonSet controller intends for a pod with this affinity.
///
/// The controller sets a required node affinity on `metadata.name`, and leaves the binding to the scheduler.
/// <https://kubernetes.io/docs/concepts/workloads/controllers/daemonset/#how-daemon-pods-are-scheduled>
#[must_use]
pub(super) fn intended_node(affinity: &NodeAffinity) -> Option<&str> {
    let required = affinity.required_during_scheduling_ignored_during_execution.as_ref()?;
    required
        .node_selector_terms
        .iter()
        .flat_map(|term| term.match_fields.iter().flatten())
        .find(|field| field.key == "metadata.name" && field.operator == "In")
        .and_then(|field| field.values.as_deref()?.first())
        .map(String::as_str)
}
