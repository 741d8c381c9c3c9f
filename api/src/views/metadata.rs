//! Metadata of objects.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::{Resource, ResourceExt};

use crate::labels;

/// The owner reference of an object's controller.
#[must_use]
pub fn controller(metadata: &ObjectMeta) -> Option<&OwnerReference> {
    metadata.owner_references.iter().flatten().find(|owner| owner.controller == Some(true))
}

/// Drops metadata that nobody reads from a watched object, before it is cached.
pub fn prune<K: Resource>(object: &mut K) {
    object.managed_fields_mut().clear();
    object.labels_mut().clear();
    object.annotations_mut().retain(|key, _| key.starts_with(labels::GROUP));
}

/// Drops managed fields and annotations of kubectl from a watched object.
///
/// Its other labels and annotations are passed on to what is made for it.
pub fn prune_workload<K: Resource>(object: &mut K) {
    object.managed_fields_mut().clear();
    object.annotations_mut().retain(|key, _| !is_of_kubectl(key));
}

/// Whether the annotation `key` is kubectl's own.
#[must_use]
pub fn is_of_kubectl(key: &str) -> bool {
    key.starts_with("kubectl.kubernetes.io/")
}

/// Value of an annotation.
#[must_use]
pub fn annotation<'a>(metadata: &'a ObjectMeta, key: &str) -> Option<&'a str> {
    metadata.annotations.as_ref()?.get(key).map(String::as_str)
}
