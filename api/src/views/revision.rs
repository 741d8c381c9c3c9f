//! The view of a revision of a DaemonSet's pod template.

use kube::{Resource, core::ObjectMeta};
use serde::Deserialize;

use super::{decode::Metadata, pod::RevisionLabels};

/// A ControllerRevision without the template.
#[derive(Clone, Debug, Default, Deserialize, Resource)]
#[resource(inherit = k8s_openapi::api::apps::v1::ControllerRevision)]
#[serde(from = "Decoded")]
pub struct RevisionView {
    /// Object metadata, without the fields that nobody reads.
    pub metadata: ObjectMeta,
    /// Number of the revision: that of the current template is the greatest.
    pub revision: i64,
    /// Hash by which pods refer to it.
    pub hash: Option<Box<str>>,
}

#[derive(Deserialize)]
struct Decoded {
    metadata: Metadata<RevisionLabels>,
    #[serde(default)]
    revision: i64,
}

impl From<Decoded> for RevisionView {
    fn from(Decoded { mut metadata, revision }: Decoded) -> Self {
        let hash = metadata.labels.take().and_then(|labels| labels.hash);
        Self { metadata: metadata.pruned(), revision, hash }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn number_and_hash_are_read() {
        let labels = json!({"controller-revision-hash": "5d", "app": "a"});
        let revision = json!({"metadata": {"labels": labels}, "revision": 3, "data": {"spec": {}}});
        let view: RevisionView = serde_json::from_value(revision).unwrap();
        assert_eq!((view.revision, view.hash.as_deref()), (3, Some("5d")));
    }
}
