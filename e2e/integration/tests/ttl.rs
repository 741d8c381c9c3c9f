//! How long finished Jobs stay.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use api::job::Job;
use api::job::conditions::{COMPLETE, FAILED};
use harness::job_handle::finished;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt as _;

use crate::job::{TestJob, condition, exit_code_manifest, exit_well, log_done, manifest};
use crate::test::{Test, shared_test};

/// Waits until the Job is gone, and checks that this is not before its TTL has passed.
async fn until_gone_after(job: &TestJob<'_>, ended: &Job, seconds: i64) -> Result<()> {
    let since = finished(ended).context("an end")?.last_transition_time.0;
    let is_it = |meta: &ObjectMeta| meta.name.as_ref() == Some(&job.name);
    job.waiter().none_left::<Job>(job.namespace(), "", is_it).await?;
    let stayed = Timestamp::now().duration_since(since).as_secs();
    ensure!((seconds..seconds + 5).contains(&stayed), "it stayed {stayed} s");
    job.until_gone().await
}

#[apply(shared_test)]
async fn complete_job_stays_for_its_ttl(cx: &Test) -> Result<()> {
    let (_operator, terminator) = cx.both().await?;
    let job = cx.apply(&manifest("stays").ttl(3)).await?;
    log_done(job.pods().await?)?;
    let complete = job.until_finished().await?;
    let seen = Instant::now();
    ensure!(condition(&complete, COMPLETE).is_some(), "{:?}", complete.status);
    job.until_stopped().await?;
    until_gone_after(&job, &complete, 3).await?;
    // A watch shows the end some milliseconds later than it was.
    ensure!(seen.elapsed() >= Duration::from_millis(2_950), "after {:?}", seen.elapsed());
    let deletions = terminator.deletions("/jobs/stays");
    let body = String::from_utf8_lossy(&deletions.last().context("a deletion")?.body);
    ensure!(body.contains(&complete.uid().context("a UID")?), "{body}");
    Ok(())
}

#[apply(shared_test)]
async fn complete_job_with_a_ttl_of_zero_goes_at_once(cx: &Test) -> Result<()> {
    let _processes = cx.both().await?;
    let job = cx.apply(&exit_code_manifest("at-once").ttl(0)).await?;
    exit_well(job.pods().await?)?;
    job.until_gone().await
}

#[apply(shared_test)]
async fn job_that_failed_or_matches_no_node_goes_after_its_ttl(cx: &Test) -> Result<()> {
    let _processes = cx.both().await?;
    let bears_none = exit_code_manifest("failed").ttl(2).backoff_limit(0).max_failed_nodes(0);
    let nowhere = manifest("nowhere").ttl(2).node_selector("no-such", "label");
    for (manifest, type_, reason) in
        [(bears_none, FAILED, "MaxFailedNodesExceeded"), (nowhere, COMPLETE, "NoMatchingNodes")]
    {
        let job = cx.apply(&manifest).await?;
        if type_ == FAILED {
            job.pod("worker-1").await?.exit(1)?;
        }
        let ended = job.until_finished().await?;
        ensure!(condition(&ended, type_).context("ended")?.reason == reason, "{:?}", ended.status);
        until_gone_after(&job, &ended, 2).await?;
    }
    Ok(())
}

#[apply(shared_test)]
async fn ttl_counts_from_the_end_whenever_the_terminator_restarts(cx: &Test) -> Result<()> {
    let (_operator, terminator) = cx.both().await?;
    let job = cx.apply(&exit_code_manifest("restarted").ttl(4)).await?;
    exit_well(job.pods().await?)?;
    let complete = job.until_finished().await?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    terminator.kill();
    let _terminator = cx.terminator().await?;
    until_gone_after(&job, &complete, 4).await
}

#[apply(shared_test)]
async fn ttl_that_passed_while_no_terminator_ran_ends_the_job(cx: &Test) -> Result<()> {
    let _operator = cx.operator().await?;
    let job = cx.apply(&exit_code_manifest("unattended").ttl(1)).await?;
    exit_well(job.pods().await?)?;
    job.until_finished().await?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    job.get().await?;
    let _terminator = cx.terminator().await?;
    job.until_gone().await
}

#[apply(shared_test)]
async fn ttl_of_a_finished_job_can_be_shortened_and_taken_away(cx: &Test) -> Result<()> {
    let _processes = cx.both().await?;
    let job = cx.apply(&exit_code_manifest("shortened")).await?;
    let kept = cx.apply(&exit_code_manifest("kept")).await?;
    for job in [&job, &kept] {
        exit_well(job.pods().await?)?;
        job.until_finished().await?;
    }
    cx.apply(&exit_code_manifest("shortened").ttl(1)).await?;
    job.until_gone().await?;
    // As a completed Job that never had one.
    cx.apply(&manifest("kept").exit_code()).await?;
    kept.until_gone().await
}
