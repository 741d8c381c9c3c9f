//! Jobs that are suspended and resumed.

use anyhow::{Context as _, Result, ensure};
use api::job::conditions::{COMPLETE, FAILED, SUSPENDED};
use api::job::{Job, Phase};
use harness::job_builder::JobBuilder;
use harness::job_handle::{describe, status};
use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use serde_json::json;
use testbed::simulation::{Hold, SimPod};

use crate::cluster::NODES;
use crate::job::{TestJob, condition, exit_code_manifest, exit_well, log_done, manifest, phase};
use crate::test::{Test, settle, shared_test};
use crate::turns::{gated, patch};

/// A Job that is suspended from its creation.
fn created_suspended(name: &str) -> JobBuilder {
    exit_code_manifest(name).set(|spec| spec.suspend = Some(true))
}

async fn suspend(job: &TestJob<'_>) -> Result<()> {
    patch(job, json!({"suspend": true})).await
}

async fn resume(job: &TestJob<'_>) -> Result<()> {
    patch(job, json!({"suspend": false})).await
}

fn is_suspended(job: &Job) -> bool {
    phase(job) == Some(Phase::Suspended) && condition(job, SUSPENDED).is_some()
}

/// Waits until the Job is suspended, and nothing of it is left.
async fn until_suspended(job: &TestJob<'_>) -> Result<Job> {
    let suspended = job.until("suspended", is_suspended).await?;
    job.until_stopped().await?;
    ensure!(status(&suspended).start_time.is_none(), "{}", describe(&suspended));
    Ok(suspended)
}

/// Waits until the Job is complete, as a Job is that was resumed before.
async fn until_complete(job: &TestJob<'_>) -> Result<()> {
    let done = job.until("complete", |job| condition(job, COMPLETE).is_some()).await?;
    let conditions = status(&done).conditions;
    let suspended = conditions.iter().find(|condition| condition.type_ == SUSPENDED);
    let suspended = suspended.with_context(|| describe(&done))?;
    ensure!((&*suspended.status, &*suspended.reason) == ("False", "JobResumed"), "{suspended:?}");
    ensure!(status(&done).completed.as_deref() == Some("3/3"), "{}", describe(&done));
    Ok(())
}

/// The nodes of the pods of a Job that are not gated.
async fn started_on(job: &TestJob<'_>) -> Result<Vec<String>> {
    let pods = job.api::<Pod>().list(&ListParams::default()).await?.items;
    let nodes = pods.into_iter().filter_map(|pod| pod.spec?.node_name);
    let mut nodes: Vec<_> = nodes.collect();
    nodes.sort_unstable();
    Ok(nodes)
}

async fn count_events(cx: &Test, reason: &str) -> Result<usize> {
    Ok(cx.events(reason).await?.len())
}

#[apply(shared_test)]
async fn suspended_job_stops_and_goes_on_where_it_was(cx: &Test) -> Result<()> {
    let _processes = cx.both().await?;
    let (job, pods) = cx.running_with_one_done(&exit_code_manifest("on-hold")).await?;
    suspend(&job).await?;
    let suspended = until_suspended(&job).await?;
    ensure!(status(&suspended).completed.as_deref() == Some("1/3"), "{}", describe(&suspended));
    settle().await;
    ensure!(is_suspended(&job.get().await?) && started_on(&job).await?.is_empty());
    ensure!((count_events(cx, "Suspended").await?, count_events(cx, "Resumed").await?) == (1, 0));

    resume(&job).await?;
    for node in &NODES[1..] {
        job.pod_other_than(node, &pods).await?;
    }
    let waits = async || Ok(gated(&job).await?.len() == 1);
    cx.until("the node that is done waits", waits).await?;
    settle().await;
    ensure!(started_on(&job).await? == NODES[1..], "{:?}", started_on(&job).await?);
    for node in &NODES[1..] {
        job.pod_other_than(node, &pods).await?.exit(0)?;
    }
    until_complete(&job).await?;
    ensure!((count_events(cx, "Suspended").await?, count_events(cx, "Resumed").await?) == (1, 1));
    Ok(())
}

#[apply(shared_test)]
async fn job_that_is_created_suspended_starts_when_it_is_resumed(cx: &Test) -> Result<()> {
    let (operator, _terminator) = cx.both().await?;
    let job = cx.apply(&created_suspended("later").deadline(3600)).await?;
    until_suspended(&job).await?;
    operator.until_quiet().await?;
    resume(&job).await?;
    let pods = job.pods().await?;
    ensure!(gated(&job).await?.is_empty(), "no node is done, so none waits");
    exit_well(pods)?;
    until_complete(&job).await
}

#[apply(shared_test)]
async fn failed_job_is_retried_where_it_failed_and_outlives_its_ttl(cx: &Test) -> Result<()> {
    let _processes = cx.both().await?;
    let (job, pods) = cx.running(&exit_code_manifest("retried").backoff_limit(0)).await?;
    exit_well(&pods[..2])?;
    job.until_completed("2/3").await?;
    pods[2].exit(1)?;
    pods[2].restart()?;
    job.until_finished().await?;
    patch(&job, json!({"suspend": true, "ttlSecondsAfterFinished": 0})).await?;
    let suspended = until_suspended(&job).await?;
    let failed = condition(&suspended, FAILED).with_context(|| describe(&suspended))?;
    ensure!(failed.reason == "NodesFailed", "{failed:?}");
    settle().await;
    ensure!(is_suspended(&job.get().await?), "it is not deleted");

    patch(&job, json!({"suspend": false, "ttlSecondsAfterFinished": 3600})).await?;
    let retry = job.pod_other_than(NODES[2], &pods).await?;
    settle().await;
    ensure!(started_on(&job).await? == NODES[2..], "{:?}", started_on(&job).await?);
    let running = job.get().await?;
    ensure!(condition(&running, FAILED).is_none(), "{}", describe(&running));
    ensure!(status(&running).failed == 0, "{}", describe(&running));
    retry.exit(0)?;
    until_complete(&job).await
}

#[apply(shared_test)]
async fn work_that_is_edited_while_it_is_suspended_runs_everywhere(cx: &Test) -> Result<()> {
    let _processes = cx.both().await?;
    let (job, pods) = cx.running(&exit_code_manifest("edited")).await?;
    exit_well(&pods[..2])?;
    job.until_completed("2/3").await?;
    suspend(&job).await?;
    until_suspended(&job).await?;
    patch(&job, json!({"args": ["/basetarget/bar"]})).await?;
    let edited = job.until_completed("0/0").await?;
    ensure!(is_suspended(&edited), "{}", describe(&edited));
    settle().await;
    ensure!(started_on(&job).await?.is_empty());
    resume(&job).await?;
    exit_well(job.pods_other_than(&pods).await?)?;
    until_complete(&job).await
}

#[apply(shared_test)]
async fn job_waits_for_the_pods_from_before_it_was_suspended(cx: &Test) -> Result<()> {
    let _processes = cx.both().await?;
    let (job, pods) = cx.running(&manifest("lingering-on").ttl(3600)).await?;
    job.until_completed("0/3").await?;
    cx.hold_everywhere(Hold::Stop);
    suspend(&job).await?;
    job.until("suspended", is_suspended).await?;
    // Work that ends while it is stopped counts.
    pods[0].log("done\n")?;
    job.until_completed("1/3").await?;
    resume(&job).await?;
    job.until("resumed", |job| phase(job) == Some(Phase::Pending)).await?;
    settle().await;
    let is_old = |pod: &SimPod| pods.iter().any(|old| old.uid() == pod.uid());
    ensure!(cx.sim().pods(job.namespace()).iter().all(is_old), "nothing starts beside them");
    cx.release_everywhere(Hold::Stop);
    for node in &NODES[1..] {
        log_done([job.pod_other_than(node, &pods).await?])?;
    }
    until_complete(&job).await
}

#[apply(shared_test)]
async fn new_operator_goes_on_with_a_suspension_and_a_resumption(cx: &Test) -> Result<()> {
    let _terminator = cx.terminator().await?;
    let operator = cx.operator().await?;
    let (job, pods) = cx.running_with_one_done(&exit_code_manifest("handed-over")).await?;
    operator.kill();
    suspend(&job).await?;
    let operator = cx.operator().await?;
    until_suspended(&job).await?;
    operator.kill();
    resume(&job).await?;
    let operator = cx.operator().await?;
    for node in &NODES[1..] {
        job.pod_other_than(node, &pods).await?.exit(0)?;
    }
    until_complete(&job).await?;
    operator.end().await
}

#[apply(shared_test)]
async fn suspended_job_with_an_invalid_spec_says_so_and_can_be_deleted(cx: &Test) -> Result<()> {
    let _processes = cx.both().await?;
    let job = cx.apply(&exit_code_manifest("invalid-on-hold")).await?;
    job.pods().await?;
    let template = json!({"spec": {"hostPid": true}});
    patch(&job, json!({"suspend": true, "template": template})).await?;
    let suspended = until_suspended(&job).await?;
    let failed = condition(&suspended, FAILED).with_context(|| describe(&suspended))?;
    ensure!(failed.reason == "InvalidSpec", "{failed:?}");
    job.delete().await?;
    job.until_gone().await
}

#[apply(shared_test)]
async fn complete_job_is_not_suspended(cx: &Test) -> Result<()> {
    let _processes = cx.both().await?;
    let job = cx.apply(&exit_code_manifest("over")).await?;
    job.complete_by_exit_code().await?;
    suspend(&job).await?;
    let is_seen = |job: &Job| status(job).observed_generation == Some(2);
    let seen = job.until("the edit seen", is_seen).await?;
    ensure!(phase(&seen) == Some(Phase::Completed), "{}", describe(&seen));
    settle().await;
    job.until_all_done().await
}
