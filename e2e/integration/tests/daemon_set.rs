//! What a Job becomes in the cluster.

use anyhow::{Context as _, Result, ensure};
use api::job::Phase;
use api::job::conditions::FAILED;
use harness::job_builder::JobBuilder;
use harness::paths;
use k8s_openapi::api::apps::v1::DaemonSet;
use kube::ResourceExt as _;
use kube::api::DeleteParams;
use serde_json::{Value, json};

use crate::job::{condition, log_done, manifest, phase};
use crate::test::{Test, settle, shared_test};

#[apply(shared_test)]
async fn sample_becomes_the_daemon_set_that_is_promised(cx: &Test) -> Result<()> {
    let _operator = cx.operator().await?;
    let sample = paths::workspace().join("deploy/samples/job.yaml");
    let text = std::fs::read_to_string(&sample)?;
    let sample: Value = serde_saphyr::from_str(&text)?;
    let job = cx.apply(&sample).await?;
    let uid = job.get().await?.uid().context("a UID")?;
    let daemon_set = serde_json::to_value(job.daemon_set().await?)?;

    let name = "job-sample-daemonset-job";
    let labels = json!({"daemonset": name, "job": "job-sample", "daemonset-job": "true"});
    contains(
        &daemon_set,
        &json!({
            "metadata": {
                "name": name,
                "namespace": cx.namespace,
                "labels": labels,
                "ownerReferences": [{
                    "apiVersion": "daemonset.darkowlzz.space/v1beta1",
                    "kind": "Job",
                    "name": "job-sample",
                    "uid": uid,
                    "controller": true,
                }],
            },
            "spec": {
                "updateStrategy": {"rollingUpdate": {"maxUnavailable": "100%"}},
                "template": {
                    "metadata": {"labels": labels},
                    "spec": {
                        "containers": [{
                            "name": "job-container",
                            "image": "darkowlzz/cleanup:v0.0.2",
                            "args": ["/basetarget/foo"],
                            "volumeMounts": [
                                {"name": "basetarget", "mountPath": "/basetarget"},
                            ],
                        }],
                        "volumes": [{"name": "basetarget", "hostPath": {"path": "/tmp"}}],
                        "tolerations": [{"operator": "Exists"}],
                        "nodeSelector": {"kubernetes.io/os": "linux"},
                        "readinessGates": [
                            {"conditionType": "daemonset.darkowlzz.space/Completed"},
                        ],
                    },
                },
            },
        }),
        "",
    )
}

/// Checks that everything in `expected` is so in `actual`; lists have to have the same length.
fn contains(actual: &Value, expected: &Value, path: &str) -> Result<()> {
    match (actual, expected) {
        (Value::Object(actual), Value::Object(expected)) => {
            expected.iter().try_for_each(|(key, expected)| {
                let path = format!("{path}.{key}");
                contains(actual.get(key).unwrap_or(&Value::Null), expected, &path)
            })
        }
        (Value::Array(actual), Value::Array(expected)) => {
            ensure!(actual.len() == expected.len(), "{path}: {actual:?}");
            let mut pairs = actual.iter().zip(expected).enumerate();
            pairs.try_for_each(|(i, (a, e))| contains(a, e, &format!("{path}[{i}]")))
        }
        _ => {
            ensure!(actual == expected, "{path}: {actual}, expected {expected}");
            Ok(())
        }
    }
}

#[apply(shared_test)]
async fn nothing_is_mounted_without_a_mount_path(cx: &Test) -> Result<()> {
    let _operator = cx.operator().await?;
    let manifest = JobBuilder::new("no-mount", "busybox").command(["sh", "-c", "echo done"]);
    let job = cx.apply(&manifest).await?;
    let daemon_set = serde_json::to_value(job.daemon_set().await?)?;
    let pod = &daemon_set["spec"]["template"]["spec"];
    ensure!(pod["volumes"].is_null(), "{pod}");
    let container = &pod["containers"][0];
    ensure!(container["volumeMounts"].is_null(), "{container}");
    ensure!(container["command"] == json!(["sh", "-c", "echo done"]));
    ensure!(container["args"].is_null(), "{container}");
    Ok(())
}

#[apply(shared_test)]
async fn daemon_set_of_someone_else_is_left_alone_until_it_is_gone(cx: &Test) -> Result<()> {
    let _processes = cx.both().await?;
    let foreign = cx.create_foreign("taken-daemonset-job").await?;
    let job = cx.apply(&manifest("taken")).await?;
    let failed = job.until_condition(FAILED).await?;
    ensure!(failed.reason == "NameConflict", "{failed:?}");
    ensure!(failed.message.contains("taken-daemonset-job"), "{failed:?}");
    cx.until_explained("taken", "NameConflict", &[]).await?;
    settle().await;
    let now = cx.api::<DaemonSet>().get("taken-daemonset-job").await?;
    ensure!(now.uid() == foreign.uid());
    ensure!(now.metadata.generation == foreign.metadata.generation);
    ensure!(now.metadata.labels == foreign.metadata.labels);
    ensure!(now.metadata.owner_references.is_none());

    cx.api::<DaemonSet>().delete("taken-daemonset-job", &DeleteParams::background()).await?;
    let pods = job.pods().await?;
    job.until("running, and failed no longer", |job| {
        phase(job) == Some(Phase::Running) && condition(job, FAILED).is_none()
    })
    .await?;
    log_done(pods)?;
    job.until_gone().await
}

#[apply(shared_test)]
async fn deleted_job_spares_a_daemon_set_of_someone_else(cx: &Test) -> Result<()> {
    let _processes = cx.both().await?;
    cx.create_foreign("spared-daemonset-job").await?;
    let job = cx.apply(&manifest("spared")).await?;
    job.until_condition(FAILED).await?;
    job.delete().await?;
    settle().await;
    let daemon_set = cx.api::<DaemonSet>().get("spared-daemonset-job").await?;
    ensure!(daemon_set.metadata.deletion_timestamp.is_none());
    Ok(())
}
