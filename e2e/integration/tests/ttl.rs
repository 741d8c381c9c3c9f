//! How long finished Jobs stay.

use anyhow::{Context as _, Result, ensure};
use api::job::Job;
use harness::job_handle::{finished, status};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::ResourceExt as _;
use kube::api::{Patch, PatchParams};
use serde_json::json;

use crate::job::{exit_code_manifest, exit_well, log_done, manifest};
use crate::test::{Test, shared_test};

/// The time for which the Jobs of a test stay.
const TTL: i64 = 3;

#[apply(shared_test)]
async fn job_stays_for_its_ttl_however_it_ended(cx: &Test) -> Result<()> {
    let (_operator, terminator) = cx.both().await?;
    let complete = cx.apply(&manifest("complete").ttl(TTL)).await?;
    let fails = exit_code_manifest("failed").ttl(TTL).backoff_limit(0).max_failed_nodes(0);
    let failed = cx.apply(&fails).await?;
    let nowhere = manifest("nowhere").ttl(TTL).node_selector("no-such", "label");
    let nowhere = cx.apply(&nowhere).await?;
    for (job, reason) in
        [(nowhere, "NoMatchingNodes"), (complete, "Completed"), (failed, "MaxFailedNodesExceeded")]
    {
        match reason {
            "Completed" => log_done(job.pods().await?)?,
            "MaxFailedNodesExceeded" => job.pod("worker-1").await?.exit(1)?,
            _ => {}
        }
        let ended = job.until_finished().await?;
        let end = finished(&ended).context("an end")?;
        ensure!(end.reason == reason, "{end:?}");
        let is_it = |meta: &ObjectMeta| meta.name.as_ref() == Some(&job.name);
        job.waiter().none_left::<Job>(job.namespace(), "", is_it).await?;
        let stayed = Timestamp::now().duration_since(end.last_transition_time.0).as_secs();
        ensure!(stayed >= TTL, "it stayed {stayed} s");
        let deletions = terminator.deletions(&format!("/jobs/{}", job.name));
        let body = String::from_utf8_lossy(&deletions.last().context("a deletion")?.body);
        ensure!(body.contains(&ended.uid().context("a UID")?), "{body}");
        job.until_gone().await?;
    }
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
async fn ttl_counts_from_the_end_whoever_saw_it_pass(cx: &Test) -> Result<()> {
    let operator = cx.operator().await?;
    let job = cx.apply(&exit_code_manifest("unattended").ttl(3600)).await?;
    exit_well(job.pods().await?)?;
    let ended = job.until_finished().await?;
    job.until_stopped().await?;
    operator.kill();
    // As if it had ended seven hours ago.
    let mut conditions = status(&ended).conditions;
    for condition in &mut conditions {
        condition.last_transition_time.0 -= SignedDuration::from_hours(7);
    }
    let earlier = Patch::Merge(json!({"status": {"conditions": conditions}}));
    job.api::<Job>().patch_status(&job.name, &PatchParams::default(), &earlier).await?;
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
