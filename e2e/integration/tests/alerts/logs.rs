//! Alerts about the logs that the terminator follows.

use std::time::Duration;

use anyhow::Result;
use serde_json::json;

use super::account::Account;
use super::processes::{is_synced, started};
use super::{Recording, at_least, exactly};
use crate::job::{log_done, manifest};
use crate::test::{Test, shared_test};

/// A log that is opened later than ten seconds after the start of its container is opened late.
const LATE: Duration = Duration::from_secs(12);

const LOGS: &str = "daemonset_job_logs";

#[apply(shared_test)]
async fn logs_queued_fires_while_logs_wait_for_a_slot(cx: &Test) -> Result<()> {
    let mut recording = Recording::of("DaemonsetJobLogsQueued")?;
    let [_operator, terminator] = &cx.programs(&[("MAX_FOLLOWERS", "1")]).await?;
    let targets = &[("a", terminator)];
    recording.quiet(targets).await?;
    let (job, pods) = cx.running(&manifest("queued")).await?;
    let queued = [("state", "queued")];
    recording.during(targets, exactly(terminator, LOGS, &queued, 2.0)).await?;
    log_done(&pods)?;
    job.until_gone().await?;
    exactly(terminator, LOGS, &queued, 0.0).await?;
    recording.quiet(targets).await?;
    let labels = json!({"namespace": "n", "pod": "a", "process": "terminator", "state": "queued"});
    recording.verify(&[labels]).await
}

#[apply(shared_test)]
async fn logs_break_fires_while_logs_cannot_be_read(cx: &Test) -> Result<()> {
    const ENDED: &str = "daemonset_job_log_followers_ended_total";
    let mut recording = Recording::of("DaemonsetJobLogsBreak")?;
    let account = Account::create(cx).await?;
    let _operator = cx.operator().await?;
    let terminator = started(cx, "terminator", &account.kubeconfig().await?).await?;
    is_synced(&terminator, 1).await?;
    let targets = &[("a", &terminator)];
    let (job, pods) = cx.running(&manifest("unread")).await?;
    let open = [("state", "open")];
    exactly(&terminator, LOGS, &open, 3.0).await?;
    recording.quiet(targets).await?;
    account.forbid("pods/log", &["get"]).await?;
    pods.iter().for_each(|pod| pod.cut_log_streams());
    let broken = at_least(&terminator, ENDED, &[("outcome", "broken")], 6.0);
    recording.during(targets, broken).await?;
    account.allow_all().await?;
    exactly(&terminator, LOGS, &open, 3.0).await?;
    recording.quiet(targets).await?;
    log_done(&pods)?;
    job.until_gone().await?;
    account.delete().await?;
    recording.verify(&[json!({"namespace": "n"})]).await
}

#[apply(shared_test)]
async fn log_rotated_fires_when_a_log_is_first_read_late(cx: &Test) -> Result<()> {
    let mut recording = Recording::of("DaemonsetJobLogRotated")?;
    let [operator, terminator] = cx.programs(&[]).await?;
    recording.quiet(&[("a", &terminator)]).await?;
    drop(terminator);
    let (job, pods) = cx.running(&manifest("rotated")).await?;
    pods.iter().try_for_each(|pod| pod.log("starting\n"))?;
    tokio::time::sleep(LATE).await;
    pods[0].rotate_logs();
    pods[0].log("still here\n")?;
    let terminator = started(cx, "terminator", &cx.kubeconfig().await?).await?;
    let targets = &[("b", &terminator)];
    let rotated = exactly(&terminator, "daemonset_job_logs_rotated_total", &[], 1.0);
    recording.during(targets, rotated).await?;
    recording.quiet(targets).await?;
    log_done(&pods)?;
    job.until_gone().await?;
    drop(operator);
    recording.verify(&[json!({"namespace": "n", "pod": "b", "process": "terminator"})]).await
}
