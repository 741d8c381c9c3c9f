//! Decodes the fields of an object that are read, and skips the rest.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::core::v1::{ContainerStatus, PodCondition},
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference, Time},
};
use serde::{Deserialize, Deserializer};

use super::affinity::{AffinityView, intended_node};
use crate::labels;

/// Condition by which the scheduler says why a pod has no node.
const SCHEDULED: &str = "PodScheduled";
/// Condition by which the kubelet says whether a pod's sandbox is ready.
/// <https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#pod-has-network>
pub(super) const SANDBOX_READY: &str = "PodReadyToStartContainers";
/// Phase of a pod that its kubelet has given up or refused.
const FAILED: &str = "Failed";

/// Decodes metadata without labels, foreign annotations and managed fields.
pub(super) fn metadata<'de, D: Deserializer<'de>>(decoder: D) -> Result<ObjectMeta, D::Error> {
    let read = Metadata::deserialize(decoder)?;
    let mut annotations = read.annotations.unwrap_or_default();
    annotations.retain(|key, _| key.starts_with(labels::GROUP));
    Ok(ObjectMeta {
        name: read.name,
        namespace: read.namespace,
        uid: read.uid,
        resource_version: read.resource_version,
        generation: read.generation,
        creation_timestamp: read.creation_timestamp,
        deletion_timestamp: read.deletion_timestamp,
        owner_references: read.owner_references,
        annotations: Some(annotations).filter(|annotations| !annotations.is_empty()),
        ..ObjectMeta::default()
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    name: Option<String>,
    namespace: Option<String>,
    uid: Option<String>,
    resource_version: Option<String>,
    generation: Option<i64>,
    creation_timestamp: Option<Time>,
    deletion_timestamp: Option<Time>,
    owner_references: Option<Vec<OwnerReference>>,
    annotations: Option<BTreeMap<String, String>>,
}

/// Decodes an affinity if it names a node; others do not say where a pod runs.
pub(super) fn intention<'de, D: Deserializer<'de>>(
    decoder: D,
) -> Result<Option<AffinityView>, D::Error> {
    let affinity = Option::<AffinityView>::deserialize(decoder)?;
    Ok(affinity
        .filter(|affinity| affinity.node_affinity.as_ref().and_then(intended_node).is_some()))
}

/// Decodes our conditions, the scheduler's, and the kubelet's of the sandbox.
pub(super) fn conditions<'de, D: Deserializer<'de>>(
    decoder: D,
) -> Result<Vec<PodCondition>, D::Error> {
    few(decoder, |condition: &PodCondition| {
        [labels::POD_COMPLETED, labels::POD_SANDBOX_CHANGED, SANDBOX_READY]
            .contains(&condition.type_.as_str())
            || condition.type_ == SCHEDULED && condition.status != "True"
    })
}

/// Decodes the phase if the pod has failed.
pub(super) fn failure<'de, D: Deserializer<'de>>(decoder: D) -> Result<Option<String>, D::Error> {
    Ok(Option::<String>::deserialize(decoder)?.filter(|phase| phase == FAILED))
}

/// Decodes the status of the job container, if it is in the list.
pub(super) fn job_container<'de, D: Deserializer<'de>>(
    decoder: D,
) -> Result<Vec<ContainerStatus>, D::Error> {
    few(decoder, |status: &ContainerStatus| status.name == labels::JOB_CONTAINER)
}

/// Decodes the job container's status, or else the name of a begun container.
pub(super) fn job_container_or_begun<'de, D: Deserializer<'de>>(
    decoder: D,
) -> Result<Vec<ContainerStatus>, D::Error> {
    let all = Option::<Vec<ContainerStatus>>::deserialize(decoder)?.unwrap_or_default();
    let has_begun = |status: &ContainerStatus| {
        let (state, last) = (status.state.as_ref(), status.last_state.as_ref());
        state.is_some_and(|state| state.running.is_some() || state.terminated.is_some())
            || last.is_some_and(|last| last.terminated.is_some())
    };
    let begun = all.iter().find(|status| has_begun(status)).map(|status| status.name.clone());
    let job_container = all.into_iter().find(|status| status.name == labels::JOB_CONTAINER);
    let named = |name| ContainerStatus { name, ..ContainerStatus::default() };
    Ok(job_container.or_else(|| begun.map(named)).into_iter().collect())
}

/// Decodes the items that `is_read` selects, into a vector of their size.
///
/// Some servers write null for no list.
fn few<'de, D, T>(decoder: D, is_read: impl FnMut(&T) -> bool) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    let mut list = Option::<Vec<T>>::deserialize(decoder)?.unwrap_or_default();
    list.retain(is_read);
    list.shrink_to_fit();
    Ok(list)
}
