//! Jobs that are suspended and resumed.

use std::time::Duration;

use anyhow::{Result, ensure};
use api::job::conditions::{COMPLETE, FAILED, SUSPENDED};
use api::job::{Job, Phase};
use harness::job_handle::{describe, phase, status};
use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use serde_json::json;
use testbed::simulated_work::{Distribution, End, Work};

use super::places::Places;
use super::{in_turn, patch, the_one_at_work, until_at_work};
use crate::cluster::NODES;
use crate::job::{TestJob, condition, exit_code_manifest, exit_well};
use crate::test::{Test, settle, shared_test};

/// Suspends a Job, and waits until it says so and nothing is left of it.
async fn suspend(job: &TestJob<'_>) -> Result<Job> {
    patch(job, json!({"suspend": true})).await?;
    let is_suspended =
        |job: &Job| phase(job) == Some(Phase::Suspended) && condition(job, SUSPENDED).is_some();
    job.until("suspended", is_suspended).await?;
    job.until_stopped().await?;
    settle().await;
    let suspended = job.get().await?;
    ensure!(is_suspended(&suspended), "{}", describe(&suspended));
    let pods = job.api::<Pod>().list(&ListParams::default()).await?.items;
    ensure!(pods.is_empty(), "{pods:?}");
    Ok(suspended)
}

/// Waits until a Job is complete that was resumed, which its conditions say as well.
async fn until_complete(job: &TestJob<'_>) -> Result<()> {
    let job = job.until_finished().await?;
    let complete = condition(&job, COMPLETE).map(|complete| complete.message.as_str());
    ensure!(complete == Some("done on 3 of 3 nodes"), "{}", describe(&job));
    Ok(())
}

async fn resume(job: &TestJob<'_>) -> Result<()> {
    patch(job, json!({"suspend": false})).await?;
    job.until("resumed", |job| condition(job, SUSPENDED).is_none()).await?;
    Ok(())
}

#[apply(shared_test)]
async fn job_that_is_suspended_keeps_its_results_and_goes_on_with_the_rest(
    cx: &Test,
) -> Result<()> {
    let _processes = cx.both().await?;
    let places = Places::watch(cx).await?;
    // It never took turns: resumed, it must not run again where it is done.
    let job = cx.apply(&exit_code_manifest("paused")).await?;
    let [done, second, third] = job.pods().await?;
    done.exit(0)?;
    job.until_completed("1/3").await?;
    let suspended = suspend(&job).await?;
    ensure!(status(&suspended).start_time.is_none(), "{}", describe(&suspended));
    ensure!(cx.events("Suspended").await?.len() == 1);
    resume(&job).await?;
    let old = [done, second, third];
    let anew = [&NODES[1], &NODES[2]].map(|node| job.pod_other_than(node, &old));
    let anew = futures::future::try_join_all(anew).await?;
    settle().await;
    exit_well(&anew)?;
    until_complete(&job).await?;
    ensure!(places.started() == 5, "{places:?}");
    ensure!(cx.events("Resumed").await?.len() == 1);
    Ok(())
}

#[apply(shared_test)]
async fn limit_holds_over_a_suspension_that_is_taken_back_at_once(cx: &Test) -> Result<()> {
    let time = Distribution::constant(Duration::from_millis(500));
    Work::new(time, |_| End::Exit(0)).assign(cx.sim(), &cx.namespace);
    let _processes = cx.both().await?;
    let places = Places::watch(cx).await?;
    let job = cx.apply(&in_turn("hasty", 1)).await?;
    the_one_at_work(cx, &job, &[]).await?;
    for suspended in [true, false, true, false] {
        patch(&job, json!({"suspend": suspended})).await?;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    until_complete(&job).await?;
    ensure!(places.most() == 1, "{places:?}");
    Ok(())
}

#[apply(shared_test)]
async fn job_that_has_failed_is_retried_where_it_failed_and_nowhere_else(cx: &Test) -> Result<()> {
    let _processes = cx.both().await?;
    let places = Places::watch(cx).await?;
    let job = cx.apply(&exit_code_manifest("retried").backoff_limit(0)).await?;
    let pods = job.pods().await?;
    exit_well(&pods[..2])?;
    pods[2].exit(1)?;
    pods[2].restart()?;
    pods[2].exit(1)?;
    job.until_condition(FAILED).await?;
    let suspended = suspend(&job).await?;
    ensure!(status(&suspended).succeeded == 2, "{}", describe(&suspended));
    resume(&job).await?;
    let again = job.pod_other_than(NODES[2], &pods).await?;
    let now = until_at_work(&job, 1, 0).await?;
    ensure!(status(&now).succeeded == 2, "{}", describe(&now));
    exit_well([&again])?;
    until_complete(&job).await?;
    ensure!(places.started() == 4, "{places:?}");
    Ok(())
}

#[apply(shared_test)]
async fn job_that_is_created_suspended_starts_when_it_is_resumed(cx: &Test) -> Result<()> {
    let _processes = cx.both().await?;
    let manifest = exit_code_manifest("later").set(|spec| spec.suspend = Some(true));
    let job = cx.apply(&manifest).await?;
    job.until("suspended", |job| phase(job) == Some(Phase::Suspended)).await?;
    settle().await;
    job.until_stopped().await?;
    resume(&job).await?;
    exit_well(job.pods().await?)?;
    until_complete(&job).await
}
