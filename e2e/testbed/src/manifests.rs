//! Manifests as objects.

use std::path::Path;

use anyhow::{Context as _, Result};
use harness::paths;
use harness::process::{Cmd, LogDir};
use k8s_openapi::api::apps::v1::DaemonSet;
use kube::api::DynamicObject;
use serde::Deserialize as _;
use serde_json::{Value, json};

/// What a folder is rendered to, be it one in the workspace or elsewhere.
pub async fn render(kubectl: &Path, folder: &Path, logs: &LogDir) -> Result<Vec<DynamicObject>> {
    let output = Cmd::new(kubectl)
        .arg("kustomize")
        .arg(folder)
        .cwd(paths::workspace())
        .name("kubectl-kustomize")
        .run(logs)
        .await?;
    objects(&output.text()).with_context(|| format!("see {}", output.log.display()))
}

/// The objects of a file with manifests.
pub fn objects(manifests: &str) -> Result<Vec<DynamicObject>> {
    let documents: Vec<Option<Value>> = serde_saphyr::from_multiple(manifests)?;
    let objects = documents.into_iter().flatten();
    objects.map(|document| Ok(DynamicObject::deserialize(document)?)).collect()
}

/// A DaemonSet whose pods have this specification.
pub fn daemon_set(name: &str, pod: &Value) -> Result<DaemonSet> {
    let labels = json!({"app": name});
    Ok(serde_json::from_value(json!({
        "metadata": {"name": name, "labels": labels},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    }))?)
}

/// A binding that gives a service account a role: a `Role`, or a `ClusterRole`.
pub fn binding(name: &str, kind: &str, role: &str, namespace: &str, account: &str) -> Value {
    json!({
        "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": role},
        "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": namespace}],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_documents_and_empty_ones_are_read() {
        let text = "# nothing but a comment\n---\napiVersion: v1\nkind: Namespace\nmetadata: {name: a}\n---\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: b}\n";
        let objects = objects(text).expect("parsed");
        let names: Vec<_> = objects.iter().map(|object| object.metadata.name.as_deref()).collect();
        assert_eq!(names, [Some("a"), Some("b")]);
    }
}
