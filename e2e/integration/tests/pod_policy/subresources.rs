//! Changes of pods by their subresources.

use anyhow::{Context as _, Result, bail, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use super::{JSON_PATCH, as_operator, create_pod, is_by_policy, of_a_job, until_enforced};
use crate::test::{Test, shared_test};

/// The metadata of a pod that writes of its status can change.
fn marks(pod: &Pod) -> Value {
    json!([pod.metadata.labels, pod.metadata.annotations, pod.metadata.finalizers])
}

/// Writes of a pod's status that change more than it.
const BY_STATUS: [&str; 4] = [
    r#"{"metadata": {"labels": {"app": "of-somebody-else"}}}"#,
    r#"{"metadata": {"labels": {"daemonset-job": null}}}"#,
    r#"{"metadata": {"annotations": {"note": null}}}"#,
    r#"{"metadata": {"finalizers": ["example.com/hold"]}}"#,
];

#[apply(shared_test)]
async fn operator_may_change_the_status_of_pods_of_jobs_and_nothing_else_with_it(
    cx: &Test,
) -> Result<()> {
    let pod = create_pod(cx, "waits", of_a_job()).await?;
    create_pod(cx, "other", json!({"team": "a"})).await?;
    let (admin, operator) = (cx.api::<Pod>(), as_operator(cx).await?);
    until_enforced(cx, &operator, "waits").await?;
    let (params, dry_run) = (PatchParams::default(), PatchParams::default().dry_run());
    for change in BY_STATUS {
        let patch = Patch::Strategic(serde_json::from_str::<Value>(change)?);
        // Nothing but the policy refuses it.
        let changed = admin.patch_status("waits", &dry_run, &patch).await?;
        ensure!(marks(&changed) != marks(&pod), "{change}");
        is_by_policy(operator.patch_status("waits", &params, &patch).await).context(change)?;
    }
    let condition = json!([{"type": "daemonset.darkowlzz.space/Observed", "status": "True"}]);
    let condition = Patch::Strategic(json!({"status": {"conditions": condition}}));
    operator.patch_status("waits", &params, &condition).await?;
    let message = is_by_policy(operator.patch_status("other", &params, &condition).await)?;
    ensure!(message.contains("pods of Jobs alone"), "{message}");
    Ok(())
}

/// Other requests that write to a pod or run something in it.
///
/// Methods, and what follows the pod's name.
const OTHERS: [(&str, &str); 12] = [
    ("DELETE", ""),
    ("PUT", ""),
    ("PUT", "/status"),
    ("PATCH", "/ephemeralcontainers"),
    ("PUT", "/ephemeralcontainers"),
    ("PATCH", "/resize"),
    ("PUT", "/resize"),
    ("POST", "/binding"),
    ("POST", "/eviction"),
    ("POST", "/exec?command=true"),
    ("POST", "/portforward"),
    ("POST", "/proxy/"),
];

#[apply(shared_test)]
async fn operator_has_no_right_to_write_to_pods_in_any_other_way(cx: &Test) -> Result<()> {
    create_pod(cx, "waits", of_a_job()).await?;
    let (clients, _) = cx.clients().await?;
    for (method, subresource) in OTHERS {
        let path = format!("/api/v1/namespaces/{}/pods/waits{subresource}", cx.namespace);
        let request = http::Request::builder().method(method).uri(path);
        let request = request.header("Content-Type", JSON_PATCH).body(b"[]".to_vec())?;
        let what = format!("{method} {subresource}");
        match clients.call.request::<Value>(request).await {
            Err(kube::Error::Api(status)) if status.code == 403 => {
                ensure!(status.message.contains(" cannot "), "{what}: {}", status.message);
            }
            answer => bail!("{what}: {answer:?}"),
        }
    }
    Ok(())
}
