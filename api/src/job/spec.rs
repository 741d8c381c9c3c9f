//! The spec of a Job, which users write.

// clippy takes the fields of two printer columns for one attribute written twice, and `KubeSchema` copies
// structs, with what is public in them, into functions.
#![allow(clippy::duplicated_attributes, unreachable_pub)]

use k8s_openapi::apimachinery::pkg::{apis::meta::v1::LabelSelector, util::intstr::IntOrString};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{order, parallelism, status::JobStatus, template};

/// Error of an image.
pub(super) const NO_WHITE_SPACE: &str = "must not contain white space";
/// Error of a directory.
pub(super) const ABSOLUTE: &str = "must be an absolute path";
/// Error of a directory.
pub(super) const NO_DOTS: &str = "must not contain \"..\"";
/// Error of a termination word or an image.
pub(super) const NOT_EMPTY: &str = "must not be empty";
/// Error of a termination word.
pub(super) const ONE_LINE: &str = "must be on one line";
/// Error of a limit of time on a Job that never completes.
pub(super) const NOT_WITH_NEVER: &str = "must not be set with completionPolicy Never";
/// Error of a TTL of a Job that is never deleted.
pub(super) const NOT_WITH_RETAIN: &str = "must not be set with deletionPolicy Retain";
/// Most windows.
pub(super) const MAX_WINDOWS: usize = 16;

/// A rule that refuses a field of a Job that never completes.
fn without_never(field: &str) -> String {
    format!("!has(self.{field}) || !has(self.completionPolicy) || self.completionPolicy != 'Never'")
}

/// Refuses a TTL of a Job that is never deleted.
const NO_TTL_WITH_RETAIN: &str = "!has(self.ttlSecondsAfterFinished) || !has(self.deletionPolicy) \
                                  || self.deletionPolicy != 'Retain'";

/// A task that runs once on every node.
#[derive(CustomResource, KubeSchema, Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
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
    schema = "manual",
    selectable = ".status.phase",
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(
        name = "Completed",
        type_ = "string",
        json_path = ".status.completed",
        description = "Nodes done / nodes wanted"
    ),
    printcolumn(name = "Failed", type_ = "integer", json_path = ".status.failed"),
    printcolumn(
        name = "Active",
        type_ = "integer",
        json_path = ".status.active",
        priority = 1,
        description = "Nodes at work"
    ),
    printcolumn(
        name = "Waiting",
        type_ = "integer",
        json_path = ".status.waiting",
        priority = 1,
        description = "Nodes that wait for their turn"
    ),
    printcolumn(name = "Duration", type_ = "string", json_path = ".status.duration"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[x_kube(validation = Rule::new(without_never("activeDeadlineSeconds"))
    .message(NOT_WITH_NEVER)
    .field_path(".activeDeadlineSeconds"))]
#[x_kube(validation = Rule::new(without_never("ttlSecondsAfterFinished"))
    .message(NOT_WITH_NEVER)
    .field_path(".ttlSecondsAfterFinished"))]
#[x_kube(validation = Rule::new(NO_TTL_WITH_RETAIN)
    .message(NOT_WITH_RETAIN)
    .field_path(".ttlSecondsAfterFinished"))]
#[serde(rename_all = "camelCase")]
pub struct JobSpec {
    /// Image of the container that does the work on each node.
    /// It must not contain white space.
    #[schemars(length(min = 1, max = 1024))]
    #[x_kube(validation = Rule::new(r"!self.matches('\\s')").message(NO_WHITE_SPACE))]
    pub image: String,

    /// Entrypoint of the container, as in a container of a pod.
    /// Default: the image's ENTRYPOINT.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub command: Vec<String>,

    /// Arguments to the entrypoint, as in a container of a pod.
    /// Default: the image's CMD.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub args: Vec<String>,

    /// Absolute path of the node's directory that the container has at /basetarget.
    /// The kubelet creates a missing directory. The path must not contain the component "..".
    /// Default: nothing is mounted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    #[x_kube(validation = Rule::new("self.startsWith('/')").message(ABSOLUTE))]
    #[x_kube(validation = Rule::new("!('..' in self.split('/'))").message(NO_DOTS))]
    pub mount_path: Option<String>,

    /// Word that the container logs when the work on its node is done.
    /// It matches as a whole word anywhere in a line: "done" matches the lines "done" and
    /// "Job done.", and does not match "abandoned". It must not be blank and must be on one line.
    /// Default: the terminator's TERMINATION_WORD, which is "done" unless set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    #[x_kube(validation = Rule::new("self.trim() != ''").message(NOT_EMPTY))]
    #[x_kube(validation = Rule::new(r"!self.matches('[\\r\\n]')").message(ONE_LINE))]
    pub termination_word: Option<String>,

    /// Signal that marks a node as done: TerminationWord or ExitCode.
    /// TerminationWord: the container has logged the word; it then has to keep running, because a
    /// DaemonSet restarts a container that exits. ExitCode: the container has exited with code 0,
    /// so any ordinary image works. Default: TerminationWord.
    #[serde(default, skip_serializing_if = "CompletionMode::is_default")]
    #[schemars(extend("default" = CompletionMode::default()))]
    pub completion_mode: CompletionMode,

    /// Pod template that the operator merges over the generated one.
    /// It is a strategic merge of the usual fields of a pod template: node selector, affinity,
    /// tolerations, environment, resources, security context, pull secrets, service account, host
    /// namespaces, further volumes and containers. The container "job-container" stands for the
    /// container that does the work. Tolerations replace the default, which tolerates every taint.
    /// Default: nothing is merged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "template::schema")]
    pub template: Option<Value>,

    /// Number of failed runs that are tolerated on each node.
    /// One more failed run fails the node for good. Default: 6, which takes over five minutes
    /// because the kubelet waits longer before each restart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0), extend("default" = DEFAULT_BACKOFF_LIMIT))]
    pub backoff_limit_per_node: Option<i32>,

    /// Number of failed nodes that are tolerated until every node has ended.
    /// One more failed node fails the Job at once. When every node has ended, any failed node fails
    /// the Job. Default: no limit, so every node runs to its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub max_failed_nodes: Option<i32>,

    /// Seconds after status.startTime at which the Job fails and its pods are stopped.
    /// Default: no deadline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub active_deadline_seconds: Option<i64>,

    /// Seconds for which a finished Job stays before it is deleted.
    /// Default: deletionPolicy says what becomes of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub ttl_seconds_after_finished: Option<i64>,

    /// What becomes of a finished Job that has no ttlSecondsAfterFinished: Delete or Retain.
    /// Delete: a completed Job is deleted at once; a Job that failed, or that no node matched, stays.
    /// Retain: the Job stays until somebody deletes it, as a Job in Git has to: whatever applies it
    /// would create it again, and it would run again. Default: Delete.
    #[serde(default, skip_serializing_if = "DeletionPolicy::is_default")]
    #[schemars(extend("default" = DeletionPolicy::default()))]
    pub deletion_policy: DeletionPolicy,

    /// Number of nodes at work at once: a number, or per cent of the wanted nodes, rounded up.
    /// A node keeps its place until it is done, and for minReadySeconds after that. 0 starts no
    /// more nodes. Default: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "parallelism::schema")]
    #[x_kube(validation = Rule::new(parallelism::RULE).message(parallelism::MESSAGE))]
    pub parallelism: Option<IntOrString>,

    /// Seconds for which a node must have been done, and then be Ready, before its place is free.
    /// Default: 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub min_ready_seconds: Option<i32>,

    /// Label selectors of nodes that start one group after the other.
    /// A group starts when the one before it is through. Nodes that match none come last.
    /// Default: all nodes are one group.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "order::schema")]
    pub order: Vec<LabelSelector>,

    /// Windows of time in which nodes are started.
    /// Nothing that runs is stopped when a window closes. Default: nodes are started at any time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = MAX_WINDOWS))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub windows: Vec<Window>,

    /// Whether the Job is suspended, as in batch/v1: its pods are stopped, its results stay.
    /// Default: false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspend: Option<bool>,

    /// When the Job completes: Always or Never.
    /// Always: when every wanted node is done. Never: it stays, for nodes that join. Default: Always.
    #[serde(default, skip_serializing_if = "CompletionPolicy::is_default")]
    #[schemars(extend("default" = CompletionPolicy::default()))]
    pub completion_policy: CompletionPolicy,
}

/// Default of [`JobSpec::backoff_limit_per_node`], as in batch/v1.
const DEFAULT_BACKOFF_LIMIT: i32 = 6;

impl JobSpec {
    /// [`JobSpec::backoff_limit_per_node`], or its default.
    #[must_use]
    pub fn backoff_limit(&self) -> i32 {
        self.backoff_limit_per_node.unwrap_or(DEFAULT_BACKOFF_LIMIT)
    }

    /// Whether nodes wait for their turn to start.
    #[must_use]
    pub fn takes_turns(&self) -> bool {
        self.parallelism.is_some()
            || self.min_ready_seconds.is_some()
            || !self.order.is_empty()
            || !self.windows.is_empty()
    }

    /// [`JobSpec::suspend`], or its default.
    #[must_use]
    pub fn is_suspended(&self) -> bool {
        self.suspend.unwrap_or_default()
    }
}

/// Signal that marks a node as done.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum CompletionMode {
    /// The container logs the termination word.
    #[default]
    TerminationWord,
    /// The container exits with code 0.
    ExitCode,
}

impl CompletionMode {
    /// Whether it is the default, which is not serialized.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// A window of time in which nodes are started.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Window {
    /// Times at which the window opens, in the five fields of cron: "0 22 * * 1-5".
    #[schemars(length(min = 1, max = 256))]
    pub schedule: String,

    /// Seconds for which the window stays open.
    #[schemars(range(min = 1))]
    pub duration_seconds: i64,

    /// Time zone of the schedule, by its IANA name: "Europe/Berlin". Default: UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub time_zone: Option<String>,
}

/// What becomes of a finished Job without a TTL.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum DeletionPolicy {
    /// It is deleted if it is complete.
    #[default]
    Delete,
    /// It stays until somebody deletes it.
    Retain,
}

impl DeletionPolicy {
    /// Whether it is the default, which is not serialized.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// When a Job completes.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum CompletionPolicy {
    /// When every wanted node is done.
    #[default]
    Always,
    /// Not at all: the Job stays, for nodes that join.
    Never,
}

impl CompletionPolicy {
    /// Whether it is the default, which is not serialized.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}
