//! The status of a Job, which the operator reports.

// `KubeSchema` copies structs, with what is public in them, into functions.
#![allow(unreachable_pub)]

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, ObjectMeta, Time};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{failed_runs::FailedRuns, node_set::NodeSet};

/// `observedGeneration` of a Job that the operator has never looked at.
const NEVER: i64 = -1;

/// Status of a Job. Only the operator writes it.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("default" = json!({"observedGeneration": NEVER})))]
pub struct JobStatus {
    /// Phase of the Job: Pending, Running, Suspended, Completed or Failed.
    /// Pending: no pod of the Job has been seen yet. Running: some wanted node is not done,
    /// or may join.
    /// Suspended: spec.suspend has stopped it. Completed: every wanted node is done. Failed: the
    /// condition Failed says why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Phase")]
    pub phase: Option<Phase>,

    /// Nodes done / nodes wanted, as text for people: "2/3".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completed: Option<String>,

    /// Number of nodes that should run the work.
    #[serde(default)]
    pub desired: i32,

    /// Number of nodes at work: they hold a pod of the Job, and are neither waiting, done nor failed.
    #[serde(default)]
    pub active: i32,

    /// Number of nodes that wait for their turn.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub waiting: i32,

    /// Number of nodes that are done.
    #[serde(default)]
    pub succeeded: i32,

    /// Number of nodes that have failed.
    #[serde(default)]
    pub failed: i32,

    /// Nodes that hold a pod of the Job and are not done.
    /// The list has at most 100 nodes, failed ones first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".to_owned()]))]
    pub nodes: Vec<NodeStatus>,

    /// Set of the nodes that are done: sorted 64-bit hashes of their UIDs, in base64.
    /// It outlives pods: the operator never removes a node from it while the work stays the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub completed_nodes: Option<NodeSet>,

    /// Set of the nodes that have failed, in the form of completedNodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub failed_nodes: Option<NodeSet>,

    /// Numbers of failed runs of pods that are gone, for the nodes that are neither done nor failed.
    /// A pod that the kubelet rejects or evicts is replaced, and its runs count for the next one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub failed_runs: Option<FailedRuns>,

    /// Set of the nodes that have leave to start and hold a place, in the form of completedNodes.
    /// It is there in a Job whose nodes take turns. A node enters it before its pod starts, and leaves
    /// it when it is done, for minReadySeconds as well, or gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub started_nodes: Option<NodeSet>,

    /// Set of the nodes that hold a place because earlier work may still run there.
    /// That is work from before an edit, or from before the Job was suspended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub stopping_nodes: Option<NodeSet>,

    /// The metadata.generation of the Job that this status describes.
    /// -1: the operator has not looked at the Job yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// Hash of the work that this status describes.
    /// Results of one work never count for another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub work_hash: Option<String>,

    /// Time at which the operator first acknowledged this run of the Job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_time: Option<Time>,

    /// Time at which the operator saw that the last node was done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completion_time: Option<Time>,

    /// Time from startTime until the Job was finished, as text for people: "1m12s".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration: Option<String>,

    /// Conditions Complete, Failed and Suspended, as in batch/v1, and others.
    /// Complete and Failed are False until they are True. Reconciling: what is waited for; it is there
    /// until the Job is finished. Stalled: the Job has failed or cannot go on. Waiting: what nodes wait
    /// for. Ready: whether every wanted node of a Job that never completes is done. DaemonSetEdited:
    /// somebody edits the DaemonSet. Others may add conditions of other types.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".to_owned()]))]
    pub conditions: Vec<Condition>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_zero(number: &i32) -> bool {
    *number == 0
}

impl JobStatus {
    /// Whether the operator has ever written this status.
    #[must_use]
    pub fn is_observed(&self) -> bool {
        self.observed_generation.is_some_and(|generation| generation != NEVER)
    }

    /// Whether this status describes the current generation of `job`.
    #[must_use]
    pub fn is_current(&self, job: &ObjectMeta) -> bool {
        self.observed_generation.is_some() && self.observed_generation == job.generation
    }
}

/// Phase of a Job.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum Phase {
    /// No pod of the Job has been seen yet.
    #[default]
    Pending,
    /// Some wanted node is not done.
    Running,
    /// The spec asks for no work now, and no pod is at work.
    Suspended,
    /// Every wanted node is done.
    Completed,
    /// The Job cannot be done, or was not; the condition `Failed` says why.
    Failed,
}

/// Status of a node that is not done.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeStatus {
    /// Name of the node.
    pub name: String,
    /// State of the node: Failed, Unreachable, Pending or Running.
    /// Failed: the Job does not wait for the node any more. Unreachable: the control plane has lost
    /// the node, and the Job waits for it. Pending: the container does not run. Running: it runs.
    pub state: NodeState,
    /// Number of restarts of the container.
    #[serde(default)]
    pub restarts: i32,
    /// Exit code of the container's last run that has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// Reason in one CamelCase word, such as ImagePullBackOff, Error or Unschedulable.
    /// It says why the container does not run, or how its last run ended. LogRotated: the log has lost
    /// its beginning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Message that says why the container does not run, or how its last run ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// End of what the failed run has written, at most 2048 bytes, for the first 20 failed nodes.
    /// It is the file /dev/termination-log of the container, or else the end of its log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<String>,
}

/// State of a node that is not done. The status lists nodes in this order.
#[derive(
    Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, Ord, PartialEq, PartialOrd, Serialize,
)]
pub enum NodeState {
    /// The Job does not wait for the node any more.
    Failed,
    /// The control plane has lost the node; its pods may be in any state.
    Unreachable,
    /// The container waits for its first start, or for a restart.
    #[default]
    Pending,
    /// The container runs.
    Running,
}
