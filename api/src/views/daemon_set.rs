//! The view of a DaemonSet.

use k8s_openapi::api::apps::v1::DaemonSetStatus;
use kube::{Resource, core::ObjectMeta};
use serde::Deserialize;

use super::{decode, metadata::annotation};
use crate::labels;

/// A DaemonSet without its pod template.
#[derive(Clone, Debug, Default, Deserialize, Resource)]
#[resource(inherit = k8s_openapi::api::apps::v1::DaemonSet)]
pub struct DaemonSetView {
    /// Object metadata, without the fields that nobody reads.
    #[serde(deserialize_with = "decode::metadata")]
    pub metadata: ObjectMeta,
    /// Counts of the DaemonSet controller.
    pub status: Option<DaemonSetStatus>,
}

impl DaemonSetView {
    /// Hash of the work that the DaemonSet was written for.
    #[must_use]
    pub fn work_hash(&self) -> Option<&str> {
        annotation(&self.metadata, labels::ANNOTATION_WORK_HASH)
    }
}
