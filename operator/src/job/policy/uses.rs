//! Features and directories that a pod template asks for.

use api::labels;
use k8s_openapi::api::core::v1::PodTemplateSpec;
use serde_json::Value;

use super::features::Feature;

/// The capabilities that the baseline Pod Security Standard lets a container add.
const USUAL_CAPABILITIES: [&str; 13] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];

/// Fields that are maps with arbitrary keys.
const MAPS: [&str; 9] = [
    "annotations",
    "labels",
    "limits",
    "matchLabels",
    "nodeSelector",
    "options",
    "overhead",
    "requests",
    "volumeAttributes",
];

/// A feature or directory that a field asks for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Use {
    Feature(Feature),
    /// A directory of the node.
    HostPath(String),
}

/// Finds what `template` asks for, and the fields of the Job that do.
///
/// The names of fields count, wherever they are: a new kind of volume or container may ask for the same in
/// another place.
pub(super) fn uses(template: &PodTemplateSpec) -> Vec<(String, Use)> {
    let mut found = Vec::new();
    // Serializing what was deserialized does not fail.
    let template = serde_json::to_value(template).unwrap_or_default();
    let annotations = template["metadata"]["annotations"].as_object();
    for (key, value) in annotations.into_iter().flatten() {
        // Before Kubernetes had fields for it.
        if key.contains(".security.") && value == "unconfined" {
            let field = format!("spec.template.metadata.annotations[{key}]");
            found.push((field, Use::Feature(Feature::Privileged)));
        }
    }
    walk(&template["spec"], "spec.template.spec", &mut found);
    found
}

fn walk(value: &Value, path: &str, found: &mut Vec<(String, Use)>) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields.iter().filter(|(key, _)| !MAPS.contains(&key.as_str())) {
                let field = format!("{path}.{key}");
                if let Some(used) = used(key, value) {
                    let is_mount_path = fields.get("name")
                        == Some(&labels::BASE_TARGET_VOLUME.into())
                        && key == "hostPath";
                    let field = if is_mount_path { "spec.mountPath".into() } else { field.clone() };
                    found.push((field, used));
                }
                walk(value, &field, found);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                let name = item["name"].as_str().map_or_else(|| index.to_string(), str::to_owned);
                walk(item, &format!("{path}[{name}]"), found);
            }
        }
        _ => {}
    }
}

fn used(key: &str, value: &Value) -> Option<Use> {
    let feature = match key {
        "hostNetwork" | "hostPID" | "hostIPC" => (value == true).then_some(Feature::HostNamespaces),
        "hostPort" => (value != 0).then_some(Feature::HostNamespaces),
        // Of a probe or a hook, which the kubelet sends from the node's network.
        "host" => {
            value.as_str().is_some_and(|host| !host.is_empty()).then_some(Feature::HostNamespaces)
        }
        "privileged" | "hostProcess" => (value == true).then_some(Feature::Privileged),
        "procMount" => (value != "Default").then_some(Feature::Privileged),
        "seccompProfile" | "appArmorProfile" => {
            (value["type"] == "Unconfined").then_some(Feature::Privileged)
        }
        "seLinuxOptions" => Some(Feature::Privileged),
        "sysctls" => {
            value.as_array().is_some_and(|list| !list.is_empty()).then_some(Feature::Privileged)
        }
        "capabilities" => {
            let added = value["add"].as_array().into_iter().flatten();
            let is_usual =
                |name: &Value| name.as_str().is_some_and(|name| USUAL_CAPABILITIES.contains(&name));
            (!added.into_iter().all(is_usual)).then_some(Feature::Privileged)
        }
        "serviceAccountName" | "serviceAccount" => {
            (value != "" && value != "default").then_some(Feature::ServiceAccount)
        }
        "hostPath" => {
            return value["path"].as_str().map(|path| Use::HostPath(path.to_owned()));
        }
        // `secret`, `secretRef`, `secretKeyRef`, `nodePublishSecretRef`, …
        key if key.starts_with("secret") || key.ends_with("SecretRef") => Some(Feature::Secrets),
        _ => None,
    };
    feature.map(Use::Feature)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn used_by(spec: &Value) -> Vec<(String, Use)> {
        let mut template = json!({"spec": {"containers": []}});
        for (key, value) in spec.as_object().unwrap() {
            template["spec"][key] = value.clone();
        }
        uses(&serde_json::from_value(template).unwrap())
    }

    #[test]
    fn each_way_out_of_a_container_is_seen() {
        let container = |fields: Value| {
            let mut container = json!({"name": "job-container"});
            container.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
            json!({"containers": [container]})
        };
        let security = |context: Value| container(json!({"securityContext": context}));
        let table = [
            (json!({"hostNetwork": true}), Feature::HostNamespaces),
            (json!({"hostPID": true}), Feature::HostNamespaces),
            (json!({"hostIPC": true}), Feature::HostNamespaces),
            (
                container(json!({"ports": [{"containerPort": 1, "hostPort": 1}]})),
                Feature::HostNamespaces,
            ),
            (
                container(json!({"livenessProbe": {"httpGet": {"host": "127.0.0.1", "port": 1}}})),
                Feature::HostNamespaces,
            ),
            (security(json!({"privileged": true})), Feature::Privileged),
            (security(json!({"capabilities": {"add": ["SYS_ADMIN"]}})), Feature::Privileged),
            (security(json!({"procMount": "Unmasked"})), Feature::Privileged),
            (security(json!({"seccompProfile": {"type": "Unconfined"}})), Feature::Privileged),
            (security(json!({"appArmorProfile": {"type": "Unconfined"}})), Feature::Privileged),
            (security(json!({"seLinuxOptions": {"type": "spc_t"}})), Feature::Privileged),
            (security(json!({"windowsOptions": {"hostProcess": true}})), Feature::Privileged),
            (
                json!({"securityContext": {"sysctls": [{"name": "a", "value": "1"}]}}),
                Feature::Privileged,
            ),
            (json!({"serviceAccountName": "admin"}), Feature::ServiceAccount),
            (json!({"serviceAccount": "admin"}), Feature::ServiceAccount),
            (json!({"volumes": [{"name": "v", "secret": {"secretName": "s"}}]}), Feature::Secrets),
            (
                json!({"volumes": [{"name": "v", "projected": {"sources": [{"secret": {"name": "s"}}]}}]}),
                Feature::Secrets,
            ),
            (container(json!({"envFrom": [{"secretRef": {"name": "s"}}]})), Feature::Secrets),
            (
                container(json!({"env": [
                    {"name": "V", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
                ]})),
                Feature::Secrets,
            ),
        ];
        for (spec, feature) in table {
            let found = used_by(&spec);
            assert!(found.iter().any(|(_, used)| *used == Use::Feature(feature)), "{spec}");
            assert!(found.iter().all(|(path, _)| path.starts_with("spec.template.spec.")));
            let mut init = spec.clone();
            if let Some(containers) = init.as_object_mut().unwrap().remove("containers") {
                init["initContainers"] = containers;
                assert_eq!(used_by(&init).len(), found.len(), "{init}");
            }
        }
    }

    #[test]
    fn what_containers_usually_have_is_no_feature() {
        let found = used_by(&json!({
            "hostPID": false,
            "nodeSelector": {"secret": "x"},
            "serviceAccountName": "default",
            "imagePullSecrets": [{"name": "registry"}],
            "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}, "runAsUser": 0},
            "volumes": [{"name": "c", "configMap": {"name": "c"}}, {"name": "e", "emptyDir": {}}],
            "containers": [{
                "name": "job-container",
                "env": [{"name": "secret", "value": "x"}],
                "ports": [{"containerPort": 80}],
                "securityContext": {"capabilities": {"add": ["CHOWN"], "drop": ["ALL"]}},
            }],
        }));
        assert_eq!(found, []);
    }

    #[test]
    fn directories_of_the_node_are_seen_with_the_field_that_asks_for_them() {
        let found = used_by(&json!({"volumes": [
            {"name": "basetarget", "hostPath": {"path": "/tmp"}},
            {"name": "logs", "hostPath": {"path": "/var/log"}},
        ]}));
        let expected = [
            ("spec.mountPath".to_owned(), Use::HostPath("/tmp".into())),
            (
                "spec.template.spec.volumes[logs].hostPath".to_owned(),
                Use::HostPath("/var/log".into()),
            ),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn profiles_that_annotations_take_away_are_seen() {
        let key = "container.apparmor.security.beta.kubernetes.io/job-container";
        let template =
            json!({"metadata": {"annotations": {key: "unconfined"}}, "spec": {"containers": []}});
        let found = uses(&serde_json::from_value(template).unwrap());
        assert!(matches!(found.as_slice(), [(_, Use::Feature(Feature::Privileged))]), "{found:?}");
    }
}
