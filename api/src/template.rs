//! The pod template in a Job: a part of a pod template that is merged over the generated one.
//!
//! A full pod schema would pass the 256 KiB that `kubectl apply` may put into an annotation. So the
//! schema of the CRD has only what belongs to the operator, and what else the schema of a pod would
//! refuse is refused by [`parse`]: a field that does not survive the way into the type of a pod
//! template and back is unknown.

use k8s_openapi::api::core::v1::PodTemplateSpec;
use kube::core::{Reason, Rule};
use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::{Map, Value, json};

use crate::names;

/// Fields of a pod template's spec that belong to the operator, and their types.
const FORBIDDEN: [(&str, &str, &str); 3] = [
    ("nodeName", "string", "the DaemonSet gives each node a pod"),
    ("readinessGates", "array", "a pod of a Job is ready when its work is done"),
    ("restartPolicy", "string", "pods of a DaemonSet are always restarted"),
];

/// Why nobody may give pods a label or annotation of ours.
const OURS: &str = "it belongs to the operator";

/// The schema of the template.
///
/// It keeps null and unknown fields: a template that was stored under an older schema must keep its
/// [work hash](crate::work::hash), and one that [`parse`] refuses for a misspelled node selector
/// must not run on all nodes because the API server has dropped it.
pub(crate) fn schema(_: &mut SchemaGenerator) -> Schema {
    let labels = names::LABELS.map(|key| {
        let rule = format!("!('{key}' in self)");
        forbidden(rule, OURS).field_path(format!("['{key}']"))
    });
    let annotations = format!("self.all(key, !key.startsWith('{}'))", names::GROUP);
    let reason = format!("what begins with {} belongs to the operator", names::GROUP);
    let annotations = forbidden(annotations, &reason);
    let fields = FORBIDDEN.map(|(field, _, reason)| {
        forbidden(format!("!has(self.{field})"), reason).field_path(format!(".{field}"))
    });
    json_schema!({
        "type": "object",
        "x-kubernetes-preserve-unknown-fields": true,
        "properties": {
            "metadata": {
                "description": "Labels and annotations of the pods.",
                "type": "object",
                "nullable": true,
                "x-kubernetes-preserve-unknown-fields": true,
                "properties": {
                    "labels": strings("Labels of the pods, beside those of the operator.", &labels),
                    "annotations": strings(
                        "Annotations of the pods, beside those of the operator.",
                        &[annotations],
                    ),
                },
            },
            "spec": {
                "description": "As in a pod template: kubectl explain daemonset.spec.template.spec",
                "type": "object",
                "nullable": true,
                "x-kubernetes-preserve-unknown-fields": true,
                "properties": FORBIDDEN.iter().map(must_not_be_there).collect::<Map<_, _>>(),
                "x-kubernetes-validations": fields,
            },
        },
    })
}

/// The rule that refuses a field for `reason`, in the words of [`must_not_be_set`].
fn forbidden(rule: String, reason: &str) -> Rule {
    let message = format!("must not be set: {reason}");
    Rule::new(rule).message(message.as_str()).reason(Reason::FieldValueForbidden)
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

/// The schema of a field that a rule refuses: rules know no fields that have none.
fn must_not_be_there((field, type_, reason): &(&str, &str, &str)) -> (String, Value) {
    let mut schema = json!({
        "description": format!("Must not be set: {reason}."),
        "type": type_,
        "nullable": true,
    });
    if *type_ == "array" {
        schema["items"] = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
        schema["x-kubernetes-list-type"] = json!("atomic");
    }
    ((*field).to_owned(), schema)
}

/// What is wrong with a template.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Refusal {
    /// Path of the field below the template; empty for the template itself.
    pub path: String,
    /// What is wrong with its value.
    pub message: String,
}

/// Reads the template of a Job.
///
/// # Errors
/// The first field that is unknown, of the wrong type, or belongs to the operator.
pub fn parse(template: &Value) -> Result<PodTemplateSpec, Refusal> {
    let parsed: PodTemplateSpec =
        serde_path_to_error::deserialize(template).map_err(|error| Refusal {
            path: error.path().to_string().trim_matches('.').to_owned(),
            message: error.inner().to_string(),
        })?;
    // Both are JSON, so this cannot fail.
    let kept = serde_json::to_value(&parsed).unwrap_or_default();
    if let Some(path) = lost(template, &kept, String::new()) {
        return Err(Refusal { path, message: "unknown field".to_owned() });
    }
    for (field, _, reason) in FORBIDDEN {
        let is_set = |spec: &Value| spec.get(field).is_some_and(|value| !value.is_null());
        if template.get("spec").is_some_and(is_set) {
            return Err(must_not_be_set(format!("spec.{field}"), reason));
        }
    }
    metadata(template)?;
    Ok(parsed)
}

/// Only labels and annotations make sense on a template, and ours are not for the taking. Null, which
/// tools write for the time of a creation that was not yet, says nothing.
fn metadata(template: &Value) -> Result<(), Refusal> {
    let Some(metadata) = template.get("metadata").and_then(Value::as_object) else {
        return Ok(());
    };
    for (field, value) in metadata.iter().filter(|(_, value)| !value.is_null()) {
        let is_ours: fn(&str) -> bool = match field.as_str() {
            "labels" => |key| names::LABELS.contains(&key),
            "annotations" => |key| key.starts_with(names::GROUP),
            _ => {
                let path = format!("metadata.{field}");
                return Err(must_not_be_set(path, "only labels and annotations can be"));
            }
        };
        let ours = value.as_object().and_then(|map| map.keys().find(|key| is_ours(key)));
        if let Some(key) = ours {
            let path = format!("metadata.{field}[{key}]");
            return Err(must_not_be_set(path, OURS));
        }
    }
    Ok(())
}

fn must_not_be_set(path: String, reason: &str) -> Refusal {
    Refusal { path, message: format!("must not be set: {reason}") }
}

/// The path of the first thing in `given` that `kept` lacks. What is null says nothing, and is not
/// missed.
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
        });
        let parsed = parse(&template).unwrap();
        assert_eq!(parsed.spec.unwrap().host_pid, Some(true));
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
            (json!({"spec": {"readinessGates": []}}), "spec.readinessGates"),
            (json!({"metadata": {"name": "a"}}), "metadata.name"),
            (json!({"metadata": {"labels": {"job": "a"}}}), "metadata.labels[job]"),
            (
                json!({"metadata": {"annotations": {"daemonset.darkowlzz.space/work-hash": "a"}}}),
                "metadata.annotations[daemonset.darkowlzz.space/work-hash]",
            ),
        ];
        for (template, expected) in table {
            let Refusal { path, message } = parse(&template).unwrap_err();
            assert_eq!(path, expected);
            assert!(message.starts_with("must not be set: "), "{message}");
        }
    }
}
