//! Admission that changes the DaemonSet of a Job at each write.

use super::*;

/// Creates an object of `admissionregistration.k8s.io/v1`.
async fn admission(cx: &Test, plural: &str, object: &Value) -> Result<()> {
    let path = format!("/apis/admissionregistration.k8s.io/v1/{plural}");
    let request = http::Request::post(path).header("Content-Type", "application/json");
    cx.client.request::<Value>(request.body(object.to_string().into_bytes())?).await?;
    Ok(())
}

/// Makes the API server mutate the DaemonSets of the test's namespace, as a webhook would.
pub(crate) async fn mutate(cx: &Test, mutation: Value) -> Result<()> {
    let name = &cx.namespace;
    let rules = json!([{
        "apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"],
        "resources": ["daemonsets"],
    }]);
    let policy = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingAdmissionPolicy",
        "metadata": {"name": name},
        "spec": {
            "matchConstraints": {"resourceRules": rules}, "failurePolicy": "Fail",
            "reinvocationPolicy": "Never", "mutations": [mutation],
        },
    });
    admission(cx, "mutatingadmissionpolicies", &policy).await?;
    let selector = json!({"matchLabels": {"kubernetes.io/metadata.name": name}});
    let binding = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingAdmissionPolicyBinding",
        "metadata": {"name": name},
        "spec": {"policyName": name, "matchResources": {"namespaceSelector": selector}},
    });
    admission(cx, "mutatingadmissionpolicybindings", &binding).await?;
    cx.until("the policy is in force", async || {
        let probed = template(&cx.probe_foreign().await?);
        Ok(probed["metadata"]["labels"]["mutated"] == "yes")
    })
    .await
}

/// A mutation that adds a value to a pod template, beside the label that [`mutate`] waits for.
pub(crate) fn added_to_template(added: (&str, &str)) -> Value {
    let patches = [("metadata/labels/mutated", "yes"), added].map(|(path, value)| {
        format!("JSONPatch{{op: \"add\", path: \"/spec/template/{path}\", value: \"{value}\"}}")
    });
    let patch = json!({"expression": format!("[{}]", patches.join(", "))});
    json!({"patchType": "JSONPatch", "jsonPatch": patch})
}

/// Removes what [`mutate`] made.
pub(crate) async fn forget_mutation(cx: &Test) -> Result<()> {
    for plural in ["mutatingadmissionpolicybindings", "mutatingadmissionpolicies"] {
        let path = format!("/apis/admissionregistration.k8s.io/v1/{plural}/{}", cx.namespace);
        let request = http::Request::delete(path).body(Vec::new())?;
        cx.client.request::<Value>(request).await?;
    }
    Ok(())
}

#[apply(shared_test)]
async fn what_admission_adds_stays_and_makes_no_hot_loop(cx: &Test) -> Result<()> {
    let (operator, _terminator) = cx.both().await?;
    let added = "Object.spec.template{\
        metadata: Object.spec.template.metadata{labels: {\"mutated\": \"yes\"}}, \
        spec: Object.spec.template.spec{containers: [\
            Object.spec.template.spec.containers{name: \"injected\", image: \"example.org/i:1\"}]}}";
    let expression = format!("Object{{spec: Object.spec{{template: {added}}}}}");
    let apply = json!({"expression": expression});
    mutate(cx, json!({"patchType": "ApplyConfiguration", "applyConfiguration": apply})).await?;
    let (job, old) = cx.running(&exit_code_manifest("mutated")).await?;
    let now = template(&job.daemon_set().await?);
    ensure!(now["spec"]["containers"].as_array().is_some_and(|all| all.len() == 2), "{now}");
    set_image(&job, "kubectl-set", OTHER).await?;
    let back = until_ours(&job).await?;
    ensure!(template(&back)["spec"]["containers"].as_array().is_some_and(|all| all.len() == 2));
    operator.until_quiet().await?;
    ensure!(old.len() == 3);
    for node in crate::cluster::NODES {
        job.pod(node).await?.exit(0)?;
    }
    job.until_all_done().await?;
    forget_mutation(cx).await
}

#[apply(shared_test)]
async fn admission_that_decides_about_nodes_ends_no_job_and_is_reported(cx: &Test) -> Result<()> {
    let (operator, _terminator) = cx.both().await?;
    mutate(cx, added_to_template(("spec/nodeSelector/no", "node"))).await?;
    let job = cx.apply(&exit_code_manifest("nowhere")).await?;
    let edited = job.until_condition(DAEMON_SET_EDITED).await?;
    ensure!(edited.message.contains("spec.template.spec.nodeSelector"), "{edited:?}");
    let before = daemon_set_writes(&operator);
    tokio::time::sleep(Duration::from_secs(5)).await;
    let writes = daemon_set_writes(&operator) - before;
    ensure!(writes <= 5, "{writes} writes in 5 s");
    runs_on(&job).await?;
    forget_mutation(cx).await?;
    job.pods().await?;
    job.complete_by_exit_code().await
}
