//! The schema of the custom resource.

use std::borrow::Cow;

use schemars::{
    JsonSchema, Schema, SchemaGenerator, json_schema,
    transform::{RecursiveTransform, Transform as _},
};
use serde_json::Value;

use super::{
    spec::{Job, JobSpec},
    status::JobStatus,
};

/// The schema is written by hand because a derived one would allow a null status.
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

/// Removes the type `null` and the line breaks of descriptions from a schema.
///
/// A field without a value is left out: the API server drops a null that the schema does not allow,
/// also from stored objects. Clients break descriptions into lines themselves.
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

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
    use kube::CustomResourceExt as _;
    use serde_json::json;

    use super::*;
    use crate::job::work_hash;

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
            "spec.order: \"atomic\" null",
            "spec.order[].matchExpressions: \"atomic\" null",
            "spec.order[].matchExpressions[].values: \"atomic\" null",
            "spec.template.spec.readinessGates: \"atomic\" null",
            "spec.template.spec.schedulingGates: \"atomic\" null",
            "spec.windows: \"atomic\" null",
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
            let is_item = path.ends_with("Gates[]");
            assert_eq!(schema["nullable"] == true, is_hashed && !is_item, "{path}");
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
        assert_eq!(with["deletionPolicy"], "Delete");
        let [with, without] =
            [with, without].map(|spec| serde_json::from_value::<JobSpec>(spec).unwrap());
        assert_eq!(work_hash::hash(&with), work_hash::hash(&without));
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
            "spec.activeDeadlineSeconds: must not be set with completionPolicy Never",
            "spec.ttlSecondsAfterFinished: must not be set with completionPolicy Never",
            "spec.ttlSecondsAfterFinished: must not be set with deletionPolicy Retain",
            "spec.image: must not contain white space",
            "spec.mountPath: must be an absolute path",
            "spec.mountPath: must not contain \"..\"",
            "spec.order: must not have two equal groups",
            "spec.order[].matchExpressions[].values: must be given with In and NotIn, and only with these",
            "spec.parallelism: must be a number from 0, or per cent from 0% to 100%",
            "spec.template.metadata.annotations: must not be set: what begins with \
             daemonset.darkowlzz.space belongs to the operator",
            "spec.template.metadata.labels['daemonset']: must not be set: it belongs to the operator",
            "spec.template.metadata.labels['job']: must not be set: it belongs to the operator",
            "spec.template.metadata.labels['daemonset-job']: must not be set: it belongs to the \
             operator",
            "spec.template.spec.nodeName: must not be set: the DaemonSet gives each node a pod",
            "spec.template.spec.readinessGates: must not be set: a pod of a Job is ready when its \
             work is done",
            "spec.template.spec.restartPolicy: must be Always: pods of a DaemonSet are always restarted",
            "spec.template.spec.schedulingGates: must not be set: what begins with \
             daemonset.darkowlzz.space belongs to the operator",
            "spec.terminationWord: must not be empty",
            "spec.terminationWord: must be on one line",
        ];
        assert_eq!(messages, expected);
    }
}
