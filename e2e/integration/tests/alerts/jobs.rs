//! Alerts about Jobs.

use std::time::Duration;

use anyhow::Result;
use api::job::Job;
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use testbed::simulation::NodeSpec;

use super::account::Account;
use super::processes::{is_synced, started};
use super::{Recording, at_least, exactly};
use crate::job::{exit_code_manifest, exit_well, log_done, manifest};
use crate::test::{Test, alone_test, merge, shared_test};

/// A node of these tests alone.
const LOST: &str = "lost-1";

/// The labels of an alert about a series of the operator.
fn of_operator(more: &[(&str, &str)]) -> Value {
    let mut labels = json!({"namespace": "n", "pod": "a", "process": "operator"});
    for (label, value) in more {
        labels[label] = json!(value);
    }
    labels
}

#[apply(shared_test)]
async fn stuck_fires_while_a_job_runs_for_long(cx: &Test) -> Result<()> {
    const AGE: &str = "daemonset_job_oldest_unfinished_job_age_seconds";
    let mut recording = Recording::of("DaemonsetJobStuck")?;
    let [operator, _terminator] = &cx.programs(&[]).await?;
    let targets = &[("a", operator)];
    let (job, pods) = cx.running(&manifest("stuck")).await?;
    recording.quiet(targets).await?;
    // As its status would be after seven hours.
    let start = Time(Timestamp::now() - SignedDuration::from_hours(7));
    let start = Patch::Merge(json!({"status": {"startTime": start}}));
    job.api::<Job>().patch_status(&job.name, &PatchParams::default(), &start).await?;
    recording.during(targets, at_least(operator, AGE, &[], 7.0 * 3600.0 - 1.0)).await?;
    log_done(&pods)?;
    job.until_gone().await?;
    exactly(operator, AGE, &[], 0.0).await?;
    recording.quiet(targets).await?;
    recording.verify(&[of_operator(&[])]).await
}

#[apply(shared_test)]
async fn pods_missing_fires_while_pod_security_refuses_them(cx: &Test) -> Result<()> {
    const NODES: &str = "daemonset_job_nodes";
    let mut recording = Recording::of("DaemonsetJobPodsMissing")?;
    let [operator, _terminator] = &cx.programs(&[]).await?;
    let targets = &[("a", operator)];
    recording.quiet(targets).await?;
    let enforce = async |level: Option<&str>| {
        let labels = json!({"pod-security.kubernetes.io/enforce": level});
        let labels = json!({"metadata": {"labels": labels}});
        merge(&cx.all::<Namespace>(), &cx.namespace, labels).await
    };
    enforce(Some("restricted")).await?;
    let job = cx.apply(&exit_code_manifest("refused")).await?;
    let missing = [("state", "Missing")];
    recording.during(targets, exactly(operator, NODES, &missing, 3.0)).await?;
    enforce(None).await?;
    exactly(operator, NODES, &missing, 0.0).await?;
    recording.quiet(targets).await?;
    exit_well(job.pods().await?)?;
    recording.verify(&[of_operator(&[("state", "Missing")])]).await
}

#[apply(alone_test)]
async fn nodes_unreachable_fires_while_a_node_is_lost(cx: &Test) -> Result<()> {
    const NODES: &str = "daemonset_job_nodes";
    let mut recording = Recording::of("DaemonsetJobNodesUnreachable")?;
    let [operator, _terminator] = &cx.programs(&[]).await?;
    let targets = &[("a", operator)];
    cx.sim().add_node(&NodeSpec::linux(LOST)).await?;
    let job = cx.apply(&manifest("waits")).await?;
    job.pod(LOST).await?;
    recording.quiet(targets).await?;
    let taint = json!({"key": "node.kubernetes.io/unreachable", "effect": "NoExecute"});
    cx.patch_node(LOST, json!({"taints": [taint]})).await?;
    let unreachable = [("state", "Unreachable")];
    recording.during(targets, exactly(operator, NODES, &unreachable, 1.0)).await?;
    cx.patch_node(LOST, json!({"taints": null})).await?;
    exactly(operator, NODES, &unreachable, 0.0).await?;
    recording.quiet(targets).await?;
    recording.verify(&[of_operator(&[("state", "Unreachable")])]).await
}

#[apply(shared_test)]
async fn failed_fires_when_a_job_fails(cx: &Test) -> Result<()> {
    let mut recording = Recording::of("DaemonsetJobFailed")?;
    let [operator, _terminator] = &cx.programs(&[]).await?;
    let targets = &[("a", operator)];
    recording.quiet(targets).await?;
    let fail = async {
        let (job, pods) = cx.running(&exit_code_manifest("fails").backoff_limit(0)).await?;
        pods.iter().try_for_each(|pod| pod.exit(1))?;
        job.until_finished().await?;
        let failed = [("reason", "NodesFailed")];
        exactly(operator, "daemonset_job_job_duration_seconds_count", &failed, 1.0).await
    };
    recording.during(targets, fail).await?;
    recording.quiet(targets).await?;
    recording.verify(&[json!({"namespace": "n", "reason": "NodesFailed"})]).await
}

#[apply(shared_test)]
async fn late_fires_when_the_end_of_a_job_is_written_late(cx: &Test) -> Result<()> {
    let mut recording = Recording::of("DaemonsetJobLate")?;
    let account = Account::create(cx).await?;
    let operator = started(cx, "operator", &account.kubeconfig().await?).await?;
    is_synced(&operator, 1).await?;
    let targets = &[("a", &operator)];
    let (job, pods) = cx.running(&exit_code_manifest("late")).await?;
    recording.quiet(targets).await?;
    let late = async {
        account.forbid("jobs/status", &["patch"]).await?;
        exit_well(&pods)?;
        tokio::time::sleep(Duration::from_secs(7)).await;
        account.allow_all().await?;
        job.until_finished().await?;
        let by_code = [("completion_mode", "ExitCode")];
        exactly(&operator, "daemonset_job_detection_latency_seconds_count", &by_code, 1.0).await
    };
    recording.during(targets, late).await?;
    recording.quiet(targets).await?;
    account.delete().await?;
    recording.verify(&[json!({"namespace": "n"})]).await
}
