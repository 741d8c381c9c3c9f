//! Values of a pod template that have the right JSON type, and that the API server still refuses.
//!
//! It does so in words that name neither field nor value: a bad quantity fails the decoding of the whole
//! DaemonSet, and a key that is twice in a list fails the server-side apply.

use serde_json::Value;

use super::{quantity, refusal::Refusal};

/// Maps whose keys users choose.
pub(super) const MAPS: [&str; 6] =
    ["annotations", "labels", "matchLabels", "nodeSelector", "options", "volumeAttributes"];

/// Lists whose items have keys, and the fields that are the key.
///
/// <https://github.com/kubernetes/api/blob/master/core/v1/types.go>, the tags `listMapKey`
const KEYED_LISTS: [(&str, &[&str]); 13] = [
    ("claims", &["name"]),
    ("containers", &["name"]),
    ("env", &["name"]),
    ("hostAliases", &["ip"]),
    ("imagePullSecrets", &["name"]),
    ("initContainers", &["name"]),
    ("ports", &["containerPort", "protocol"]),
    ("resourceClaims", &["name"]),
    ("schedulingGates", &["name"]),
    ("topologySpreadConstraints", &["topologyKey", "whenUnsatisfiable"]),
    ("volumeDevices", &["devicePath"]),
    ("volumeMounts", &["mountPath"]),
    ("volumes", &["name"]),
];

/// Whether the field `key` of an object that is the field `parent` is a quantity.
pub(super) fn is_quantity(parent: &str, key: &str) -> bool {
    matches!(
        (parent, key),
        ("limits" | "requests" | "overhead", _)
            | ("emptyDir", "sizeLimit")
            | ("resourceFieldRef", "divisor")
    )
}

/// Finds the first bad quantity, or the first item of a list whose key another one has.
pub(super) fn check(template: &Value) -> Result<(), Refusal> {
    walk(template, "", String::new())
}

fn walk(value: &Value, key: &str, path: String) -> Result<(), Refusal> {
    match value {
        Value::Object(_) if MAPS.contains(&key) => Ok(()),
        Value::Object(fields) => fields.iter().try_for_each(|(name, value)| {
            let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            match value.as_str() {
                Some(text) if is_quantity(key, name) && !quantity::is_valid(text) => {
                    Err(Refusal { path, message: format!("{text:?}: {}", quantity::PATTERN) })
                }
                _ => walk(value, name, path),
            }
        }),
        Value::Array(items) => {
            unique(items, key, &path)?;
            let mut items = items.iter().enumerate();
            items.try_for_each(|(index, item)| walk(item, key, format!("{path}[{index}]")))
        }
        _ => Ok(()),
    }
}

/// Refuses two items with the same key.
fn unique(items: &[Value], list: &str, path: &str) -> Result<(), Refusal> {
    let Some((_, fields)) = KEYED_LISTS.iter().find(|(name, _)| *name == list) else {
        return Ok(());
    };
    let key = |item: &Value| -> Vec<Value> {
        let value = |field: &&str| match (*field, &item[*field]) {
            ("protocol", Value::Null) => "TCP".into(),
            (_, value) => value.clone(),
        };
        fields.iter().map(value).collect()
    };
    let keys: Vec<_> = items.iter().map(key).collect();
    for (index, key) in keys.iter().enumerate() {
        let is_whole = key.iter().all(|value| !value.is_null());
        if is_whole && keys[..index].contains(key) {
            let values: Vec<_> = key.iter().map(Value::to_string).collect();
            let message = format!("duplicate {}: {}", fields.join(", "), values.join(", "));
            return Err(Refusal { path: format!("{path}[{index}]"), message });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn refusal(spec: &Value) -> Option<(String, String)> {
        check(&json!({"spec": spec})).err().map(|Refusal { path, message }| (path, message))
    }

    #[test]
    fn a_text_that_is_no_quantity_is_refused_wherever_one_is_expected() {
        let container = |fields: Value| json!({"containers": [fields]});
        for (spec, path, value) in [
            (
                container(json!({"resources": {"limits": {"memory": "64MB"}}})),
                "spec.containers[0].resources.limits.memory",
                "\"64MB\"",
            ),
            (
                container(json!({"resources": {"requests": {"cpu": ""}}})),
                "spec.containers[0].resources.requests.cpu",
                "\"\"",
            ),
            (json!({"resources": {"limits": {"cpu": "1,5"}}}), "spec.resources.limits.cpu", "1,5"),
            (json!({"overhead": {"cpu": "100 m"}}), "spec.overhead.cpu", "100 m"),
            (
                json!({"volumes": [{"name": "v", "emptyDir": {"sizeLimit": "6GiB"}}]}),
                "spec.volumes[0].emptyDir.sizeLimit",
                "6GiB",
            ),
            (
                container(json!({"env": [{
                    "name": "A",
                    "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu", "divisor": "1x"}},
                }]})),
                "spec.containers[0].env[0].valueFrom.resourceFieldRef.divisor",
                "1x",
            ),
        ] {
            let (found, message) = refusal(&spec).unwrap();
            assert_eq!(found, path);
            assert!(message.contains(value) && message.contains("regular expression"), "{message}");
        }
        for spec in [
            container(json!({"resources": {"limits": {"memory": "64Mi", "cpu": 1}}})),
            json!({"nodeSelector": {"limits": "64MB"}}),
        ] {
            assert_eq!(refusal(&spec), None, "{spec}");
        }
    }

    #[test]
    fn a_key_that_is_twice_in_a_list_is_named() {
        let item = |list: &str, item: &Value| json!({list: [item, {}, item]});
        for (list, key, message) in [
            ("imagePullSecrets", json!({"name": "s"}), "duplicate name: \"s\""),
            ("hostAliases", json!({"ip": "1.2.3.4"}), "duplicate ip: \"1.2.3.4\""),
            ("volumes", json!({"name": "v"}), "duplicate name: \"v\""),
            ("containers", json!({"name": "c"}), "duplicate name: \"c\""),
            ("initContainers", json!({"name": "c"}), "duplicate name: \"c\""),
            (
                "topologySpreadConstraints",
                json!({"topologyKey": "k", "whenUnsatisfiable": "DoNotSchedule"}),
                "duplicate topologyKey, whenUnsatisfiable: \"k\", \"DoNotSchedule\"",
            ),
        ] {
            let found = refusal(&item(list, &key));
            assert_eq!(found, Some((format!("spec.{list}[2]"), message.to_owned())));
        }
        for (list, key, message) in [
            ("env", json!({"name": "LEVEL"}), "duplicate name: \"LEVEL\""),
            ("volumeMounts", json!({"mountPath": "/v"}), "duplicate mountPath: \"/v\""),
            ("volumeDevices", json!({"devicePath": "/v"}), "duplicate devicePath: \"/v\""),
            (
                "ports",
                json!({"containerPort": 80}),
                "duplicate containerPort, protocol: 80, \"TCP\"",
            ),
        ] {
            let found = refusal(&json!({"containers": [item(list, &key)]}));
            assert_eq!(found, Some((format!("spec.containers[0].{list}[2]"), message.to_owned())));
        }
        let ports = json!([{"containerPort": 80}, {"containerPort": 80, "protocol": "UDP"}]);
        assert_eq!(refusal(&json!({"containers": [{"ports": ports}]})), None);
        // Not every list has keys.
        assert_eq!(refusal(&json!({"tolerations": [{"key": "a"}, {"key": "a"}]})), None);
    }
}
