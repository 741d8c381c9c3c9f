//! Results that nothing takes back: what a node has come to is kept for the life of the Job.

use anyhow::{Context as _, Result, ensure};
use api::job::{Job, NodeState, NodeStatus};
use harness::job_builder::JobBuilder;
use k8s_openapi::api::core::v1::Pod;
use kube::api::DeleteParams;
use serde_json::json;
use testbed::simulation::{Hold, SimPod};

use crate::job::{TestJob, exit_code_manifest, exit_well, log_done, manifest};
use crate::test::{Test, merge, settle, shared_test};

fn failed(node: &NodeStatus) -> bool {
    node.state == NodeState::Failed
}

/// A Job by word that stays when it is complete.
fn kept(name: &str) -> JobBuilder {
    manifest(name).ttl(3600)
}

/// Deletes a pod as an eviction would, and waits for the next one on its node.
async fn replace(job: &TestJob<'_>, pod: &SimPod) -> Result<SimPod> {
    job.api::<Pod>().delete(&pod.name(), &DeleteParams::default()).await?;
    let node = pod.node().context("a node")?;
    job.pod_other_than(&node, std::slice::from_ref(pod)).await
}

#[apply(shared_test)]
async fn node_that_was_done_still_is_when_its_pod_is_deleted_and_fails(cx: &Test) -> Result<()> {
    let _processes = cx.both().await?;
    for (manifest, by_word) in [(kept("by-word"), true), (exit_code_manifest("by-code"), false)] {
        let job = cx.apply(&manifest).await?;
        let end = |pod: &SimPod| if by_word { pod.log("done\n") } else { pod.exit(0) };
        let [done, second, third] = job.pods().await?;
        end(&done)?;
        job.until_completed("1/3").await?;
        let anew = replace(&job, &done).await?;
        settle().await;
        job.until_completed("1/3").await?;
        end(&second)?;
        job.until_completed("2/3").await?;
        // Not even a failure of the new pod takes it back.
        anew.exit(1)?;
        settle().await;
        end(&third)?;
        job.until_all_done().await?;
    }
    Ok(())
}

#[apply(shared_test)]
async fn node_stays_done_over_restarts_while_its_pod_is_being_replaced(cx: &Test) -> Result<()> {
    let (operator, terminator) = cx.both().await?;
    let (job, [done, second, third]) = cx.running(&kept("replaced")).await?;
    done.log("done\n")?;
    job.until_completed("1/3").await?;
    operator.kill();
    terminator.kill();
    let node = done.node().context("a node")?;
    cx.sim().hold(Hold::Start, &cx.namespace, &node);
    job.api::<Pod>().delete(&done.name(), &DeleteParams::default()).await?;
    let is_new = |pod: &SimPod| pod.node().as_ref() == Some(&node) && pod.uid() != done.uid();
    cx.sim().wait_for(&cx.namespace, "a new pod that does not start", is_new).await?;
    let _processes = cx.both().await?;
    settle().await;
    job.until_completed("1/3").await?;
    log_done([&second, &third])?;
    job.until_all_done().await
}

#[apply(shared_test)]
async fn log_that_is_lost_afterwards_takes_nothing_back(cx: &Test) -> Result<()> {
    let (operator, terminator) = cx.both().await?;
    let (job, [done, second, third]) = cx.running(&kept("rotated").backoff_limit(0)).await?;
    done.log("done\n")?;
    job.until_recorded(&done).await?;
    // The log of the run that said it is another's now, and then nobody's.
    for _ in 0..2 {
        done.exit(1)?;
        done.restart()?;
    }
    operator.kill();
    terminator.kill();
    let _processes = cx.both().await?;
    second.log("done\n")?;
    job.until_completed("2/3").await?;
    third.log("done\n")?;
    job.until_all_done().await
}

#[apply(shared_test)]
async fn node_that_has_failed_stays_so_when_its_next_pod_succeeds(cx: &Test) -> Result<()> {
    let (operator, _terminator) = cx.both().await?;
    let (job, [first, failing, third]) =
        cx.running(&exit_code_manifest("failed-for-good").backoff_limit(0)).await?;
    failing.exit(1)?;
    job.until_node("worker-1", "failed", failed).await?;
    let anew = replace(&job, &failing).await?;
    anew.exit(0)?;
    settle().await;
    job.until_node("worker-1", "failed", failed).await?;
    operator.kill();
    let _operator = cx.operator().await?;
    settle().await;
    job.until_node("worker-1", "failed", failed).await?;
    exit_well([&first, &third])?;
    let message = "done on 2 of 3 nodes, failed on: worker-1";
    job.until_ended("NodesFailed", message).await?;
    Ok(())
}

#[apply(shared_test)]
async fn edits_by_others_in_between_lose_no_completion(cx: &Test) -> Result<()> {
    let _processes = cx.both().await?;
    let (job, pods) = cx.running(&exit_code_manifest("busy")).await?;
    let edits = async {
        for number in 0..60 {
            let edit = json!({"metadata": {"annotations": {"edit": number.to_string()}}});
            merge(&job.api::<Job>(), &job.name, edit).await?;
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        anyhow::Ok(())
    };
    let exits = async {
        for pod in &pods {
            tokio::time::sleep(std::time::Duration::from_millis(250)).await;
            pod.exit(0)?;
        }
        Ok(())
    };
    tokio::try_join!(edits, exits)?;
    let ended = job.until_ended("Completed", "done on 3 of 3 nodes").await?;
    let set = ended.status.and_then(|status| status.completed_nodes);
    ensure!(set.context("completed nodes")?.len() == 3);
    Ok(())
}
