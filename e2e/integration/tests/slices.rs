//! Logs that are read in slices, because there are more of them than followers.

use anyhow::{Result, ensure};
use testbed::simulation::SimPod;

use crate::job::{log_done, manifest};
use crate::test::{Test, shared_test};

/// Waits until the log of a pod was read in two slices, and another one is read.
async fn until_given_up(pod: &SimPod, other: &SimPod) -> Result<()> {
    // In the second slice its beginning is checked.
    pod.until_log_requests(2).await?;
    other.until_log_requests(other.log_requests() + 1).await
}

#[apply(shared_test)]
async fn word_that_rotates_away_between_two_slices_is_reported(cx: &Test) -> Result<()> {
    let _processes = cx.programs(&[("MAX_FOLLOWERS", "1")]).await?;
    let (job, [chatty, silent, whole]) = cx.running(&manifest("sliced")).await?;
    for pod in [&chatty, &silent, &whole] {
        pod.log("working\n")?;
    }
    for (pod, other, after) in [(&chatty, &silent, "still here\n"), (&silent, &whole, "")] {
        until_given_up(pod, other).await?;
        let asked = pod.log_requests();
        pod.log("done\n")?;
        pod.rotate_logs();
        pod.log(after)?;
        ensure!(pod.log_requests() == asked, "nobody has read the word");
    }
    for pod in [&chatty, &silent] {
        let says = "LogRotated: its log ";
        job.until_node(&pod.node().expect("it runs"), says, |node| {
            node.message.as_deref().is_some_and(|message| message.starts_with(says))
        })
        .await?;
    }
    let now = job.until_completed("0/3").await?;
    let nodes = now.status.unwrap_or_default().nodes;
    let suspects = nodes.iter().filter(|node| node.message.is_some()).count();
    ensure!(suspects == 2, "one log is whole: {nodes:?}");
    log_done([&chatty, &silent, &whole])?;
    job.until_gone().await
}
