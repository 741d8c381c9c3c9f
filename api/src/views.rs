//! The parts of Pods and DaemonSets that operator and terminator read.
//!
//! A watch decodes into these instead of into the full types, so that what a cache holds does not
//! grow with what users put into their pod templates. What is not read is not decoded either: of a list of
//! hundreds of pods, the managed fields alone would take more memory than all that is kept.

mod decode;

use std::sync::OnceLock;

use k8s_openapi::{
    api::{
        apps::v1::DaemonSetStatus,
        core::v1::{ContainerStatus, NodeAffinity, PodCondition, Taint},
    },
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference},
    jiff::Timestamp,
};
use kube::{Resource, ResourceExt};
use serde::Deserialize;

use crate::{names, node_set::Member, v1beta1::CompletionMode};

/// Of any object nothing but its metadata.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Metadata {
    /// As in every object, as far as it is read.
    #[serde(deserialize_with = "decode::metadata")]
    pub metadata: ObjectMeta,
}

/// A namespace: what it says of the Jobs in it.
#[derive(Clone, Debug, Default, Deserialize, Resource)]
#[resource(inherit = k8s_openapi::api::core::v1::Namespace)]
pub struct NamespaceView {
    /// As in every object, as far as it is read.
    #[serde(deserialize_with = "decode::metadata")]
    pub metadata: ObjectMeta,
}

/// A DaemonSet without its pod template.
#[derive(Clone, Debug, Default, Deserialize, Resource)]
#[resource(inherit = k8s_openapi::api::apps::v1::DaemonSet)]
pub struct DaemonSetView {
    /// As in every object, as far as it is read.
    #[serde(deserialize_with = "decode::metadata")]
    pub metadata: ObjectMeta,
    /// What the DaemonSet controller counted.
    pub status: Option<DaemonSetStatus>,
}

impl DaemonSetView {
    /// The hash of the work that it was written for.
    #[must_use]
    pub fn work_hash(&self) -> Option<&str> {
        annotation(&self.metadata, names::ANNOTATION_WORK_HASH)
    }
}

/// A Pod without what only the kubelet needs.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Resource)]
#[resource(inherit = k8s_openapi::api::core::v1::Pod)]
pub struct PodView {
    /// As in every object, as far as it is read.
    #[serde(deserialize_with = "decode::metadata")]
    pub metadata: ObjectMeta,
    /// Where it runs.
    #[serde(default)]
    pub spec: PodSpecView,
    /// How it runs.
    #[serde(default)]
    pub status: PodStatusView,
}

/// Where a pod runs.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct PodSpecView {
    /// Name of the node; absent until the scheduler has bound the pod.
    pub node_name: Option<String>,
    /// The DaemonSet controller writes the node that a pod is meant for in here.
    #[serde(default, deserialize_with = "decode::intention")]
    pub affinity: Option<AffinityView>,
}

/// The part of an affinity that the DaemonSet controller writes.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct AffinityView {
    /// As in a pod.
    pub node_affinity: Option<NodeAffinity>,
}

/// How a pod runs.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct PodStatusView {
    /// `Failed`, or nothing.
    #[serde(default, deserialize_with = "decode::failure")]
    pub phase: Option<String>,
    /// Why it is in this phase.
    pub reason: Option<String>,
    /// Ours, the scheduler's, and the kubelet's of the sandbox.
    #[serde(default, deserialize_with = "decode::conditions")]
    pub conditions: Vec<PodCondition>,
    /// State of the container that does the work, where it is an init container.
    #[serde(default, deserialize_with = "decode::job_container")]
    pub init_container_statuses: Vec<ContainerStatus>,
    /// State of the container that does the work, where it is none.
    ///
    /// Otherwise the name of one that has begun.
    #[serde(default, deserialize_with = "decode::job_container_or_begun")]
    pub container_statuses: Vec<ContainerStatus>,
}

/// The kubelet's condition of a pod whose sandbox is ready.
/// <https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#pod-has-network>
const SANDBOX_READY: &str = "PodReadyToStartContainers";

/// The sandbox of a pod, as its kubelet saw it with the pod's containers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Sandbox {
    /// Containers can run in it.
    pub is_ready: bool,
    /// When the kubelet noticed that it is, or is not any more.
    pub since: Option<Timestamp>,
}

impl PodView {
    /// UID of the DaemonSet that controls the pod.
    #[must_use]
    pub fn daemon_set(&self) -> Option<&OwnerReference> {
        controller(&self.metadata)
            .filter(|owner| owner.kind == "DaemonSet" && owner.api_version == "apps/v1")
    }

    /// The hash of the work that the pod was created for.
    #[must_use]
    pub fn work_hash(&self) -> Option<&str> {
        annotation(&self.metadata, names::ANNOTATION_WORK_HASH)
    }

    /// The node that the pod runs on, or is meant for while the scheduler has not bound it.
    #[must_use]
    pub fn node(&self) -> Option<&str> {
        self.spec
            .node_name
            .as_deref()
            .filter(|name| !name.is_empty())
            .or_else(|| intended_node(self.spec.affinity.as_ref()?.node_affinity.as_ref()?))
    }

    /// Whether the termination word was logged, as recorded by the terminator.
    #[must_use]
    pub fn has_logged_word(&self) -> bool {
        self.completed().is_some_and(|condition| condition.status == "True")
    }

    /// What the terminator has said of a log that does not go back to the start of the container, of
    /// the run that began at this time.
    #[must_use]
    pub fn log_rotated(&self, started: Timestamp) -> Option<&str> {
        self.completed()
            .filter(|condition| condition.reason.as_deref() == Some(names::LOG_ROTATED))
            .filter(|condition| {
                condition.last_transition_time.as_ref().is_some_and(|time| time.0 >= started)
            })
            .and_then(|condition| condition.message.as_deref())
    }

    /// Its sandbox, if the kubelet tells of it.
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
    /// In `ExitCode` mode the work is one of these.
    #[must_use]
    pub fn is_initialized(&self) -> bool {
        self.status.container_statuses.iter().any(|status| status.name != names::JOB_CONTAINER)
    }

    /// Its condition of this type.
    #[must_use]
    pub fn condition(&self, type_: &str) -> Option<&PodCondition> {
        self.status.conditions.iter().find(|condition| condition.type_ == type_)
    }

    fn completed(&self) -> Option<&PodCondition> {
        self.condition(names::POD_COMPLETED)
    }

    /// Status of the container that does the work, in this mode: in `ExitCode` mode it is an init
    /// container.
    #[must_use]
    pub fn job_container(&self, mode: CompletionMode) -> Option<&ContainerStatus> {
        let statuses = match mode {
            CompletionMode::TerminationWord => &self.status.container_statuses,
            CompletionMode::ExitCode => &self.status.init_container_statuses,
        };
        statuses.iter().find(|status| status.name == names::JOB_CONTAINER)
    }
}

/// A node: which one it is, and whether it answers.
#[derive(Clone, Debug, Default, Deserialize, Resource)]
#[resource(inherit = k8s_openapi::api::core::v1::Node)]
pub struct NodeView {
    /// As in every object, as far as it is read.
    #[serde(deserialize_with = "decode::metadata")]
    pub metadata: ObjectMeta,
    /// What keeps pods away from it.
    #[serde(default)]
    pub spec: NodeSpecView,
    /// See [`Self::member`].
    #[serde(skip)]
    member: OnceLock<Option<Member>>,
}

/// What keeps pods away from a node.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct NodeSpecView {
    /// As in a node.
    #[serde(default)]
    pub taints: Vec<Taint>,
}

/// The taint of a node whose kubelet has not been heard of for so long that the control plane does not
/// know how its pods are.
/// <https://kubernetes.io/docs/reference/labels-annotations-taints/#node-kubernetes-io-unreachable>
const UNREACHABLE: &str = "node.kubernetes.io/unreachable";

impl NodeView {
    /// The node of this name and UID.
    #[must_use]
    pub fn new(metadata: ObjectMeta, spec: NodeSpecView) -> Self {
        Self { metadata, spec, member: OnceLock::new() }
    }

    /// The node as the sets in a Job's status know it.
    #[must_use]
    pub fn member(&self) -> Option<Member> {
        *self.member.get_or_init(|| self.metadata.uid.as_ref().map(Member::from))
    }

    /// Whether the control plane has lost the node, so that its pods may be in another state than
    /// they are said to be.
    #[must_use]
    pub fn is_unreachable(&self) -> bool {
        self.spec.taints.iter().any(|taint| taint.key == UNREACHABLE)
    }
}

/// The node that a pod with this affinity is meant for: the DaemonSet controller aims a pod at its node
/// by a required node affinity on `metadata.name`, and leaves the binding to the scheduler.
/// <https://kubernetes.io/docs/concepts/workloads/controllers/daemonset/#how-daemon-pods-are-scheduled>
#[must_use]
pub fn intended_node(affinity: &NodeAffinity) -> Option<&str> {
    let required = affinity.required_during_scheduling_ignored_during_execution.as_ref()?;
    required
        .node_selector_terms
        .iter()
        .flat_map(|term| term.match_fields.iter().flatten())
        .find(|field| field.key == "metadata.name" && field.operator == "In")
        .and_then(|field| field.values.as_deref()?.first())
        .map(String::as_str)
}

/// The owner that controls an object.
#[must_use]
pub fn controller(metadata: &ObjectMeta) -> Option<&OwnerReference> {
    metadata.owner_references.iter().flatten().find(|owner| owner.controller == Some(true))
}

/// Drops from a watched object what is never read, before it is cached.
pub fn prune<K: Resource>(object: &mut K) {
    object.managed_fields_mut().clear();
    object.labels_mut().clear();
    object.annotations_mut().retain(|key, _| key.starts_with(names::GROUP));
}

/// The value of an annotation.
#[must_use]
pub fn annotation<'a>(metadata: &'a ObjectMeta, key: &str) -> Option<&'a str> {
    metadata.annotations.as_ref()?.get(key).map(String::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::collections::BTreeMap;

    /// A pod as the DaemonSet controller creates it for the node `a`.
    fn unbound() -> serde_json::Value {
        let field = json!({"key": "metadata.name", "operator": "In", "values": ["a"]});
        json!({
            "metadata": {},
            "spec": {"affinity": {"nodeAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": {
                    "nodeSelectorTerms": [{"matchFields": [field]}],
                },
            }}},
        })
    }

    fn node(pod: serde_json::Value) -> Option<String> {
        serde_json::from_value::<PodView>(pod).unwrap().node().map(str::to_owned)
    }

    #[test]
    fn a_pod_that_is_not_bound_belongs_to_the_node_that_it_is_meant_for() {
        assert_eq!(node(unbound()).as_deref(), Some("a"));
        let mut elsewhere = unbound();
        elsewhere["spec"]["nodeName"] = json!("b");
        assert_eq!(node(elsewhere).as_deref(), Some("b"));
    }

    #[test]
    fn what_is_not_read_is_not_kept() {
        let pod: PodView = serde_json::from_value(json!({
            "metadata": {
                "name": "p", "labels": {"a": "b"}, "managedFields": [{"fieldsV1": {"f:spec": {}}}],
                "annotations": {"other": "x", names::ANNOTATION_WORK_HASH: "h"},
            },
            "status": {
                "conditions": [
                    {"type": "Ready", "status": "True"},
                    {"type": names::POD_COMPLETED, "status": "True"},
                ],
                "containerStatuses": [
                    {"name": "sidecar", "image": "", "imageID": "", "ready": true, "restartCount": 0},
                    {"name": names::JOB_CONTAINER, "image": "", "imageID": "", "ready": true,
                     "restartCount": 0},
                ],
            },
        }))
        .unwrap();
        assert_eq!(
            (pod.metadata.labels.as_ref(), pod.metadata.managed_fields.as_ref()),
            (None, None)
        );
        assert_eq!(pod.metadata.annotations.as_ref().map(BTreeMap::len), Some(1));
        assert_eq!(pod.work_hash(), Some("h"));
        assert_eq!(pod.status.conditions.len(), 1);
        assert!(pod.has_logged_word());
        assert_eq!(pod.status.container_statuses.len(), 1);
        assert!(pod.job_container(CompletionMode::TerminationWord).is_some());
    }

    fn status(status: serde_json::Value) -> PodView {
        serde_json::from_value(json!({"metadata": {}, "status": status})).unwrap()
    }

    #[test]
    fn of_the_sandbox_the_kubelet_tells_whether_it_is_ready_and_since_when() {
        let pod = |status: &str| {
            self::status(json!({"conditions": [
                {"type": SANDBOX_READY, "status": status, "lastTransitionTime": "2026-01-01T00:00:00Z"},
                {"type": names::POD_SANDBOX_CHANGED, "status": "True", "message": "m"},
            ]}))
        };
        let since = "2026-01-01T00:00:00Z".parse().ok();
        assert_eq!(pod("True").sandbox(), Some(Sandbox { is_ready: true, since }));
        assert_eq!(pod("False").sandbox(), Some(Sandbox { is_ready: false, since }));
        assert_eq!(status(json!({})).sandbox(), None);
        let recorded = pod("True").condition(names::POD_SANDBOX_CHANGED).cloned();
        assert_eq!(recorded.and_then(|it| it.message).as_deref(), Some("m"));
    }

    #[test]
    fn of_other_containers_it_is_known_whether_one_has_begun() {
        let containers = |state, last| {
            let of = |name, state, last| {
                json!({
                    "name": name, "image": "long", "imageID": "", "ready": false, "restartCount": 0,
                    "state": state, "lastState": last,
                })
            };
            let waiting = json!({"waiting": {"reason": "PodInitializing"}});
            let all = [of("a", waiting, json!({})), of("b", state, last)];
            status(json!({"containerStatuses": all}))
        };
        let (ended, none) = (json!({"terminated": {"exitCode": 137}}), json!({}));
        let waiting = json!({"waiting": {}});
        for (state, last, has_begun) in [
            (json!({"running": {}}), none.clone(), true),
            (ended.clone(), none.clone(), true),
            (waiting.clone(), ended, true),
            (waiting, none, false),
        ] {
            let pod = containers(state, last);
            assert_eq!(pod.is_initialized(), has_begun, "{pod:?}");
            assert!(pod.status.container_statuses.iter().all(|it| it.image.is_empty()));
        }
    }

    #[test]
    fn the_phase_of_a_pod_is_kept_when_it_has_failed() {
        let pod = status(json!({"phase": "Failed", "reason": "Evicted"}));
        assert_eq!(pod.status.phase.as_deref(), Some("Failed"));
        assert_eq!(pod.status.reason.as_deref(), Some("Evicted"));
        assert_eq!(status(json!({"phase": "Running"})).status.phase, None);
    }

    #[test]
    fn a_pod_that_names_no_node_belongs_to_none() {
        assert_eq!(node(json!({"metadata": {}})), None);
        assert_eq!(node(json!({"metadata": {}, "spec": {"nodeName": "", "affinity": {}}})), None);
    }
}
