//! The fields of a DaemonSet that others have set.
//!
//! Server-side apply takes back each field that the operator sets, and leaves those that others add. Of these
//! some decide about the nodes or the work, and have to go. `metadata.managedFields` says whose a field is; what
//! an admission webhook adds is nobody's, and comes back with each write.

use api::{labels, views};
use serde_json::{Map, Value};

/// A step on the way to a field.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Step {
    /// A field of an object.
    Field(String),
    /// The item of a list with these keys.
    Item(Map<String, Value>),
}

/// The way to a field.
type Path = Vec<Step>;

/// Removes the fields of others that decide about nodes or work from `object`.
///
/// `false` if there are none.
pub(super) fn remove_foreign(object: &mut Value) -> bool {
    let paths = foreign(object);
    paths.iter().for_each(|path| remove(object, path));
    !paths.is_empty()
}

/// Whether others have set fields that decide about nodes or work.
pub(super) fn has_foreign(object: &Value) -> bool {
    !foreign(object).is_empty()
}

/// Those who have edited the spec of `object`, the last one first; a few of them.
pub(super) fn editors(object: &Value) -> Option<String> {
    let mut editors: Vec<_> = entries(object)
        .filter(|entry| !is_ours(entry) && entry["fieldsV1"].get("f:spec").is_some())
        .filter_map(|entry| Some((entry["time"].as_str()?, entry["manager"].as_str()?)))
        .collect();
    editors.sort_unstable();
    editors.last().map(|(_, manager)| (*manager).to_owned())
}

fn foreign(object: &Value) -> Vec<Path> {
    let ours: Vec<_> =
        entries(object).filter(|entry| is_ours(entry)).map(|entry| &entry["fieldsV1"]).collect();
    let mut paths = Vec::new();
    for entry in entries(object).filter(|entry| !is_ours(entry)) {
        // Who applies fields beside ours means to share the object; who updates it overwrites what is there.
        let may_share = entry["operation"] == "Apply";
        collect(&entry["fieldsV1"], &ours, may_share, &mut Vec::new(), &mut paths);
    }
    paths
}

/// The managed fields of `object` but those of its status.
fn entries(object: &Value) -> impl Iterator<Item = &Value> {
    let entries = object["metadata"]["managedFields"].as_array().into_iter().flatten();
    entries.filter(|entry| entry.get("subresource").is_none())
}

fn is_ours(entry: &Value) -> bool {
    entry["manager"] == labels::OPERATOR
}

/// Collects the paths in `theirs` that are in none of `ours` and must not stay.
fn collect(
    theirs: &Value,
    ours: &[&Value],
    may_share: bool,
    path: &mut Path,
    paths: &mut Vec<Path>,
) {
    for (key, theirs) in theirs.as_object().into_iter().flatten() {
        let Some(step) = step(key) else { continue };
        path.push(step);
        let ours: Vec<&Value> = ours.iter().filter_map(|ours| ours.get(key)).collect();
        if !may_stay(path, may_share) {
            match ours.is_empty() {
                true => paths.push(path.clone()),
                false => collect(theirs, &ours, may_share, path, paths),
            }
        }
        path.pop();
    }
}

/// Parses a key of `fieldsV1`; none for one that names no field of its own.
fn step(key: &str) -> Option<Step> {
    match key.split_once(':')? {
        ("f", name) => Some(Step::Field(name.to_owned())),
        ("k", keys) => serde_json::from_str(keys).ok().map(Step::Item),
        _ => None,
    }
}

/// Whether others may set the field: it decides neither about nodes nor about the work.
fn may_stay(path: &[Step], may_share: bool) -> bool {
    let names: Vec<&str> = path
        .iter()
        .map(|step| match step {
            Step::Field(name) => name.as_str(),
            Step::Item(keys) => keys.get("name").and_then(Value::as_str).unwrap_or_default(),
        })
        .collect();
    match names.as_slice() {
        ["spec", "template", "metadata", "labels", _] => true,
        // That of `kubectl rollout restart`.
        ["spec", "template", "metadata", "annotations", key] => !views::is_of_kubectl(key),
        ["spec", "template", "spec", "containers" | "initContainers", name] => {
            may_share && *name != labels::JOB_CONTAINER
        }
        ["spec", "template", "spec", "volumes", name] => {
            may_share && *name != labels::BASE_TARGET_VOLUME
        }
        ["spec", "template", "spec", "imagePullSecrets", _] => may_share,
        ["spec", ..] => false,
        _ => true,
    }
}

fn remove(object: &mut Value, path: &[Step]) {
    let Some((step, rest)) = path.split_first() else { return };
    let is_item = |item: &Value, keys: &Map<String, Value>| {
        keys.iter().all(|(key, value)| item.get(key) == Some(value))
    };
    match (step, object) {
        (Step::Field(name), Value::Object(fields)) if rest.is_empty() => {
            fields.remove(name);
        }
        (Step::Field(name), Value::Object(fields)) => {
            if let Some(field) = fields.get_mut(name) {
                remove(field, rest);
            }
        }
        (Step::Item(keys), Value::Array(items)) if rest.is_empty() => {
            items.retain(|item| !is_item(item, keys));
        }
        (Step::Item(keys), Value::Array(items)) => {
            let items = items.iter_mut().filter(|item| is_item(item, keys));
            items.for_each(|item| remove(item, rest));
        }
        _ => {}
    }
}

/// The JSON merge patch that turns `from` into `to`.
pub(super) fn merge_patch(from: &Value, to: &Value) -> Value {
    let (Value::Object(from), Value::Object(to)) = (from, to) else {
        return to.clone();
    };
    let removed = from.keys().filter(|key| !to.contains_key(*key));
    let removed = removed.map(|key| (key.clone(), Value::Null));
    let changed = to.iter().filter(|(key, value)| from.get(*key) != Some(*value));
    let changed = changed.map(|(key, value)| {
        (key.clone(), merge_patch(from.get(key).unwrap_or(&Value::Null), value))
    });
    Value::Object(removed.chain(changed).collect())
}

/// Whether `object` has all that `wanted` has. It may have more, defaults for example.
///
/// The API server writes quantities in another form: that nobody else has set them has to suffice.
pub(super) fn contains(object: &Value, wanted: &Value) -> bool {
    match (object, wanted) {
        (Value::Object(object), Value::Object(wanted)) => wanted.iter().all(|(key, wanted)| {
            let object = object.get(key).unwrap_or(&Value::Null);
            key == "resources" || contains(object, wanted)
        }),
        (Value::Array(object), Value::Array(wanted)) if wanted.iter().all(Value::is_object) => {
            wanted.iter().all(|wanted| object.iter().any(|object| contains(object, wanted)))
        }
        (Value::Null, Value::Bool(false)) => true,
        (Value::Null, wanted) => is_empty(wanted),
        _ => wanted.is_null() || object == wanted,
    }
}

/// The fields of the pod template of `object` that decide about nodes, and are not as `wanted` has them.
///
/// Tolerations may be more.
pub(super) fn differing_selection(object: &Value, wanted: &Value) -> Option<String> {
    let pod = |object: &Value| object.pointer("/spec/template/spec").cloned().unwrap_or_default();
    let (object, wanted) = (pod(object), pod(wanted));
    let differs = |field: &&str| pruned(&object[*field]) != pruned(&wanted[*field]);
    let fields: Vec<_> = ["nodeSelector", "affinity", "nodeName"]
        .into_iter()
        .filter(differs)
        .map(|field| format!("spec.template.spec.{field}"))
        .collect();
    (!fields.is_empty()).then(|| fields.join(", "))
}

/// `value` without what is empty, which means the same as nothing.
fn pruned(value: &Value) -> Value {
    let pruned = match value {
        Value::Object(fields) => {
            let fields = fields.iter().map(|(key, value)| (key.clone(), pruned(value)));
            Value::Object(fields.filter(|(_, value)| !value.is_null()).collect())
        }
        Value::Array(items) => Value::Array(items.iter().map(pruned).collect()),
        other => other.clone(),
    };
    if is_empty(&pruned) { Value::Null } else { pruned }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(fields) => fields.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::String(text) => text.is_empty(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A DaemonSet of ours with the fields that `manager` has set by this operation.
    fn edited(operation: &str, fields: &Value, pod: &Value) -> Value {
        let container = json!({"f:image": {}, "f:name": {}});
        let ours = json!({"f:spec": {"f:template": {
            "f:metadata": {"f:annotations": {"f:daemonset.darkowlzz.space/work-hash": {}}},
            "f:spec": {
                "f:nodeSelector": {"f:kubernetes.io/os": {}},
                "f:containers": {"k:{\"name\":\"job-container\"}": container},
            },
        }}});
        json!({
            "metadata": {"managedFields": [
                {"manager": "daemonset-job-operator", "operation": "Apply", "fieldsV1": ours},
                {"manager": "a-tool", "operation": operation, "time": "2026-01-01T00:00:00Z",
                 "fieldsV1": {"f:spec": {"f:template": fields}}},
                {"manager": "kube-controller-manager", "operation": "Update", "subresource": "status",
                 "time": "2026-01-02T00:00:00Z", "fieldsV1": {"f:status": {}, "f:spec": {}}},
            ]},
            "spec": {"template": {"spec": pod}},
        })
    }

    fn removed(operation: &str, fields: &Value, pod: &Value) -> Value {
        let mut object = edited(operation, fields, pod);
        let before = object.clone();
        assert_eq!(has_foreign(&object), remove_foreign(&mut object));
        merge_patch(&before, &object)["spec"]["template"]["spec"].clone()
    }

    #[test]
    fn what_a_stranger_adds_to_the_selection_or_the_work_goes() {
        let fields =
            json!({"f:spec": {"f:nodeSelector": {"f:asleep": {}, "f:kubernetes.io/os": {}}}});
        let pod = json!({"nodeSelector": {"kubernetes.io/os": "linux", "asleep": "yes"}});
        assert_eq!(removed("Update", &fields, &pod), json!({"nodeSelector": {"asleep": null}}));
        assert_eq!(editors(&edited("Update", &fields, &pod)).as_deref(), Some("a-tool"));

        let fields = json!({"f:spec": {"f:affinity": {"f:nodeAffinity": {}}, "f:hostPID": {}}});
        let pod = json!({"affinity": {"nodeAffinity": {}}, "hostPID": true});
        assert_eq!(removed("Apply", &fields, &pod), json!({"affinity": null, "hostPID": null}));

        let fields = json!({"f:spec": {"f:containers": {
            "k:{\"name\":\"job-container\"}": {
                ".": {}, "f:name": {}, "f:command": {}, "f:env": {"k:{\"name\":\"A\"}": {}},
            },
        }}});
        let container = json!({
            "name": "job-container", "image": "i", "command": ["true"], "env": [{"name": "A"}],
        });
        let pod = json!({"containers": [container, {"name": "injected"}]});
        let ours = json!([{"name": "job-container", "image": "i"}, {"name": "injected"}]);
        assert_eq!(removed("Update", &fields, &pod), json!({"containers": ours}));
    }

    #[test]
    fn a_scheduling_gate_that_a_stranger_adds_goes_and_ours_stays() {
        let gate = |name: &str| format!("k:{{\"name\":\"{name}\"}}");
        let added = json!({".": {}, "f:name": {}});
        let turn = json!({"name": labels::TURN_GATE});
        let pod = json!({"schedulingGates": [turn, {"name": "a"}]});
        let fields = json!({"f:spec": {"f:schedulingGates": {".": {}, gate("a"): added}}});
        let mut object = edited("Update", &fields, &pod);
        let ours = &mut object["metadata"]["managedFields"][0]["fieldsV1"]["f:spec"]["f:template"];
        ours["f:spec"]["f:schedulingGates"] = json!({gate(labels::TURN_GATE): added});
        assert!(remove_foreign(&mut object));
        assert_eq!(object["spec"]["template"]["spec"]["schedulingGates"], json!([turn]));
        // A Job whose nodes take no turns has no gate at all.
        let fields = json!({"f:spec": {
            "f:schedulingGates": {".": {}, gate(labels::TURN_GATE): added},
        }});
        let pod = json!({"schedulingGates": [turn]});
        assert_eq!(removed("Update", &fields, &pod), json!({"schedulingGates": null}));
    }

    #[test]
    fn labels_and_shared_sidecars_stay_and_a_restart_by_kubectl_does_not() {
        let fields = json!({
            "f:metadata": {"f:labels": {"f:team": {}}, "f:annotations": {"f:note": {}}},
            "f:spec": {"f:containers": {"k:{\"name\":\"sidecar\"}": {".": {}, "f:image": {}}}},
        });
        let sidecar = json!({"containers": [{"name": "sidecar"}]});
        assert_eq!(removed("Apply", &fields, &sidecar), Value::Null);
        assert_eq!(removed("Update", &fields, &sidecar), json!({"containers": []}));
        let restarted = "f:kubectl.kubernetes.io/restartedAt";
        let fields = json!({"f:metadata": {"f:annotations": {restarted: {}}}});
        assert!(has_foreign(&edited("Update", &fields, &json!({}))));
    }

    #[test]
    fn a_webhook_that_decides_about_nodes_is_seen_and_defaults_are_not() {
        let object = |pod: Value| json!({"spec": {"template": {"spec": pod}}});
        let ours = object(json!({
            "nodeSelector": {"a": "b"}, "tolerations": [{"key": "x"}], "hostNetwork": false,
            "resources": {"limits": {"cpu": "1000m"}},
        }));
        let more = json!({
            "nodeSelector": {"a": "b"}, "affinity": {"nodeAffinity": {}}, "dnsPolicy": "ClusterFirst",
            "tolerations": [{"key": "x"}, {"key": "y"}], "resources": {"limits": {"cpu": "1"}},
        });
        assert_eq!(differing_selection(&object(more.clone()), &ours), None);
        assert!(contains(&object(more), &ours));
        let other = object(json!({"nodeSelector": {"a": "b", "c": "d"}, "nodeName": "n"}));
        assert_eq!(
            differing_selection(&other, &ours).as_deref(),
            Some("spec.template.spec.nodeSelector, spec.template.spec.nodeName")
        );
        assert!(!contains(&object(json!({"nodeSelector": {"a": "b"}})), &ours));
    }
}
