//! The view of a namespace.

use kube::{Resource, core::ObjectMeta};
use serde::Deserialize;

use super::decode;

/// A Namespace with the annotations that limit its Jobs.
#[derive(Clone, Debug, Default, Deserialize, Resource)]
#[resource(inherit = k8s_openapi::api::core::v1::Namespace)]
pub struct NamespaceView {
    /// Object metadata, without the fields that nobody reads.
    #[serde(deserialize_with = "decode::metadata")]
    pub metadata: ObjectMeta,
}
