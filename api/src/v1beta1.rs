//! The custom resource `daemonset.darkowlzz.space/v1beta1` `Job`.
//!
//! Only schema features that Kubernetes 1.20 knows are used: CEL rules and selectable fields would
//! make `kubectl apply` of the CRD fail there.

// clippy takes the fields of two printer columns for one attribute written twice.
#![allow(clippy::duplicated_attributes)]

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    )
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
}

/// What is known of a Job. Written by the operator only.
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

    /// Complete and Failed, as in batch/v1.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
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
