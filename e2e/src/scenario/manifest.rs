//! Manifests of the scenarios' Jobs.

use api::names;
use api::v1beta1::Job;
use kube::Resource as _;
use serde_json::{Value, json};

use super::scene::Scene;
use crate::images::BUSYBOX;

/// A Job that runs a shell script on every node, with the scene's folder at `/basetarget`. It is done
/// by the word unless `spec.completionMode` is set.
pub(super) fn shell(scene: &Scene<'_>, name: &str, script: &str) -> Value {
    let mut job = plain_shell(name, script);
    job["spec"]["mountPath"] = scene.folder().into();
    job
}

/// The same with nothing mounted.
pub(super) fn plain_shell(name: &str, script: &str) -> Value {
    json!({
        "apiVersion": Job::api_version(&()),
        "kind": Job::kind(&()),
        "metadata": {"name": name},
        "spec": {
            "image": BUSYBOX,
            "command": ["sh", "-c"],
            "args": [script],
        },
    })
}

/// A pod template that gives the working container the name of its node as `$NODE`.
pub(super) fn node_name() -> Value {
    let node = json!({"fieldRef": {"fieldPath": "spec.nodeName"}});
    let env = json!([{"name": "NODE", "valueFrom": node}]);
    json!({"spec": {"containers": [{"name": names::JOB_CONTAINER, "env": env}]}})
}

/// A pod template for one node only.
pub(super) fn only_on(node: &str) -> Value {
    json!({"spec": {"nodeSelector": {"kubernetes.io/hostname": node}}})
}
