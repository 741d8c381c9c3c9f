//! The canonical form of a pod template: templates that mean the same have the same.
//!
//! Tools that read and write manifests reorder keys, write quantities in another way, and leave out or add
//! defaults and empty fields. None of that may start the work again, so the hash of the work is that of this
//! form. Lists keep their order.

use serde_json::{Map, Value, json};

use super::{
    quantity,
    template::METADATA,
    values::{MAPS, is_quantity},
};
use crate::labels;

/// Fields whose empty value means the same as none.
///
/// Not `tolerations`, `command` and `args`, which replace those of the Job, and not those that mean something
/// by being there, such as `emptyDir` and a label selector.
const EMPTY: [&str; 38] = [
    "affinity",
    "annotations",
    "claims",
    "configMapRef",
    "containers",
    "dnsConfig",
    "env",
    "envFrom",
    "hostAliases",
    "hostname",
    "image",
    "imagePullSecrets",
    "initContainers",
    "labels",
    "lifecycle",
    "limits",
    "medium",
    "metadata",
    "nodeName",
    "nodeSelector",
    "overhead",
    "ports",
    "priorityClassName",
    "readinessGates",
    "requests",
    "resourceClaims",
    "resources",
    "securityContext",
    "serviceAccount",
    "serviceAccountName",
    "spec",
    "status",
    "subPath",
    "subdomain",
    "sysctls",
    "topologySpreadConstraints",
    "volumeMounts",
    "volumes",
];

/// The canonical form of `template`; `None` if it is that of no template.
///
/// `image` is that of the job container.
pub(super) fn canonical(template: &Value, image: &str) -> Option<Value> {
    let mut template = template.clone();
    if let Some(metadata) = template.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.retain(|name, _| METADATA.contains(&name.as_str()));
    }
    if let Some(fields) = template.as_object_mut() {
        tidy(fields, "", image);
    }
    template.as_object().is_none_or(|fields| !fields.is_empty()).then_some(template)
}

/// Tidies the fields of an object that is the field `key`, or an item of the list `key`.
fn tidy(fields: &mut Map<String, Value>, key: &str, image: &str) {
    let account = fields.get("serviceAccountName").cloned();
    let own_image = fields.get("image").and_then(Value::as_str).filter(|own| !own.is_empty());
    let (job_image, image) = (image, own_image.unwrap_or(image).to_owned());
    let is_job_container =
        key == "containers" && fields.get("name") == Some(&json!(labels::JOB_CONTAINER));
    for (name, value) in fields.iter_mut() {
        match value {
            Value::Object(inner) if !MAPS.contains(&name.as_str()) => tidy(inner, name, &image),
            Value::Array(items) => {
                for fields in items.iter_mut().filter_map(Value::as_object_mut) {
                    tidy(fields, name, &image);
                }
                // A container that is only named is there anyway.
                let stub = json!({"name": labels::JOB_CONTAINER});
                items.retain(|item| name != "containers" || *item != stub);
            }
            Value::String(text) if is_quantity(key, name) => *text = quantity::canonical(text),
            Value::Number(number) if is_quantity(key, name) => {
                *value = quantity::canonical(&number.to_string()).into();
            }
            _ => {}
        }
    }
    // The operator sets the same.
    if let Some(selector) = fields.get_mut("nodeSelector").and_then(Value::as_object_mut)
        && key == "spec"
        && selector.get("kubernetes.io/os") == Some(&json!("linux"))
    {
        selector.remove("kubernetes.io/os");
    }
    fields.retain(|name, value| {
        let is_default = is_default(key, name, value)
            || is_job_container && name == "image" && value == job_image
            || is_job_container && name == "terminationMessagePolicy" && value == "FallbackToLogsOnError"
            || name == "serviceAccount" && Some(&*value) == account.as_ref()
            || name == "imagePullPolicy" && *value == default_pull_policy(&image)
            // The job container has another default.
            || name == "terminationMessagePolicy" && value == "File" && !is_job_container;
        let means_nothing = is_empty(value) && EMPTY.contains(&name.as_str());
        !(value.is_null() || is_default || means_nothing)
    });
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Object(fields) => fields.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::String(text) => text.is_empty(),
        _ => false,
    }
}

/// Whether the API server would set the field to `value` if it was not there.
///
/// <https://github.com/kubernetes/kubernetes/blob/master/pkg/apis/core/v1/defaults.go>
fn is_default(parent: &str, name: &str, value: &Value) -> bool {
    let default = match (parent, name) {
        ("spec", "dnsPolicy") => json!("ClusterFirst"),
        ("spec", "enableServiceLinks") => json!(true),
        (
            "spec",
            "hostIPC" | "hostNetwork" | "hostPID" | "setHostnameAsFQDN" | "shareProcessNamespace",
        )
        | ("containers" | "initContainers", "stdin" | "stdinOnce" | "tty")
        | ("volumeMounts", "readOnly")
        | (
            "configMap" | "configMapKeyRef" | "configMapRef" | "secret" | "secretKeyRef"
            | "secretRef",
            "optional",
        ) => json!(false),
        ("spec", "restartPolicy") => json!("Always"),
        // The operator's.
        ("spec", "tolerations") => json!([{"operator": "Exists"}]),
        ("spec", "schedulerName") => json!("default-scheduler"),
        ("spec", "terminationGracePeriodSeconds") => json!(30),
        ("containers" | "initContainers", "terminationMessagePath") => {
            json!("/dev/termination-log")
        }
        ("env", "value") | ("hostPath", "type") => json!(""),
        ("fieldRef", "apiVersion") => json!("v1"),
        ("ports", "protocol") => json!("TCP"),
        ("httpGet", "scheme") => json!("HTTP"),
        ("httpGet", "path") => json!("/"),
        ("grpc", "service") => json!(""),
        ("tolerations", "operator") => json!("Equal"),
        ("resourceFieldRef", "divisor") => json!("0"),
        ("configMap" | "downwardAPI" | "projected" | "secret", "defaultMode") => json!(420),
        ("serviceAccountToken", "expirationSeconds") => json!(3600),
        ("livenessProbe" | "readinessProbe" | "startupProbe", field) => match field {
            "initialDelaySeconds" => json!(0),
            "timeoutSeconds" | "successThreshold" => json!(1),
            "periodSeconds" => json!(10),
            "failureThreshold" => json!(3),
            _ => return false,
        },
        _ => return false,
    };
    *value == default
}

/// The default of `imagePullPolicy`.
fn default_pull_policy(image: &str) -> &'static str {
    let (name, is_digest) = image.split_once('@').map_or((image, false), |(name, _)| (name, true));
    let last = name.rsplit('/').next().unwrap_or(name);
    let tag = last.split_once(':').map(|(_, tag)| tag);
    match tag {
        Some("latest") => "Always",
        None if !is_digest => "Always",
        _ => "IfNotPresent",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(template: &Value) -> Option<Value> {
        canonical(template, "busybox:1.36")
    }

    #[test]
    fn what_means_nothing_is_no_template() {
        for template in [
            json!({}),
            json!({"metadata": null, "spec": null}),
            json!({"metadata": {"creationTimestamp": null, "labels": {}}, "spec": {}}),
            json!({"metadata": {"name": "work", "creationTimestamp": "2026-01-01T00:00:00Z"}}),
            json!({"status": {}}),
            json!({"spec": {
                "tolerations": [{"operator": "Exists"}],
                "nodeSelector": {"kubernetes.io/os": "linux"},
                "containers": [{
                    "name": "job-container", "image": "busybox:1.36",
                    "terminationMessagePolicy": "FallbackToLogsOnError",
                }],
            }}),
            json!({"spec": {
                "restartPolicy": "Always", "dnsPolicy": "ClusterFirst", "schedulerName": "default-scheduler",
                "securityContext": {}, "terminationGracePeriodSeconds": 30, "hostNetwork": false,
                "nodeSelector": {}, "affinity": {}, "volumes": [], "nodeName": "", "readinessGates": [],
                "containers": [{
                    "name": "job-container", "resources": {}, "env": [], "imagePullPolicy": "IfNotPresent",
                    "terminationMessagePath": "/dev/termination-log", "stdin": false,
                }],
            }}),
        ] {
            assert_eq!(of(&template), None, "{template}");
        }
    }

    #[test]
    fn templates_that_mean_the_same_have_one_form() {
        let container = |fields: Value| {
            let mut container = json!({"name": "job-container"});
            container.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
            json!({"spec": {"containers": [container]}})
        };
        let limits = |limits: Value| container(json!({"resources": {"limits": limits}}));
        for (one, another) in [
            (limits(json!({"cpu": "1000m"})), limits(json!({"cpu": "1"}))),
            (limits(json!({"cpu": 1})), limits(json!({"cpu": "1"}))),
            (limits(json!({"memory": "1Gi"})), limits(json!({"memory": "1024Mi"}))),
            (
                container(json!({"ports": [{"containerPort": 80, "protocol": "TCP"}]})),
                container(json!({"ports": [{"containerPort": 80}]})),
            ),
            (
                container(json!({"env": [{"name": "A", "value": ""}]})),
                container(json!({"env": [{"name": "A"}]})),
            ),
            (
                json!({"spec": {"serviceAccountName": "a", "serviceAccount": "a"}}),
                json!({"spec": {"serviceAccountName": "a"}}),
            ),
            (
                json!({"spec": {"volumes": [{"name": "v", "secret": {"secretName": "s", "defaultMode": 420}}]}}),
                json!({"spec": {"volumes": [{"name": "v", "secret": {"secretName": "s"}}]}}),
            ),
            (
                json!({"spec": {"containers": [{"name": "job-container"}], "hostPID": true}}),
                json!({"spec": {"hostPID": true}}),
            ),
        ] {
            assert_eq!(of(&one), of(&another), "{one} and {another}");
            assert!(of(&one).is_some());
        }
    }

    #[test]
    fn templates_that_differ_in_meaning_keep_their_difference() {
        for (one, another) in [
            (json!({"spec": {"tolerations": []}}), json!({})),
            (
                json!({"spec": {"containers": [{"name": "job-container", "command": []}]}}),
                json!({}),
            ),
            (
                json!({"spec": {"volumes": [{"name": "v", "emptyDir": {}}]}}),
                json!({"spec": {"volumes": [{"name": "v"}]}}),
            ),
            (
                json!({"spec": {"containers": [{"name": "job-container", "terminationMessagePolicy": "File"}]}}),
                json!({}),
            ),
            (
                json!({"spec": {"containers": [{"name": "job-container", "imagePullPolicy": "Always"}]}}),
                json!({}),
            ),
            (json!({"spec": {"dnsPolicy": "Default"}}), json!({})),
            (json!({"spec": {"hostNetwork": true}}), json!({})),
            (json!({"metadata": {"labels": {"ports": ""}}}), json!({})),
        ] {
            assert_ne!(of(&one), of(&another), "{one} and {another}");
        }
    }

    #[test]
    fn the_pull_policy_depends_on_the_tag() {
        for (image, expected) in [
            ("busybox", "Always"),
            ("busybox:latest", "Always"),
            ("a.b:5000/busybox", "Always"),
            ("a.b:5000/busybox:1.36", "IfNotPresent"),
            ("busybox@sha256:0123", "IfNotPresent"),
        ] {
            assert_eq!(default_pull_policy(image), expected, "{image}");
        }
    }
}
