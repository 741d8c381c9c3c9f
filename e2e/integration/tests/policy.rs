//! What Jobs are allowed to ask for.

use anyhow::{Result, ensure};
use api::job::Job;
use api::job::conditions::FAILED;
use api::labels;
use k8s_openapi::api::apps::v1::DaemonSet;
use kube::api::ListParams;
use serde_json::json;

use crate::job::{condition, manifest};
use crate::test::{Test, alone_test, settle, shared_test};

/// Waits until a Job is refused with this message, and sees that nothing was created for it.
async fn until_refused(cx: &Test, name: &str, message: &str) -> Result<()> {
    let is_refused = |job: &Job| {
        condition(job, FAILED)
            .is_some_and(|failed| failed.reason == "InvalidSpec" && failed.message == message)
    };
    cx.wait().object(cx.api::<Job>(), name, message, is_refused).await?;
    let daemon_sets = cx.api::<DaemonSet>().list(&ListParams::default()).await?;
    let its = labels::daemon_set(name);
    let is_its = |one: &DaemonSet| one.metadata.name.as_ref() == Some(&its);
    ensure!(!daemon_sets.items.iter().any(is_its));
    Ok(())
}

#[apply(shared_test)]
async fn what_the_operator_does_not_allow_is_refused_and_nothing_created(cx: &Test) -> Result<()> {
    let config = operator::Config {
        allowed_host_paths: "/var/log".parse().expect("a directory"),
        allowed_pod_features: "Secrets".parse().expect("a feature"),
        ..operator::Config::default()
    };
    let _operator = cx.operator_with(Some(cx.namespace.clone()), config).await?;
    let bad = manifest("bad").mount("/var/lib").template(json!({"spec": {"hostNetwork": true}}));
    cx.apply(&bad).await?;
    let message = "spec.template.spec.hostNetwork: HostNamespaces is not allowed; \
                   spec.mountPath: \"/var/lib\" is none of /var/log";
    until_refused(cx, "bad", message).await?;
    let words = ["is none of /var/log", "have the feature allowed"];
    cx.until_explained("bad", "InvalidSpec", &words).await?;
    // Fixed, it runs.
    let fixed = cx.apply(&manifest("bad").mount("/var/log")).await?;
    ensure!(fixed.pods().await?.len() == 3);
    Ok(())
}

#[apply(alone_test)]
async fn what_a_namespace_allows_counts_there_and_at_once(cx: &Test) -> Result<()> {
    // Alone, for this process sees the Jobs of all namespaces.
    let _operator = cx.operator_of(None).await?;
    cx.annotate_namespace(json!({labels::ANNOTATION_ALLOWED_HOST_PATHS: "/var/log"})).await?;
    settle().await;
    let refused = cx.apply(&manifest("refused")).await?;
    until_refused(cx, "refused", "spec.mountPath: \"/tmp\" is none of /var/log").await?;
    let other = format!("{}-2", cx.namespace);
    cx.create_namespace(&other).await?;
    let elsewhere = cx.apply_in(&other, &manifest("refused")).await?;
    ensure!(elsewhere.pods().await?.len() == 3);

    cx.annotate_namespace(json!({labels::ANNOTATION_ALLOWED_HOST_PATHS: "/var/log,/tmp"})).await?;
    let pods = refused.pods().await?;
    ensure!(pods.len() == 3);

    // What runs was allowed when it began.
    cx.annotate_namespace(json!({labels::ANNOTATION_ALLOWED_HOST_PATHS: ""})).await?;
    settle().await;
    for pod in &refused.pods().await? {
        ensure!(pod.object().metadata.deletion_timestamp.is_none());
    }
    refused.until_completed("0/3").await?;

    // One that is not understood allows nothing.
    cx.annotate_namespace(json!({labels::ANNOTATION_ALLOWED_POD_FEATURES: "Root"})).await?;
    settle().await;
    cx.apply(&manifest("misunderstood")).await?;
    let message = "the namespace's annotation daemonset.darkowlzz.space/allowed-pod-features: \
                   \"Root\" is none of HostNamespaces, Privileged, Secrets, ServiceAccount";
    until_refused(cx, "misunderstood", message).await?;
    cx.delete_namespace(&other).await
}
