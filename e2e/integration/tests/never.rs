//! Jobs that never complete. These tests run alone, for all Jobs see all nodes.

use anyhow::{Context as _, Result, ensure};
use api::job::conditions::READY;
use api::job::{CompletionPolicy, Job, Phase};
use harness::job_builder::JobBuilder;
use harness::job_handle::{describe, finished, status};
use serde_json::json;
use testbed::simulation::NodeSpec;

use crate::job::{TestJob, condition, exit_well, phase};
use crate::test::{Test, alone_test, settle, shared_test};
use crate::turns::patch;

fn never(name: &str) -> JobBuilder {
    let policy = CompletionPolicy::Never;
    JobBuilder::cleanup(name).exit_code().set(|spec| spec.completion_policy = policy)
}

async fn until_ready(job: &TestJob<'_>, completed: &str) -> Result<Job> {
    let is_ready = |job: &Job| {
        condition(job, READY).is_some() && status(job).completed.as_deref() == Some(completed)
    };
    let ready = job.until(&format!("ready, {completed}"), is_ready).await?;
    ensure!(phase(&ready) == Some(Phase::Running), "{}", describe(&ready));
    Ok(ready)
}

#[apply(alone_test)]
async fn job_that_never_completes_runs_on_nodes_that_join(cx: &Test) -> Result<()> {
    let (_operator, terminator) = cx.both().await?;
    let (job, pods) = cx.running(&never("for-ever")).await?;
    exit_well(&pods)?;
    until_ready(&job, "3/3").await?;
    settle().await;
    until_ready(&job, "3/3").await?;
    ensure!(terminator.deletions("/jobs/for-ever").is_empty());

    cx.sim().add_node(&NodeSpec::linux("late-1")).await?;
    let late = job.pod("late-1").await?;
    let waits = job.until_completed("3/4").await?;
    let conditions = status(&waits).conditions;
    let ready = conditions.iter().find(|condition| condition.type_ == READY);
    let ready = ready.with_context(|| describe(&waits))?;
    ensure!((&*ready.status, &*ready.reason) == ("False", "NodesNotDone"), "{ready:?}");
    late.exit(0)?;
    until_ready(&job, "4/4").await?;

    // A node that leaves takes nothing along.
    cx.sim().remove_node("late-1").await?;
    until_ready(&job, "3/3").await?;
    for pod in &pods {
        ensure!(job.pod(&pod.node().unwrap_or_default()).await?.uid() == pod.uid());
    }
    job.delete().await?;
    job.until_gone().await
}

#[apply(shared_test)]
async fn failed_node_does_not_end_a_job_that_never_completes(cx: &Test) -> Result<()> {
    let _processes = cx.both().await?;
    let (job, pods) = cx.running(&never("tolerant").backoff_limit(0)).await?;
    exit_well(&pods[..2])?;
    pods[2].exit(1)?;
    pods[2].restart()?;
    let failed = job.until("a failed node", |job| status(job).failed == 1).await?;
    ensure!(finished(&failed).is_none(), "{}", describe(&failed));
    job.until_completed("2/3").await?;
    settle().await;
    let running = job.get().await?;
    ensure!(phase(&running) == Some(Phase::Running), "{}", describe(&running));
    ensure!(condition(&running, READY).is_none(), "{}", describe(&running));
    // It is retried as any other.
    patch(&job, json!({"suspend": true})).await?;
    job.until("suspended", |job| phase(job) == Some(Phase::Suspended)).await?;
    patch(&job, json!({"suspend": false})).await?;
    let node = pods[2].node().context("a node")?;
    job.pod_other_than(&node, &pods).await?.exit(0)?;
    until_ready(&job, "3/3").await.map(drop)
}
