//! Alerts about Jobs.

use std::time::Duration;

use anyhow::Result;
use k8s_openapi::api::core::v1::Namespace;
use serde_json::{Value, json};
use testbed::simulation::NodeSpec;

use super::Recording;
use super::processes::{is_synced, started};
use crate::account::Account;
use crate::job::{exit_code_manifest, exit_well, log_done, manifest};
use crate::metrics::{until, until_at_least};
use crate::test::{Test, merge, shared_test};

/// A node that no other Job runs on, for it is one of Windows.
const LOST: &str = "lost-1";

const AGE: &str = "daemonset_job_oldest_unfinished_job_age_seconds";
const ENDED: &str = "daemonset_job_job_duration_seconds_count";
const LOGS: &str = "daemonset_job_logs";
const NODES: &str = "daemonset_job_nodes";

const MISSING: [(&str, &str); 1] = [("state", "Missing")];
const QUEUED: [(&str, &str); 1] = [("state", "queued")];
const UNREACHABLE: [(&str, &str); 1] = [("state", "Unreachable")];

/// Has Pod Security hold the pods of the test's namespace to a profile, or to none.
async fn enforce(cx: &Test, profile: Option<&str>) -> Result<()> {
    let labels = json!({"pod-security.kubernetes.io/enforce": profile});
    let labels = json!({"metadata": {"labels": labels}});
    merge(&cx.all::<Namespace>(), &cx.namespace, labels).await.map(drop)
}

#[apply(shared_test)]
async fn alerts_fire_while_jobs_wait_lack_pods_or_have_failed(cx: &Test) -> Result<()> {
    let mut recording = Recording::of(&[
        "DaemonsetJobStuck",
        "DaemonsetJobPodsMissing",
        "DaemonsetJobNodesUnreachable",
        "DaemonsetJobFailed",
        "DaemonsetJobLogsQueued",
    ])?;
    let [operator, terminator] = &cx.programs(&[("MAX_FOLLOWERS", "1")]).await?;
    let targets = &[("a", operator), ("a", terminator)];
    cx.sim().add_node(&NodeSpec::windows(LOST)).await?;
    let elsewhere = exit_code_manifest("waits").only_on(LOST);
    let elsewhere = cx.apply(&elsewhere.node_selector("kubernetes.io/os", "windows")).await?;
    let lost = elsewhere.pod(LOST).await?;
    recording.quiet(targets).await?;

    let causes = async {
        cx.set_unreachable(LOST, true).await?;
        // One of its three logs is followed.
        let (stuck, words) = cx.running(&manifest("stuck")).await?;
        let (failed, pods) = cx.running(&exit_code_manifest("fails").backoff_limit(0)).await?;
        pods.iter().try_for_each(|pod| pod.exit(1))?;
        failed.until_finished().await?;
        enforce(cx, Some("restricted")).await?;
        let refused = cx.apply(&exit_code_manifest("refused")).await?;
        until(operator, NODES, &MISSING, 3.0).await?;
        until(operator, NODES, &UNREACHABLE, 1.0).await?;
        until(operator, ENDED, &[("reason", "NodesFailed")], 1.0).await?;
        until(terminator, LOGS, &QUEUED, 2.0).await?;
        stuck.start_long_ago().await?;
        until_at_least(operator, AGE, &[], 7.0 * 3600.0 - 1.0).await?;
        anyhow::Ok((stuck, words, refused))
    };
    let (stuck, words, refused) = recording.during(targets, causes).await?;

    enforce(cx, None).await?;
    cx.set_unreachable(LOST, false).await?;
    lost.exit(0)?;
    exit_well(refused.pods().await?)?;
    log_done(&words)?;
    stuck.until_gone().await?;
    for state in [MISSING, UNREACHABLE] {
        until(operator, NODES, &state, 0.0).await?;
    }
    until(operator, AGE, &[], 0.0).await?;
    until(terminator, LOGS, &QUEUED, 0.0).await?;
    recording.quiet(targets).await?;
    cx.sim().remove_node(LOST).await?;

    let of = |process: &str, more: Value| {
        let mut labels = json!({"namespace": "n", "pod": "a", "process": process});
        more.as_object().into_iter().flatten().for_each(|(label, it)| labels[label] = it.clone());
        labels
    };
    recording
        .verify(&[
            ("DaemonsetJobStuck", of("operator", json!({}))),
            ("DaemonsetJobPodsMissing", of("operator", json!({"state": "Missing"}))),
            ("DaemonsetJobNodesUnreachable", of("operator", json!({"state": "Unreachable"}))),
            ("DaemonsetJobFailed", json!({"namespace": "n", "reason": "NodesFailed"})),
            ("DaemonsetJobLogsQueued", of("terminator", json!({"state": "queued"}))),
        ])
        .await
}

/// An end that is written so long after it came is late.
const LATE: Duration = Duration::from_secs(7);

#[apply(shared_test)]
async fn late_and_reconcile_errors_fire_while_no_status_can_be_written(cx: &Test) -> Result<()> {
    let mut recording = Recording::of(&["DaemonsetJobLate", "DaemonsetJobReconcileErrors"])?;
    let account = Account::create(cx).await?;
    let operator = &started(cx, "operator", &account.kubeconfig().await?).await?;
    is_synced(operator, 1).await?;
    let targets = &[("a", operator)];
    let (job, pods) = cx.running(&exit_code_manifest("late")).await?;
    recording.quiet(targets).await?;
    let unwritten = async {
        account.forbid(&[("jobs/status", &["patch"])]).await?;
        exit_well(&pods)?;
        let errors = "daemonset_job_reconcile_errors_total";
        let errors = until_at_least(operator, errors, &[("kind", "forbidden")], 4.0);
        let (errors, ()) = tokio::join!(errors, tokio::time::sleep(LATE));
        errors?;
        account.allow_all().await?;
        job.until_finished().await?;
        let by_code = [("completion_mode", "ExitCode")];
        until(operator, "daemonset_job_detection_latency_seconds_count", &by_code, 1.0).await
    };
    recording.during(targets, unwritten).await?;
    recording.quiet(targets).await?;
    account.delete().await?;
    let errors = json!({"namespace": "n", "process": "operator", "kind": "forbidden"});
    let late = json!({"namespace": "n"});
    recording.verify(&[("DaemonsetJobLate", late), ("DaemonsetJobReconcileErrors", errors)]).await
}
