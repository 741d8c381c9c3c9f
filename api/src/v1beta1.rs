//! The custom resource `daemonset.darkowlzz.space/v1beta1` `Job`.
//!
//! Only schema features that Kubernetes 1.20 knows are used: CEL rules and selectable fields would
//! make `kubectl apply` of the CRD fail there.

// clippy takes the fields of two printer columns for one attribute written twice.
#![allow(clippy::duplicated_attributes)]

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::CustomResource;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::node_set::NodeSet;

/// A task that runs once on every node.
#[derive(CustomResource, Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[kube(
    group = "daemonset.darkowlzz.space",
    version = "v1beta1",
    kind = "Job",
    plural = "jobs",
    shortname = "dsjob",
    category = "all",
    namespaced,
    status = "JobStatus",
    derive = "Default",
    derive = "PartialEq",
    doc = "A task that runs once on every node of the cluster, backed by a DaemonSet.",
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(
        name = "Completed",
        type_ = "string",
        json_path = ".status.completed",
        description = "Nodes done / nodes wanted"
    ),
    printcolumn(name = "Failed", type_ = "integer", json_path = ".status.failed"),
    printcolumn(name = "Duration", type_ = "string", json_path = ".status.duration"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct JobSpec {
    /// Image of the container that does the work on each node.
    #[schemars(length(min = 1), regex(pattern = r"^\S+$"))]
    pub image: String,

    /// Entrypoint of the container, as in a container of a pod. Default: the image's ENTRYPOINT.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,

    /// Arguments to the entrypoint, as in a container of a pod. Default: the image's CMD.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,

    /// Absolute directory of the node that is mounted at /basetarget in the container. It may not
    /// hold the component "..". Default: nothing is mounted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 4096),
        // A component is shorter than "..", longer than it, or not it.
        regex(pattern = r"^(/([^/]?|[^/.][^/]|[^/][^/.]|[^/]{3,}))+$")
    )]
    pub mount_path: Option<String>,

    /// The word that the container logs when the work on its node is done. It is matched as a whole
    /// word anywhere in a line: with "done", the lines "done" and "Job done." match, "abandoned"
    /// does not. Default: the terminator's TERMINATION_WORD, which is "done" unless set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256), regex(pattern = r"^[^\r\n]*\S[^\r\n]*$"))]
    pub termination_word: Option<String>,

    /// How the work on a node is known to be done. TerminationWord: when the container has logged
    /// the word; it then has to keep running, for a DaemonSet restarts what exits. ExitCode: when
    /// the container has exited with code 0, so that any ordinary image works.
    /// Default: TerminationWord.
    #[serde(default, skip_serializing_if = "CompletionMode::is_default")]
    pub completion_mode: CompletionMode,

    /// Pod template that is merged over the generated one, as a strategic merge: node selector,
    /// affinity, tolerations, environment, resources, security context, pull secrets, service
    /// account, host namespaces, further volumes and containers, under their usual names. The
    /// container "job-container" in it stands for the one that does the work. Tolerations given
    /// here replace the default, which is to tolerate every taint. Default: nothing is merged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "any_object")]
    pub template: Option<serde_json::Value>,

    /// Number of failed runs on a node that are forgiven: the node has failed for good when one more
    /// run fails. Default: 6, which with the kubelet's growing waits takes over five minutes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub backoff_limit_per_node: Option<i32>,

    /// Number of failed nodes that are tolerated: one more ends the Job as failed at once. Default:
    /// every node runs to its end. Any failed node makes the Job failed in the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub max_failed_nodes: Option<i32>,

    /// Seconds from status.startTime after which the Job is failed and its pods are stopped.
    /// Default: no deadline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub active_deadline_seconds: Option<i64>,

    /// Seconds for which the Job stays when it is finished. Default: a completed Job is deleted at
    /// once; one that failed, or that no node matched, stays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub ttl_seconds_after_finished: Option<i64>,
}

/// Failed runs on a node that are forgiven unless the Job says otherwise, as in batch/v1.
const DEFAULT_BACKOFF_LIMIT: i32 = 6;

impl JobSpec {
    /// [`JobSpec::backoff_limit_per_node`], or its default.
    #[must_use]
    pub fn backoff_limit(&self) -> i32 {
        self.backoff_limit_per_node.unwrap_or(DEFAULT_BACKOFF_LIMIT)
    }
}

/// How the work on a node is known to be done.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum CompletionMode {
    /// The container logs the termination word.
    #[default]
    TerminationWord,
    /// The container exits with code 0.
    ExitCode,
}

impl CompletionMode {
    /// Whether it need not be written.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// A full pod schema would pass the 256 KiB that `kubectl apply` may put into an annotation: the
/// operator checks the template instead, see [`crate::template`].
///
/// Nullable, for null is what a server-side apply leaves behind that takes the template away.
fn any_object(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "nullable": true,
        "x-kubernetes-preserve-unknown-fields": true,
    })
}

/// What is known of a Job. Written by the operator only.
// So its lists need no merge keys. With those, a server-side apply to Kubernetes 1.20 that drops the
// last item leaves null behind, which the schema then refuses.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct JobStatus {
    /// Where the Job is in its life: Pending, Running, Completed or Failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<Phase>,

    /// Nodes done / nodes wanted, for people: "2/3".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completed: Option<String>,

    /// Number of nodes on which the work is wanted.
    #[serde(default)]
    pub desired: i32,

    /// Number of nodes that hold a pod of this Job and are not done.
    #[serde(default)]
    pub active: i32,

    /// Number of nodes that are done.
    #[serde(default)]
    pub succeeded: i32,

    /// Number of nodes that have failed.
    #[serde(default)]
    pub failed: i32,

    /// Nodes that hold a pod and are not done: at most 100, failed ones first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nodes: Vec<NodeStatus>,

    /// The set of nodes that are done. It outlives pods: what is in it is never taken back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub completed_nodes: Option<NodeSet>,

    /// The set of nodes that have failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub failed_nodes: Option<NodeSet>,

    /// The metadata.generation of the Job that this status describes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// Hash of the work that this status describes: results of one work are not counted for another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub work_hash: Option<String>,

    /// When the operator first acknowledged this run of the Job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_time: Option<Time>,

    /// When the last node was seen to be done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completion_time: Option<Time>,

    /// Time from startTime until the Job was finished, for people: "1m12s".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration: Option<String>,

    /// Complete and Failed, as in batch/v1.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

/// Where a Job is in its life.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum Phase {
    /// Accepted; no pod of it has been seen yet.
    #[default]
    Pending,
    /// Some wanted node is not done.
    Running,
    /// Every wanted node is done.
    Completed,
    /// It cannot be, or was not, done; the condition `Failed` says why.
    Failed,
}

/// What is known of a node that is not done.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeStatus {
    /// Name of the node.
    pub name: String,
    /// Failed: it is not waited for any more. Unreachable: the control plane has lost it, and it is
    /// waited for. Pending: the container does not run. Running: it does.
    pub state: NodeState,
    /// How often the container has been restarted.
    #[serde(default)]
    pub restarts: i32,
    /// Exit code of the last run of the container that has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// Why the container does not run, or how its last run ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// What the working container of a node does, in the order in which nodes are listed.
#[derive(
    Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, Ord, PartialEq, PartialOrd, Serialize,
)]
pub enum NodeState {
    /// It is not waited for any more.
    Failed,
    /// Not known: the control plane has not heard of the node for long.
    Unreachable,
    /// It does not run: it is not started yet, or waits to be started again.
    #[default]
    Pending,
    /// It runs.
    Running,
}
