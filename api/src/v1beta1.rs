//! The custom resource `daemonset.darkowlzz.space/v1beta1` `Job`, and its schema.
//!
//! The API server refuses by the schema what it can; [`crate::validation`] has the same rules for
//! Jobs that were stored under an older one.

// clippy takes the fields of two printer columns for one attribute written twice, and `KubeSchema` copies
// structs, with what is public in them, into functions.
#![allow(clippy::duplicated_attributes, unreachable_pub)]

use std::borrow::Cow;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, ObjectMeta, Time};
use kube::{CustomResource, KubeSchema};
use schemars::{
    JsonSchema, Schema, SchemaGenerator, json_schema,
    transform::{RecursiveTransform, Transform as _},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{node_set::NodeSet, template, validation};

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
    printcolumn(name = "Duration", type_ = "string", json_path = ".status.duration"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct JobSpec {
    /// Image of the container that does the work on each node.
    #[schemars(length(min = 1, max = 1024))]
    #[x_kube(validation = Rule::new(r"!self.matches('\\s')").message(validation::NO_WHITE_SPACE))]
    pub image: String,

    /// Entrypoint of the container, as in a container of a pod. Default: the image's ENTRYPOINT.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub command: Vec<String>,

    /// Arguments to the entrypoint, as in a container of a pod. Default: the image's CMD.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub args: Vec<String>,

    /// Absolute directory of the node that is mounted at /basetarget in the container. It may not
    /// hold the component "..". Default: nothing is mounted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    #[x_kube(validation = Rule::new("self.startsWith('/')").message(validation::ABSOLUTE))]
    #[x_kube(validation = Rule::new("!('..' in self.split('/'))").message(validation::NO_DOTS))]
    pub mount_path: Option<String>,

    /// The word that the container logs when the work on its node is done. It is matched as a whole
    /// word anywhere in a line: with "done", the lines "done" and "Job done." match, "abandoned"
    /// does not. Default: the terminator's TERMINATION_WORD, which is "done" unless set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    #[x_kube(validation = Rule::new("self.trim() != ''").message(validation::NOT_EMPTY))]
    #[x_kube(validation = Rule::new(r"!self.matches('[\\r\\n]')").message(validation::ONE_LINE))]
    pub termination_word: Option<String>,

    /// How the work on a node is known to be done. TerminationWord: when the container has logged
    /// the word; it then has to keep running, for a DaemonSet restarts what exits. ExitCode: when
    /// the container has exited with code 0, so that any ordinary image works.
    /// Default: TerminationWord.
    #[serde(default, skip_serializing_if = "CompletionMode::is_default")]
    #[schemars(extend("default" = CompletionMode::default()))]
    pub completion_mode: CompletionMode,

    /// Pod template that is merged over the generated one, as a strategic merge: node selector,
    /// affinity, tolerations, environment, resources, security context, pull secrets, service
    /// account, host namespaces, further volumes and containers, under their usual names. The
    /// container "job-container" in it stands for the one that does the work. Tolerations given
    /// here replace the default, which is to tolerate every taint. Default: nothing is merged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "template::schema")]
    pub template: Option<Value>,

    /// Number of failed runs on a node that are forgiven: the node has failed for good when one more
    /// run fails. Default: 6, which with the kubelet's growing waits takes over five minutes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0), extend("default" = DEFAULT_BACKOFF_LIMIT))]
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

/// By hand, for a derived one would let a status be null.
impl JsonSchema for Job {
    fn schema_name() -> Cow<'static, str> {
        "Job".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut schema = json_schema!({
            "description": "A task that runs once on every node of the cluster, backed by a DaemonSet.",
            "type": "object",
            "required": ["spec"],
            "properties": {
                "spec": generator.subschema_for::<JobSpec>(),
                "status": generator.subschema_for::<JobStatus>(),
            },
        });
        RecursiveTransform(tidy).transform(&mut schema);
        schema
    }
}

/// Brings what is made of the types into the shape that users see.
///
/// To leave a field out is to have no value: the API server drops a null that the schema does not
/// allow, from what it has stored as well. Descriptions are broken into lines by who shows them.
fn tidy(schema: &mut Schema) {
    if let Some(Value::Array(types)) = schema.get_mut("type") {
        types.retain(|name| name != "null");
        if let [one] = types.as_mut_slice() {
            let one = one.take();
            schema.insert("type".to_owned(), one);
        }
    }
    if let Some(Value::String(description)) = schema.get_mut("description") {
        *description = description.replace('\n', " ");
    }
}

/// The `observedGeneration` of a Job that the operator has never looked at.
const NEVER: i64 = -1;

/// What is known of a Job. Written by the operator only.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("default" = json!({"observedGeneration": NEVER})))]
pub struct JobStatus {
    /// Where the Job is in its life: Pending, Running, Completed or Failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Phase")]
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
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".to_owned()]))]
    pub nodes: Vec<NodeStatus>,

    /// The set of nodes that are done. It outlives pods: what is in it is never taken back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub completed_nodes: Option<NodeSet>,

    /// The set of nodes that have failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub failed_nodes: Option<NodeSet>,

    /// The metadata.generation of the Job that this status describes. -1: no operator has looked at
    /// the Job yet.
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
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".to_owned()]))]
    pub conditions: Vec<Condition>,
}

impl JobStatus {
    /// Whether the operator has ever written it.
    #[must_use]
    pub fn is_observed(&self) -> bool {
        self.observed_generation.is_some_and(|generation| generation != NEVER)
    }

    /// Whether it describes the Job with this metadata as it is now.
    #[must_use]
    pub fn is_current(&self, job: &ObjectMeta) -> bool {
        self.observed_generation.is_some() && self.observed_generation == job.generation
    }
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

#[cfg(test)]
mod tests {
    use kube::CustomResourceExt as _;

    use super::*;
    use crate::work;

    /// The schema of this property of a Job.
    fn schema(of: &str) -> Value {
        let definition = serde_json::to_value(Job::crd()).unwrap();
        let path = format!("/spec/versions/0/schema/openAPIV3Schema/properties/{of}");
        definition.pointer(&path).unwrap().clone()
    }

    /// Visits a schema and all that are in it, with their paths.
    fn walk(path: &str, schema: &Value, visit: &mut impl FnMut(&str, &Value)) {
        visit(path, schema);
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            walk(&format!("{path}.{name}"), property, visit);
        }
        for inner in ["items", "additionalProperties"] {
            if let Some(schema) = schema.get(inner) {
                walk(&format!("{path}[]"), schema, visit);
            }
        }
    }

    fn walk_all(visit: &mut impl FnMut(&str, &Value)) {
        for of in ["spec", "status"] {
            walk(of, &schema(of), visit);
        }
    }

    #[test]
    fn every_list_says_how_it_is_merged() {
        let mut lists = Vec::new();
        walk_all(&mut |path, schema| {
            if schema["type"] == "array" {
                let merge = &schema["x-kubernetes-list-type"];
                lists.push(format!("{path}: {merge} {}", schema["x-kubernetes-list-map-keys"]));
            }
        });
        let expected = [
            "spec.args: \"atomic\" null",
            "spec.command: \"atomic\" null",
            "spec.template.spec.readinessGates: \"atomic\" null",
            "status.conditions: \"map\" [\"type\"]",
            "status.nodes: \"map\" [\"name\"]",
        ];
        assert_eq!(lists, expected);
    }

    /// Dropped from a stored template, null would change the hash of the work.
    #[test]
    fn null_is_kept_where_it_is_hashed_and_nowhere_else() {
        walk_all(&mut |path, schema| {
            let is_hashed = path.starts_with("spec.template.");
            let is_item = path.ends_with("readinessGates[]");
            assert_eq!(schema.get("nullable").is_some(), is_hashed && !is_item, "{path}");
            let keeps_unknown = schema.get("x-kubernetes-preserve-unknown-fields").is_some();
            let is_open =
                schema["type"] == "object" && schema.get("additionalProperties").is_none();
            let is_in_template = path.starts_with("spec.template") && is_open;
            assert_eq!(keeps_unknown, is_in_template, "{path}");
        });
    }

    /// Stored Jobs get defaults when they are read.
    #[test]
    fn defaults_change_nothing_of_a_job() {
        let without = json!({"image": "busybox"});
        let mut with = without.clone();
        let schema = schema("spec");
        for (name, property) in schema["properties"].as_object().unwrap() {
            if let Some(default) = property.get("default") {
                with[name] = default.clone();
            }
        }
        assert_eq!(with["completionMode"], "TerminationWord");
        assert_eq!(with["backoffLimitPerNode"], 6);
        let [with, without] =
            [with, without].map(|spec| serde_json::from_value::<JobSpec>(spec).unwrap());
        assert_eq!(work::hash(&with), work::hash(&without));
        assert_eq!(with.backoff_limit(), without.backoff_limit());
        assert_eq!(JobSpec { backoff_limit_per_node: None, ..with }, without);
    }

    #[test]
    fn a_job_that_nobody_has_looked_at_says_so() {
        let status: JobStatus =
            serde_json::from_value(schema("status")["default"].clone()).unwrap();
        let job = |generation| ObjectMeta { generation, ..ObjectMeta::default() };
        assert!(!status.is_observed() && !JobStatus::default().is_observed());
        assert!(!status.is_current(&job(Some(1))) && !JobStatus::default().is_current(&job(None)));
        let observed = JobStatus { observed_generation: Some(1), ..status };
        assert!(observed.is_observed() && observed.is_current(&job(Some(1))));
        assert!(!observed.is_current(&job(Some(2))));
    }

    #[test]
    fn what_the_operator_refuses_in_words_is_refused_by_the_schema_in_the_same() {
        let mut messages = Vec::new();
        walk("spec", &schema("spec"), &mut |path, schema| {
            for rule in schema["x-kubernetes-validations"].as_array().into_iter().flatten() {
                let path = path.to_owned() + rule["fieldPath"].as_str().unwrap_or_default();
                messages.push(format!("{path}: {}", rule["message"].as_str().unwrap()));
            }
        });
        let expected = [
            "spec.image: must not contain white space",
            "spec.mountPath: must be an absolute path",
            "spec.mountPath: must not contain \"..\"",
            "spec.template.metadata.annotations: must not be set: what begins with \
             daemonset.darkowlzz.space belongs to the operator",
            "spec.template.metadata.labels['daemonset']: must not be set: it belongs to the operator",
            "spec.template.metadata.labels['job']: must not be set: it belongs to the operator",
            "spec.template.metadata.labels['daemonset-job']: must not be set: it belongs to the \
             operator",
            "spec.template.spec.nodeName: must not be set: the DaemonSet gives each node a pod",
            "spec.template.spec.readinessGates: must not be set: a pod of a Job is ready when its \
             work is done",
            "spec.template.spec.restartPolicy: must not be set: pods of a DaemonSet are always \
             restarted",
            "spec.terminationWord: must not be empty",
            "spec.terminationWord: must be on one line",
        ];
        assert_eq!(messages, expected);
    }
}
