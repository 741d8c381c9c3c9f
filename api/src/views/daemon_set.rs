//! The view of a DaemonSet.

use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash, Hasher},
};

use k8s_openapi::api::apps::v1::DaemonSetStatus;
use kube::{Resource, core::ObjectMeta};
use serde::Deserialize;

use super::{
    decode::Metadata,
    gates::{self, Gates},
    metadata::{annotation, is_of_kubectl},
};
use crate::labels;

/// Annotation in which the API server counts the changes of the pod template.
///
/// Nobody else can change it.
pub const TEMPLATE_GENERATION: &str = "deprecated.daemonset.template.generation";

/// A DaemonSet without its pod template.
#[derive(Clone, Debug, Default, Deserialize, Resource)]
#[resource(inherit = k8s_openapi::api::apps::v1::DaemonSet)]
#[serde(from = "Decoded")]
pub struct DaemonSetView {
    /// Object metadata, without the fields that nobody reads.
    pub metadata: ObjectMeta,
    /// Counts of the DaemonSet controller.
    pub status: Option<DaemonSetStatus>,
    /// Generation of the pod template.
    pub template_generation: Option<i64>,
    /// Scheduling gates of the pods that it creates.
    pub gates: Gates,
    /// Digest of labels, annotations and owners: their changes raise no generation.
    pub metadata_digest: u64,
}

#[derive(Deserialize)]
struct Decoded {
    metadata: Metadata<BTreeMap<String, String>>,
    status: Option<DaemonSetStatus>,
    #[serde(default)]
    spec: SpecView,
}

#[derive(Default, Deserialize)]
struct SpecView {
    #[serde(default)]
    template: TemplateView,
}

#[derive(Default, Deserialize)]
struct TemplateView {
    #[serde(default)]
    spec: PodSpecView,
}

/// Of a pod template's spec.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct PodSpecView {
    #[serde(default, rename = "schedulingGates", deserialize_with = "gates::decode")]
    gates: Gates,
}

impl From<Decoded> for DaemonSetView {
    fn from(Decoded { metadata, status, spec }: Decoded) -> Self {
        let annotations = metadata.annotations.iter().flatten();
        let template_generation = annotations
            .clone()
            .find(|(key, _)| *key == TEMPLATE_GENERATION)
            .and_then(|(_, generation)| generation.parse().ok());
        let mut digest = DefaultHasher::new();
        metadata.labels.hash(&mut digest);
        let annotations = annotations.filter(|(key, _)| !is_of_kubectl(key));
        annotations.for_each(|annotation| annotation.hash(&mut digest));
        for owner in metadata.owner_references.iter().flatten() {
            (&owner.uid, owner.controller, owner.block_owner_deletion).hash(&mut digest);
        }
        Self {
            metadata: metadata.pruned(),
            status,
            template_generation,
            gates: spec.template.spec.gates,
            metadata_digest: digest.finish(),
        }
    }
}

impl DaemonSetView {
    /// Hash of the work that the DaemonSet was written for.
    #[must_use]
    pub fn work_hash(&self) -> Option<&str> {
        annotation(&self.metadata, labels::ANNOTATION_WORK_HASH)
    }

    /// The version of the object; later ones are greater.
    ///
    /// <https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-versions>
    #[must_use]
    pub fn version(&self) -> Option<u64> {
        self.metadata.resource_version.as_ref()?.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn view(labels: &Value, annotations: &Value) -> DaemonSetView {
        let metadata = json!({"name": "d", "labels": labels, "annotations": annotations});
        serde_json::from_value(json!({"metadata": metadata})).unwrap()
    }

    #[test]
    fn a_change_of_labels_or_annotations_shows_in_the_digest() {
        let digest = |labels, annotations| view(&labels, &annotations).metadata_digest;
        let none = digest(json!(null), json!(null));
        assert_ne!(digest(json!({"a": "b"}), json!(null)), none);
        assert_ne!(digest(json!(null), json!({"a": "b"})), none);
        let of_kubectl = json!({"kubectl.kubernetes.io/last-applied-configuration": "{}"});
        assert_eq!(digest(json!(null), of_kubectl), none);
    }

    #[test]
    fn the_generation_of_the_template_is_read_and_labels_are_not_kept() {
        let read = view(&json!({"a": "b"}), &json!({TEMPLATE_GENERATION: "7"}));
        assert_eq!(read.template_generation, Some(7));
        assert_eq!((read.metadata.labels, read.metadata.annotations), (None, None));
    }
}
