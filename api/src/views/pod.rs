//! The view of a pod.

use k8s_openapi::{
    api::core::v1::{ContainerStatus, PodCondition},
    apimachinery::pkg::apis::meta::v1::OwnerReference,
    jiff::Timestamp,
};
use kube::{Resource, core::ObjectMeta};
use serde::Deserialize;

use super::{
    affinity::{AffinityView, intended_node},
    decode::{self, INITIALIZING, Metadata, SANDBOX_READY},
    gates::{self, Gates},
    metadata::{annotation, controller},
};
use crate::{job::CompletionMode, labels};

/// A Pod without the fields that only the kubelet needs.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Resource)]
#[resource(inherit = k8s_openapi::api::core::v1::Pod)]
#[serde(from = "Decoded")]
pub struct PodView {
    /// Object metadata, without the fields that nobody reads.
    pub metadata: ObjectMeta,
    /// Pod template that the pod was created from.
    pub template: PodRevision,
    /// Node of the pod.
    pub spec: PodSpecView,
    /// State of the pod.
    pub status: PodStatusView,
}

/// The pod template of a pod, as the DaemonSet controller says in labels.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PodRevision {
    /// Generation of the template.
    pub generation: Option<i64>,
    /// Hash of the template; an equal template has it again.
    pub hash: Option<Box<str>>,
}

/// The labels that identify a pod template.
#[derive(Deserialize)]
pub(super) struct RevisionLabels {
    #[serde(rename = "pod-template-generation")]
    generation: Option<String>,
    #[serde(rename = "controller-revision-hash")]
    pub(super) hash: Option<Box<str>>,
}

#[derive(Deserialize)]
struct Decoded {
    metadata: Metadata<RevisionLabels>,
    #[serde(default)]
    spec: PodSpecView,
    #[serde(default)]
    status: PodStatusView,
}

impl From<Decoded> for PodView {
    fn from(Decoded { mut metadata, spec, status }: Decoded) -> Self {
        let template = metadata.labels.take().map(|labels| PodRevision {
            generation: labels.generation.and_then(|generation| generation.parse().ok()),
            hash: labels.hash,
        });
        let template = template.unwrap_or_default();
        Self { metadata: metadata.pruned(), template, spec, status: status.scheduled() }
    }
}

/// Spec of a pod, with its node only.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct PodSpecView {
    /// Name of the node; absent until the scheduler has bound the pod.
    pub node_name: Option<String>,
    /// Affinity into which the DaemonSet controller writes the pod's intended node.
    #[serde(default, deserialize_with = "decode::intention")]
    pub affinity: Option<AffinityView>,
    /// Whether the scheduler leaves the pod alone, and why.
    #[serde(default, rename = "schedulingGates", deserialize_with = "gates::decode")]
    pub gates: Gates,
}

/// Status of a pod, with its job container and the conditions that are read.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct PodStatusView {
    /// `Failed`, or none for every other phase.
    #[serde(default, deserialize_with = "decode::failure")]
    pub phase: Option<String>,
    /// Reason of the phase.
    pub reason: Option<String>,
    /// Message about the phase.
    pub message: Option<String>,
    /// Our conditions, the scheduler's, and the kubelet's of the sandbox.
    #[serde(default, deserialize_with = "decode::conditions")]
    pub conditions: Vec<PodCondition>,
    /// When the pod was bound to its node, by the API server's clock.
    #[serde(skip)]
    pub scheduled_at: Option<Timestamp>,
    /// Status of the job container, if it is an init container.
    ///
    /// And that of another init container that holds it up.
    #[serde(default, deserialize_with = "decode::job_container_and_failing")]
    pub init_container_statuses: Vec<ContainerStatus>,
    /// Status of the job container, if it is no init container.
    ///
    /// Otherwise the name of a container that has begun.
    #[serde(default, deserialize_with = "decode::job_container_or_begun")]
    pub container_statuses: Vec<ContainerStatus>,
}

impl PodStatusView {
    /// The same with the time of the scheduler's condition in place of one that says no more.
    fn scheduled(mut self) -> Self {
        if let Some(position) = self.conditions.iter().position(decode::is_scheduled) {
            let scheduled = self.conditions.remove(position);
            self.conditions.shrink_to_fit();
            self.scheduled_at = scheduled.last_transition_time.map(|time| time.0);
        }
        self
    }
}

/// Sandbox of a pod, as its kubelet reported it together with the containers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Sandbox {
    /// Whether containers can run in it.
    pub is_ready: bool,
    /// Time at which the kubelet noticed the change of `is_ready`.
    pub since: Option<Timestamp>,
}

impl PodView {
    /// Owner reference of the DaemonSet that controls the pod.
    #[must_use]
    pub fn daemon_set(&self) -> Option<&OwnerReference> {
        controller(&self.metadata)
            .filter(|owner| owner.kind == "DaemonSet" && owner.api_version == "apps/v1")
    }

    /// Hash of the work that the pod was created for.
    #[must_use]
    pub fn work_hash(&self) -> Option<&str> {
        annotation(&self.metadata, labels::ANNOTATION_WORK_HASH)
    }

    /// The node of the pod; before the scheduler has bound it, its intended node.
    #[must_use]
    pub fn node(&self) -> Option<&str> {
        self.spec
            .node_name
            .as_deref()
            .filter(|name| !name.is_empty())
            .or_else(|| intended_node(self.spec.affinity.as_ref()?.node_affinity.as_ref()?))
    }

    /// Whether the terminator has recorded the termination word on the pod.
    #[must_use]
    pub fn has_logged_word(&self) -> bool {
        self.completed().is_some_and(|condition| condition.status == "True")
    }

    /// The terminator's message about a log that has lost its beginning.
    ///
    /// It is that of the run that began at `started`, or of a later one.
    #[must_use]
    pub fn log_rotated(&self, started: Timestamp) -> Option<&str> {
        self.completed()
            .filter(|condition| condition.reason.as_deref() == Some(labels::LOG_ROTATED))
            .filter(|condition| {
                condition.last_transition_time.as_ref().is_some_and(|time| time.0 >= started)
            })
            .and_then(|condition| condition.message.as_deref())
    }

    /// The pod's sandbox, if the kubelet reports it.
    #[must_use]
    pub fn sandbox(&self) -> Option<Sandbox> {
        let condition = self.condition(SANDBOX_READY)?;
        Some(Sandbox {
            is_ready: condition.status == "True",
            since: condition.last_transition_time.as_ref().map(|time| time.0),
        })
    }

    /// Whether a container has begun that waits for the init containers.
    ///
    /// In the mode `ExitCode` the job container is an init container.
    #[must_use]
    pub fn is_initialized(&self) -> bool {
        self.status.container_statuses.iter().any(|status| status.name != labels::JOB_CONTAINER)
    }

    /// Status of an init container that does not succeed and holds up the job container.
    #[must_use]
    pub fn failing_preparation(&self, mode: CompletionMode) -> Option<&ContainerStatus> {
        let is_initializing = |status: &ContainerStatus| match &status.state {
            Some(state) => state.running.is_none() && state.terminated.is_none(),
            None => true,
        };
        let is_backing_off = |status: &ContainerStatus| {
            let waiting = status.state.as_ref().and_then(|state| state.waiting.as_ref());
            let reason = waiting.and_then(|waiting| waiting.reason.as_deref());
            !reason.is_none_or(|reason| INITIALIZING.contains(&reason))
        };
        let mut others = self.status.init_container_statuses.iter();
        let waits = self
            .job_container(mode)
            .is_none_or(|work| is_initializing(work) && !is_backing_off(work));
        others.find(|status| status.name != labels::JOB_CONTAINER).filter(|_| waits)
    }

    /// The pod's condition of this type.
    #[must_use]
    pub fn condition(&self, type_: &str) -> Option<&PodCondition> {
        self.status.conditions.iter().find(|condition| condition.type_ == type_)
    }

    fn completed(&self) -> Option<&PodCondition> {
        self.condition(labels::POD_COMPLETED)
    }

    /// Status of the job container.
    ///
    /// In the mode `ExitCode` it is an init container.
    #[must_use]
    pub fn job_container(&self, mode: CompletionMode) -> Option<&ContainerStatus> {
        let statuses = match mode {
            CompletionMode::TerminationWord => &self.status.container_statuses,
            CompletionMode::ExitCode => &self.status.init_container_statuses,
        };
        statuses.iter().find(|status| status.name == labels::JOB_CONTAINER)
    }
}

#[cfg(test)]
mod tests;
