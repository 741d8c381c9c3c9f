//! The partial pod template in a Job, which is merged over the generated one.
//!
//! A full pod schema would exceed the 256 KiB that `kubectl apply` may put into an annotation. So the
//! schema of the CRD has only the fields that belong to the operator, and [`parse`] refuses the other
//! fields that the schema of a pod would refuse: a field is unknown if it does not survive the round
//! trip through the type of a pod template.

mod gates;

use k8s_openapi::{api::core::v1::PodTemplateSpec, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use kube::core::{Reason, Rule};
use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::{Map, Value, json};

use super::{
    refusal::{Refusal, belongs_to_operator, forbidden, must_not_be_set},
    values,
};
use crate::labels;

/// A field of a pod template's spec that belongs to the operator.
struct Forbidden {
    name: &'static str,
    type_: &'static str,
    /// The values that mean nothing, as CEL; tools write them into manifests.
    accepted: &'static str,
    /// The same values.
    is_accepted: fn(&Value) -> bool,
    /// The error of another value.
    message: &'static str,
}

const FORBIDDEN: [Forbidden; 3] = [
    Forbidden {
        name: "nodeName",
        type_: "string",
        accepted: "self.nodeName == ''",
        is_accepted: |value| value == "",
        message: "must not be set: the DaemonSet gives each node a pod",
    },
    Forbidden {
        name: "readinessGates",
        type_: "array",
        accepted: "size(self.readinessGates) == 0",
        is_accepted: |value| value.as_array().is_some_and(Vec::is_empty),
        message: "must not be set: a pod of a Job is ready when its work is done",
    },
    Forbidden {
        name: "restartPolicy",
        type_: "string",
        accepted: "self.restartPolicy in ['', 'Always']",
        is_accepted: |value| value == "" || value == "Always",
        message: "must be Always: pods of a DaemonSet are always restarted",
    },
];

/// The metadata that pods get from a template. The API server accepts the rest, and nobody reads it.
pub(super) const METADATA: [&str; 2] = ["annotations", "labels"];

/// Reason for refusing the operator's own labels and annotations.
const OURS: &str = "it belongs to the operator";

/// The schema of the template.
///
/// It keeps null and unknown fields. A template that was stored under an older schema must keep its
/// [work hash](crate::job::work_hash::hash). If the API server dropped a misspelled node selector,
/// which [`parse`] refuses, the Job would run on all nodes.
pub(crate) fn schema(_: &mut SchemaGenerator) -> Schema {
    let labels = labels::LABELS.map(|key| {
        let rule = format!("!('{key}' in self)");
        forbidden(rule, OURS).field_path(format!("['{key}']"))
    });
    let annotations = format!("self.all(key, !key.startsWith('{}'))", labels::GROUP);
    let annotations = forbidden(annotations, &belongs_to_operator());
    let fields = FORBIDDEN.map(|Forbidden { name, accepted, message, .. }| {
        let rule = Rule::new(format!("!has(self.{name}) || {accepted}")).message(message);
        rule.reason(Reason::FieldValueForbidden).field_path(format!(".{name}"))
    });
    let fields: Vec<_> = fields.into_iter().chain([gates::rule()]).collect();
    let properties = FORBIDDEN.iter().map(must_not_be_there).chain([gates::schema()]);
    json_schema!({
        "type": "object",
        "x-kubernetes-preserve-unknown-fields": true,
        "properties": {
            "metadata": {
                "description": "Labels and annotations of the pods. Other fields mean nothing.",
                "type": "object",
                "nullable": true,
                "x-kubernetes-preserve-unknown-fields": true,
                "properties": {
                    "labels": strings("Labels of the pods, besides the operator's own.", &labels),
                    "annotations": strings(
                        "Annotations of the pods, besides the operator's own.",
                        &[annotations],
                    ),
                },
            },
            "spec": {
                "description": "Spec of the pods: kubectl explain daemonset.spec.template.spec",
                "type": "object",
                "nullable": true,
                "x-kubernetes-preserve-unknown-fields": true,
                "properties": properties.collect::<Map<_, _>>(),
                "x-kubernetes-validations": fields,
            },
        },
    })
}

/// The schema of a map of strings.
fn strings(description: &str, rules: &[Rule]) -> Value {
    json!({
        "description": description,
        "type": "object",
        "nullable": true,
        "additionalProperties": {"type": "string", "nullable": true},
        "x-kubernetes-validations": rules,
    })
}

/// The schema of a field that a rule refuses: a rule cannot name an unknown field.
fn must_not_be_there(field: &Forbidden) -> (String, Value) {
    let Forbidden { name, type_, message, .. } = field;
    let mut description = format!("{message}.");
    if let Some(first) = description.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    let mut schema = json!({"description": description, "type": type_, "nullable": true});
    if *type_ == "array" {
        schema["items"] = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
        schema["x-kubernetes-list-type"] = json!("atomic");
    }
    ((*name).to_owned(), schema)
}

/// Parses the template of a Job.
///
/// # Errors
/// The first field that is unknown, of the wrong type, or belongs to the operator.
pub fn parse(template: &Value) -> Result<PodTemplateSpec, Refusal> {
    let mut parsed: PodTemplateSpec =
        serde_path_to_error::deserialize(template).map_err(|error| Refusal {
            path: error.path().to_string().trim_matches('.').to_owned(),
            message: error.inner().to_string(),
        })?;
    // Both are JSON, so this cannot fail.
    let kept = serde_json::to_value(&parsed).unwrap_or_default();
    // Generators write it, as they do for a whole Pod.
    let is_empty = |status: &Value| status.as_object().is_some_and(Map::is_empty);
    let is_noise = |path: &str| path == "status" && template.get(path).is_some_and(is_empty);
    if let Some(path) = lost(template, &kept, String::new()).filter(|path| !is_noise(path)) {
        return Err(Refusal { path, message: "unknown field".to_owned() });
    }
    for Forbidden { name, is_accepted, message, .. } in FORBIDDEN {
        let value = template.get("spec").and_then(|spec| spec.get(name));
        if value.is_some_and(|value| !value.is_null() && !is_accepted(value)) {
            let path = format!("spec.{name}");
            return Err(Refusal { path, message: message.to_owned() });
        }
    }
    metadata(template)?;
    gates::check(template)?;
    values::check(template)?;
    parsed.metadata = parsed.metadata.map(|ObjectMeta { labels, annotations, .. }| ObjectMeta {
        labels,
        annotations,
        ..ObjectMeta::default()
    });
    Ok(parsed)
}

/// Refuses finalizers, which would outlive the Job, and the operator's own labels and annotations.
fn metadata(template: &Value) -> Result<(), Refusal> {
    let Some(metadata) = template.get("metadata").and_then(Value::as_object) else {
        return Ok(());
    };
    for (field, value) in metadata.iter().filter(|(_, value)| !value.is_null()) {
        let is_ours: fn(&str) -> bool = match field.as_str() {
            "labels" => |key| labels::LABELS.contains(&key),
            "annotations" => |key| key.starts_with(labels::GROUP),
            "finalizers" if !value.as_array().is_some_and(Vec::is_empty) => {
                let path = format!("metadata.{field}");
                return Err(must_not_be_set(path, "it would hold up the end of the Job"));
            }
            _ => continue,
        };
        let ours = value.as_object().and_then(|map| map.keys().find(|key| is_ours(key)));
        if let Some(key) = ours {
            let path = format!("metadata.{field}[{key}]");
            return Err(must_not_be_set(path, OURS));
        }
    }
    Ok(())
}

/// The path of the first value in `given` that `kept` lacks. Null is no value.
fn lost(given: &Value, kept: &Value, path: String) -> Option<String> {
    match (given, kept) {
        (Value::Null, _) => None,
        (Value::Object(given), Value::Object(kept)) => given.iter().find_map(|(key, value)| {
            let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            lost(value, kept.get(key).unwrap_or(&Value::Null), path)
        }),
        (Value::Array(given), Value::Array(kept)) => {
            given.iter().enumerate().find_map(|(index, value)| {
                lost(value, kept.get(index).unwrap_or(&Value::Null), format!("{path}[{index}]"))
            })
        }
        (Value::Object(_) | Value::Array(_), _) | (_, Value::Null) => Some(path),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_pods_know_is_accepted() {
        let template = json!({
            "metadata": {
                "labels": {"team": "a"}, "annotations": {"a": "b"}, "creationTimestamp": null,
            },
            "spec": {
                "nodeSelector": {"disk": "ssd"},
                "tolerations": [],
                "hostPID": true,
                "containers": [{
                    "name": "job-container",
                    "env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}],
                    "resources": {"limits": {"cpu": "100m"}},
                    "securityContext": {"privileged": true},
                    "ports": [{"containerPort": 80}],
                    "livenessProbe": {"httpGet": {"path": "/", "port": "http"}},
                }],
                "volumes": [{"name": "v", "emptyDir": {}}],
                "imagePullSecrets": [{"name": "s"}],
                "serviceAccountName": null,
                "nodeName": null,
            },
            "status": {},
        });
        let parsed = parse(&template).unwrap();
        assert_eq!(parsed.spec.unwrap().host_pid, Some(true));
    }

    /// As `kubectl get -o yaml` and generators write it.
    #[test]
    fn what_a_copied_manifest_carries_and_means_nothing_is_accepted() {
        let template = json!({
            "metadata": {
                "creationTimestamp": "2026-01-01T00:00:00Z", "labels": {"team": "a"},
                "name": "work", "generateName": "work-", "namespace": "default", "uid": "a",
                "resourceVersion": "1", "finalizers": [],
            },
            "spec": {
                "restartPolicy": "Always",
                "dnsPolicy": "ClusterFirst",
                "schedulerName": "default-scheduler",
                "securityContext": {},
                "terminationGracePeriodSeconds": 30,
                "nodeName": "",
                "readinessGates": [],
                "containers": [{"name": "job-container", "resources": {}}],
            },
        });
        let metadata = parse(&template).unwrap().metadata.unwrap();
        assert_eq!(json!(metadata), json!({"labels": {"team": "a"}}));
    }

    #[test]
    fn what_pods_do_not_know_is_refused_with_its_path() {
        let table = [
            (json!({"spec": {"nodeSelectr": {}}}), "spec.nodeSelectr", "unknown field"),
            (
                json!({"spec": {"containers": [{"name": "a"}, {"name": "b", "imge": "x"}]}}),
                "spec.containers[1].imge",
                "unknown field",
            ),
            (json!({"sepc": {}}), "sepc", "unknown field"),
            (
                json!({"spec": {"hostPID": "yes"}}),
                "spec.hostPID",
                "invalid type: string \"yes\", expected a boolean",
            ),
            (
                json!({"spec": {"containers": {}}}),
                "spec.containers",
                "invalid type: map, expected a sequence",
            ),
        ];
        for (template, path, message) in table {
            let refusal = Refusal { path: path.to_owned(), message: message.to_owned() };
            assert_eq!(parse(&template), Err(refusal), "{template}");
        }
    }

    #[test]
    fn what_belongs_to_the_operator_is_refused() {
        let table = [
            (json!({"spec": {"restartPolicy": "Never"}}), "spec.restartPolicy"),
            (json!({"spec": {"nodeName": "a"}}), "spec.nodeName"),
            (json!({"spec": {"readinessGates": [{"conditionType": "a"}]}}), "spec.readinessGates"),
            (json!({"metadata": {"finalizers": ["a/b"]}}), "metadata.finalizers"),
            (json!({"metadata": {"labels": {"job": "a"}}}), "metadata.labels[job]"),
            (
                json!({"metadata": {"annotations": {"daemonset.darkowlzz.space/work-hash": "a"}}}),
                "metadata.annotations[daemonset.darkowlzz.space/work-hash]",
            ),
        ];
        for (template, expected) in table {
            let Refusal { path, message } = parse(&template).unwrap_err();
            assert_eq!(path, expected);
            assert!(
                message.starts_with("must not be set: ") || message.starts_with("must be Always: ")
            );
        }
    }
}
