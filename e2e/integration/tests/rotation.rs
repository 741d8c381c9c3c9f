//! Logs that do not go back to the start of their containers when the terminator comes to them.

use std::time::Duration;

use anyhow::{Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::api::DeleteParams;
use testbed::simulation::SimPod;

use crate::job::{log_done, manifest};
use crate::test::{Test, settle, shared_test};

/// A log that begins, or is opened, within ten seconds of the start of its container is whole.
pub(crate) const LATE: Duration = Duration::from_secs(12);

#[apply(shared_test)]
async fn log_that_rotated_unfollowed_is_reported_and_completes_nothing(cx: &Test) -> Result<()> {
    let _operator = cx.operator().await?;
    let (job, [chatty, silent, whole]) = cx.running(&manifest("rotated")).await?;
    chatty.log("done\n")?;
    whole.log("abandoned\n")?;
    tokio::time::sleep(LATE).await;
    chatty.rotate_logs();
    chatty.log("still here\n")?;

    let terminator = cx.terminator().await?;
    let says = "LogRotated: its log begins ";
    job.until_node(&chatty.node().expect("it runs"), says, |node| {
        node.message.as_deref().is_some_and(|message| message.starts_with(says))
    })
    .await?;
    settle().await;
    let now = job.until_completed("0/3").await?;
    let nodes = now.status.unwrap_or_default().nodes;
    let suspects = nodes.iter().filter(|node| node.message.is_some()).count();
    ensure!(suspects == 1, "one log is whole, and one empty: {nodes:?}");
    ensure!(terminator.deletions("/jobs/rotated").is_empty());
    ensure!(cx.events("LogRotated").await?.len() == 1, "one event for all nodes");
    cx.until_explained("rotated", "LogRotated", &["[\"control-plane\"]"]).await?;
    let words = ["\"abandoned\"", "log the word by itself", "[\"worker-2\"]"];
    cx.until_explained("rotated", "WordNotFound", &words).await?;

    // They are followed all the same; the one whose word may be lost is done anew, as its message says.
    job.api::<Pod>().delete(&chatty.name(), &DeleteParams::default()).await?;
    let anew = job.pod_other_than("control-plane", &[chatty]).await?;
    log_done([&anew, &silent, &whole])?;
    job.until_gone().await
}

/// So many lines, which take twenty seconds to be followed at this lag.
const FLOOD: usize = 4000;
const LAG: Duration = Duration::from_millis(5);

/// Lets a pod log more than fits into a file, and lets that be rotated before it is read.
fn flood(pod: &SimPod) -> Result<()> {
    pod.slow_log_streams(LAG);
    pod.log("a line of a file that is rotated before it is read\n".repeat(FLOOD))
}

#[apply(shared_test)]
async fn word_in_the_next_file_is_noticed_however_slow_the_reader(cx: &Test) -> Result<()> {
    let _operator = cx.operator().await?;
    let _terminator = cx.terminator().await?;
    let (job, pods) = cx.running(&manifest("lagging")).await?;
    for pod in &pods {
        pod.until_log_requests(1).await?;
        flood(pod)?;
    }
    // What says as much as one that was rotated, and was not, is read once.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let [first, second, third] = &pods;
    for pod in [first, second] {
        pod.rotate_logs();
    }
    first.log("done\n")?;
    job.until_completed("1/3").await?;
    // The kubelet has lost its place by now, and says nothing more.
    tokio::time::sleep(LAG * FLOOD as u32 + Duration::from_secs(5)).await;
    let asked: Vec<_> = pods.iter().map(SimPod::log_requests).collect();
    log_done([second, third])?;
    job.until_gone().await?;
    ensure!(asked.iter().all(|asked| *asked < 30), "they are asked for {asked:?} times");
    Ok(())
}
