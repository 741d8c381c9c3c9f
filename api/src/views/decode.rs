//! Decodes the fields of an object that are read, and skips the rest.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::core::v1::{ContainerStatus, PodCondition},
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference, Time},
};
use serde::{Deserialize, Deserializer, de::IgnoredAny};

use super::affinity::{AffinityView, intended_node};
use crate::labels;

/// Condition by which the scheduler says why a pod has no node.
const SCHEDULED: &str = "PodScheduled";
/// Condition by which the kubelet says whether a pod's sandbox is ready.
/// <https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#pod-has-network>
pub(super) const SANDBOX_READY: &str = "PodReadyToStartContainers";
/// Reasons of a container that waits for its first start and for nothing that has failed.
pub const INITIALIZING: [&str; 2] = ["ContainerCreating", "PodInitializing"];
/// Phase of a pod that its kubelet has given up or refused.
const FAILED: &str = "Failed";

/// Decodes metadata without labels, foreign annotations and managed fields.
pub(super) fn metadata<'de, D: Deserializer<'de>>(decoder: D) -> Result<ObjectMeta, D::Error> {
    Metadata::<IgnoredAny>::deserialize(decoder).map(Metadata::pruned)
}

/// Decodes metadata with all labels: the cache of nodes keeps those that some Job names.
pub(super) fn metadata_with_labels<'de, D: Deserializer<'de>>(
    decoder: D,
) -> Result<ObjectMeta, D::Error> {
    let mut metadata = Metadata::<BTreeMap<String, String>>::deserialize(decoder)?;
    let labels = metadata.labels.take();
    Ok(ObjectMeta { labels, ..metadata.pruned() })
}

/// Metadata with labels of a type that keeps what is read of them.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Metadata<Labels> {
    pub(super) labels: Option<Labels>,
    name: Option<String>,
    namespace: Option<String>,
    uid: Option<String>,
    resource_version: Option<String>,
    generation: Option<i64>,
    creation_timestamp: Option<Time>,
    deletion_timestamp: Option<Time>,
    pub(super) owner_references: Option<Vec<OwnerReference>>,
    pub(super) annotations: Option<BTreeMap<String, String>>,
}

impl<Labels> Metadata<Labels> {
    /// The metadata without labels and foreign annotations.
    pub(super) fn pruned(self) -> ObjectMeta {
        let mut annotations = self.annotations.unwrap_or_default();
        annotations.retain(|key, _| key.starts_with(labels::GROUP));
        ObjectMeta {
            name: self.name,
            namespace: self.namespace,
            uid: self.uid,
            resource_version: self.resource_version,
            generation: self.generation,
            creation_timestamp: self.creation_timestamp,
            deletion_timestamp: self.deletion_timestamp,
            owner_references: self.owner_references,
            annotations: Some(annotations).filter(|annotations| !annotations.is_empty()),
            ..ObjectMeta::default()
        }
    }
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
        [labels::POD_COMPLETED, labels::POD_SANDBOX_CHANGED, SANDBOX_READY, SCHEDULED]
            .contains(&condition.type_.as_str())
    })
}

/// Whether a condition says that the pod is bound to a node.
pub(super) fn is_scheduled(condition: &PodCondition) -> bool {
    condition.type_ == SCHEDULED && condition.status == "True"
}

/// Decodes the phase if the pod has failed.
pub(super) fn failure<'de, D: Deserializer<'de>>(decoder: D) -> Result<Option<String>, D::Error> {
    Ok(Option::<String>::deserialize(decoder)?.filter(|phase| phase == FAILED))
}

/// Decodes the status of the job container, and that of another one that does not succeed.
///
/// Of these the first one that does not run: those after it wait for it.
pub(super) fn job_container_and_failing<'de, D: Deserializer<'de>>(
    decoder: D,
) -> Result<Vec<ContainerStatus>, D::Error> {
    let all = Option::<Vec<ContainerStatus>>::deserialize(decoder)?.unwrap_or_default();
    let (work, others): (Vec<_>, Vec<_>) =
        all.into_iter().partition(|status| status.name == labels::JOB_CONTAINER);
    let failing = others
        .into_iter()
        .filter(is_failing)
        .min_by_key(|status| status.state.as_ref().is_some_and(|state| state.running.is_some()));
    let mut kept: Vec<_> = work.into_iter().chain(failing).collect();
    kept.shrink_to_fit();
    Ok(kept)
}

/// Whether a container cannot run, or its last run that has ended has failed.
fn is_failing(status: &ContainerStatus) -> bool {
    let state = status.state.as_ref();
    let ended = state.and_then(|state| state.terminated.as_ref());
    let last = || status.last_state.as_ref()?.terminated.as_ref();
    let waiting = state.and_then(|state| state.waiting.as_ref()?.reason.as_deref());
    let cannot_run = waiting.is_some_and(|reason| !INITIALIZING.contains(&reason));
    cannot_run || ended.or_else(last).is_some_and(|run| run.exit_code != 0)
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
