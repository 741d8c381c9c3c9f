//! From the word in the last log to the end of the Job.

use std::sync::{Arc, Mutex};

use anyhow::{Context as _, Result, ensure};
use api::job::conditions::COMPLETE;
use api::job::{Job, NodeState, NodeStatus, Phase};
use futures::StreamExt as _;
use harness::job_handle::status;
use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use kube::api::DeleteParams;
use kube::runtime::watcher::watch_object;

use crate::job::{condition, log_done, manifest, phase};
use crate::test::{Test, settle, shared_test};

#[apply(shared_test)]
async fn job_goes_with_all_of_it_after_its_last_status_and_event_are_written(
    cx: &Test,
) -> Result<()> {
    let (_operator, terminator) = cx.both().await?;
    let job = cx.apply(&manifest("told")).await?;
    let history = watch(cx, "told");
    job.complete_by_word().await?;
    let versions = history.lock().expect("a list").clone();
    let last = versions.last().context("a version")?;
    ensure!(phase(last) == Some(Phase::Completed), "{last:?}");
    let status = last.status.clone().context("a status")?;
    ensure!(status.completed.as_deref() == Some("3/3"), "{status:?}");
    ensure!(status.completion_time.is_some(), "{status:?}");
    let complete = condition(last, COMPLETE).context("the condition")?;
    ensure!(complete.reason == "Completed", "{complete:?}");

    let deletions = terminator.deletions("/jobs/told");
    ensure!(deletions.len() == 1, "{deletions:?}");
    let options: DeleteOptions = serde_json::from_slice(&deletions[0].body)?;
    ensure!(options.preconditions.uid == last.uid(), "{options:?}");
    ensure!(options.preconditions.resource_version.is_some(), "an edit would be lost");

    let events = cx.events("Completed").await?;
    let reported = events.iter().any(|event| event.involved_object.uid == last.uid());
    ensure!(reported, "{events:?}");
    cx.until_explained("told", "Gone", &["\"The Job has completed"]).await?;
    Ok(())
}

#[derive(Debug, serde::Deserialize)]
struct DeleteOptions {
    preconditions: Preconditions,
}

#[derive(Debug, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct Preconditions {
    uid: Option<String>,
    resource_version: Option<String>,
}

#[apply(shared_test)]
async fn status_and_daemon_set_count_done_nodes_and_the_last_ends_the_job(cx: &Test) -> Result<()> {
    let (_operator, terminator) = cx.both().await?;
    let job = cx.apply(&manifest("counted")).await?;
    let daemon_set = job.daemon_set_name();
    let pods = job.pods().await?;
    for (done, pod) in pods.iter().take(2).enumerate() {
        let done = i32::try_from(done)?;
        let status = job.until_completed(&format!("{done}/3")).await?;
        let status = status.status.context("a status")?;
        ensure!(status.phase == Some(Phase::Running), "{status:?}");
        ensure!((status.desired, status.succeeded) == (3, done), "{status:?}");
        ensure!(status.start_time.is_some(), "{status:?}");
        ensure!(status.observed_generation == Some(1), "{status:?}");
        let what = format!("{done} pods ready");
        cx.wait()
            .object(job.api::<DaemonSet>(), &daemon_set, &what, |set| {
                set.status.as_ref().is_some_and(|s| s.number_ready == done)
            })
            .await?;
        pod.log("done\n")?;
    }
    let is_so = |job: &Job| (status(job).succeeded, status(job).active) == (2, 1);
    job.until("one active node", is_so).await?;
    settle().await;
    let now = job.get().await?;
    ensure!(is_so(&now) && condition(&now, COMPLETE).is_none(), "{:?}", now.status);
    ensure!(status(&now).completed.as_deref() == Some("2/3"), "{:?}", now.status);
    ensure!(terminator.deletions("/jobs/counted").is_empty());
    pods[2].log("done\n")?;
    job.until_gone().await
}

/// All versions of a Job that a watch shows until it is gone.
fn watch(cx: &Test, name: &str) -> Arc<Mutex<Vec<Job>>> {
    let versions = Arc::new(Mutex::new(Vec::new()));
    let mut watch = watch_object(cx.api::<Job>(), name).boxed();
    let history = versions.clone();
    tokio::spawn(async move {
        while let Some(Ok(version)) = watch.next().await {
            match version {
                Some(job) => history.lock().expect("a list").push(job),
                None => return,
            }
        }
    });
    versions
}

#[apply(shared_test)]
async fn pod_deleted_before_it_is_done_is_replaced_and_waited_for(cx: &Test) -> Result<()> {
    let _processes = cx.both().await?;
    let (job, [first, second, third]) = cx.running(&manifest("replaced")).await?;
    cx.api::<Pod>().delete(&third.name(), &DeleteParams::default()).await?;
    let replacement = job.pod_other_than("worker-2", &[third]).await?;
    log_done([&first, &second])?;
    job.until_completed("2/3").await?;
    replacement.log("done\n")?;
    job.until_gone().await
}

#[apply(shared_test)]
async fn container_that_fails_at_first_is_waited_for(cx: &Test) -> Result<()> {
    let _processes = cx.both().await?;
    let (job, [first, second, third]) = cx.running(&manifest("second-try")).await?;
    log_done([&first, &second])?;
    third.log("cannot remove /basetarget/foo\n")?;
    third.exit_with(3, "no space left\n")?;
    job.until_completed("2/3").await?;
    settle().await;
    third.restart()?;
    let is_so = |node: &NodeStatus| node.restarts == 1 && node.state == NodeState::Running;
    let node = job.until_node("worker-2", "a run after one that failed", is_so).await?;
    ensure!(node.exit_code == Some(3), "{node:?}");
    ensure!(node.message.as_deref() == Some("Error: no space left"), "{node:?}");
    third.log("done\n")?;
    job.until_gone().await
}

#[apply(shared_test)]
async fn broken_log_stream_is_taken_up_again(cx: &Test) -> Result<()> {
    let _processes = cx.both().await?;
    let (job, pods) = cx.running(&manifest("cut")).await?;
    for pod in &pods {
        pod.log("working\n")?;
        pod.until_log_requests(1).await?;
        pod.cut_log_streams();
        pod.log("done\n")?;
    }
    job.until_gone().await
}

#[apply(shared_test)]
async fn log_is_read_once_and_not_again_and_again(cx: &Test) -> Result<()> {
    let _processes = cx.both().await?;
    let (job, pods) = cx.running(&manifest("one-request")).await?;
    for line in 0..20 {
        for pod in &pods {
            pod.log(format!("line {line}\n"))?;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    log_done(&pods)?;
    job.until_gone().await?;
    let requests: Vec<u32> = pods.iter().map(|pod| pod.log_requests()).collect();
    ensure!(requests == [1, 1, 1], "{requests:?}");
    Ok(())
}
