//! Alerts about what cannot be read, or is read too late.

use anyhow::Result;
use serde_json::json;

use super::Recording;
use super::processes::{is_synced, started};
use crate::account::Account;
use crate::job::{log_done, manifest};
use crate::metrics::{until, until_at_least};
use crate::rotation::LATE;
use crate::test::{Test, shared_test};

#[apply(shared_test)]
async fn watch_broken_and_logs_break_fire_while_reading_is_forbidden(cx: &Test) -> Result<()> {
    let mut recording = Recording::of(&["DaemonsetJobWatchBroken", "DaemonsetJobLogsBreak"])?;
    let account = Account::create(cx).await?;
    let kubeconfig = account.kubeconfig().await?;
    let operator = started(cx, "operator", &kubeconfig).await?;
    let terminator = &started(cx, "terminator", &kubeconfig).await?;
    is_synced(&operator, 1).await?;
    is_synced(terminator, 1).await?;
    let (job, pods) = cx.running(&manifest("unread")).await?;
    let all_open =
        async || until(terminator, "daemonset_job_logs", &[("state", "open")], 3.0).await;
    all_open().await?;
    recording.quiet(&[("a", &operator), ("a", terminator)]).await?;

    // A watch that runs outlives the right to it, and so it is missed after the next start.
    drop(operator);
    account.forbid(&[("nodes", &["list", "watch"]), ("pods/log", &["get"])]).await?;
    let operator = &started(cx, "operator", &kubeconfig).await?;
    let targets = &[("b", operator), ("a", terminator)];
    pods.iter().for_each(|pod| pod.cut_log_streams());
    let broken = async {
        let ended = "daemonset_job_log_followers_ended_total";
        until_at_least(terminator, ended, &[("outcome", "broken")], 6.0).await?;
        let errors = "daemonset_job_watch_errors_total";
        until_at_least(operator, errors, &[("resource", "nodes")], 5.0).await
    };
    recording.during(targets, broken).await?;
    account.allow_all().await?;
    is_synced(operator, 2).await?;
    all_open().await?;
    recording.quiet(targets).await?;
    log_done(&pods)?;
    job.until_gone().await?;
    account.delete().await?;
    let watch = json!({"namespace": "n", "process": "operator", "resource": "nodes"});
    let logs = json!({"namespace": "n"});
    recording.verify(&[("DaemonsetJobWatchBroken", watch), ("DaemonsetJobLogsBreak", logs)]).await
}

#[apply(shared_test)]
async fn log_rotated_fires_when_a_log_is_first_read_late(cx: &Test) -> Result<()> {
    let mut recording = Recording::of(&["DaemonsetJobLogRotated"])?;
    let [_operator, terminator] = cx.programs(&[]).await?;
    recording.quiet(&[("a", &terminator)]).await?;
    drop(terminator);
    let (job, pods) = cx.running(&manifest("rotated")).await?;
    pods.iter().try_for_each(|pod| pod.log("starting\n"))?;
    tokio::time::sleep(LATE).await;
    pods[0].rotate_logs();
    pods[0].log("still here\n")?;
    let terminator = started(cx, "terminator", &cx.kubeconfig().await?).await?;
    let targets = &[("b", &terminator)];
    let rotated = until(&terminator, "daemonset_job_logs_rotated_total", &[], 1.0);
    recording.during(targets, rotated).await?;
    recording.quiet(targets).await?;
    log_done(&pods)?;
    job.until_gone().await?;
    let labels = json!({"namespace": "n", "pod": "b", "process": "terminator"});
    recording.verify(&[("DaemonsetJobLogRotated", labels)]).await
}
