//! Jobs that tools apply from Git: they stay, and the tools see them as they are, in every phase.
//!
//! kstatus, Flux' evaluation of health check expressions, and Argo CD's interpreter of health scripts rate live Jobs:
//! the program `hack/tools/gitops` runs them.

mod docs;
mod health;

use anyhow::{Context as _, Result, ensure};
use api::job::conditions::{COMPLETE, FAILED};
use api::job::{CompletionPolicy, DeletionPolicy};
use harness::job_builder::JobBuilder;
use harness::job_handle::{describe, status};
use serde_json::json;
use testbed::control_plane::Request;

use crate::job::{condition, exit_well, manifest};
use crate::kubectl::Kubectl;
use crate::test::{Test, settle, shared_test};
use crate::turns::patch;

/// A Job that is done by exit codes, and stays.
fn retained(name: &str) -> JobBuilder {
    let retain = DeletionPolicy::Retain;
    manifest(name).exit_code().set(|spec| spec.deletion_policy = retain)
}

fn body(request: &Request) -> String {
    String::from_utf8_lossy(&request.body).into_owned()
}

#[apply(shared_test)]
async fn retained_job_stays_until_its_policy_is_taken_away(cx: &Test) -> Result<()> {
    let (operator, terminator) = cx.both().await?;
    let job = cx.apply(&retained("kept")).await?;
    job.complete_by_exit_code().await?;
    job.until_stopped().await?;
    settle().await;
    let kept = job.get().await?;
    ensure!(condition(&kept, COMPLETE).is_some(), "{}", describe(&kept));
    ensure!(terminator.deletions("/jobs/kept").is_empty());
    // The condition Reconciling is left out in the write that says that the Job is complete.
    let types = status(&kept).conditions.into_iter().map(|condition| condition.type_);
    ensure!(types.collect::<Vec<_>>() == [COMPLETE, FAILED], "{}", describe(&kept));
    let ends = operator.writes().into_iter().filter(|write| {
        write.uri.contains("/jobs/kept/status") && body(write).contains("completionTime")
    });
    ensure!(ends.count() == 1);
    patch(&job, json!({"deletionPolicy": "Delete"})).await?;
    job.until_gone().await
}

#[apply(shared_test)]
async fn job_that_flux_would_create_for_ever_gets_one_warning(cx: &Test) -> Result<()> {
    let (operator, _terminator) = cx.both().await?;
    let managed = |job: JobBuilder| job.label("kustomize.toolkit.fluxcd.io/name", "jobs");
    let stays = cx.apply(&managed(retained("stays"))).await?;
    let never = CompletionPolicy::Never;
    let for_ever = managed(manifest("for-ever")).set(|spec| spec.completion_policy = never);
    cx.apply(&for_ever).await?;
    let goes = cx.apply(&managed(manifest("goes").exit_code())).await?;
    cx.until_explained("goes", "DeletesItself", &["Flux", "set deletionPolicy: Retain"]).await?;
    exit_well(goes.pods().await?)?;
    goes.until_gone().await?;
    stays.complete_by_exit_code().await?;
    let warnings = cx.events("DeletesItself").await?;
    let [warning] = warnings.as_slice() else { anyhow::bail!("{warnings:?}") };
    ensure!(warning.involved_object.name.as_deref() == Some("goes"), "{warning:?}");
    ensure!(warning.type_.as_deref() == Some("Warning"), "{warning:?}");
    let message = warning.message.as_deref().context("a message")?;
    ensure!(message.starts_with("Flux manages this Job"), "{message}");
    ensure!(message.ends_with("set deletionPolicy: Retain"), "{message}");
    // The warning costs one request at the first look, and one at the end.
    let writes = operator.writes();
    let asked = writes.iter().filter(|write| body(write).contains("DeletesItself"));
    ensure!(asked.count() <= 2, "{writes:?}");
    Ok(())
}

#[apply(shared_test)]
async fn lines_of_the_readme_that_wait_end_at_either_end(cx: &Test) -> Result<()> {
    let _processes = cx.both().await?;
    let kubectl = Kubectl::admin(cx)?;
    let wait =
        async |words: &str| kubectl.output(&format!("wait {words} --timeout=60s")).await.map(drop);
    let (good, pods) = cx.running(&retained("good")).await?;
    let ended = "--for=jsonpath={.status.duration}";
    let line = format!("{ended} dsjob/good");
    let (waited, ()) = tokio::join!(wait(&line), async {
        exit_well(&pods).expect("they run");
    });
    waited?;
    kubectl.output("wait --for=condition=Complete dsjob/good --timeout=0").await?;
    let bad = cx.apply(&retained("bad").backoff_limit(0).max_failed_nodes(0)).await?;
    bad.pod("worker-1").await?.exit(1)?;
    wait(&format!("{ended} dsjob/bad")).await?;
    let verdict = kubectl.output("wait --for=condition=Complete dsjob/bad --timeout=0").await;
    ensure!(verdict.is_err(), "{verdict:?}");
    for (job, is_good) in [(&good, true), (&bad, false)] {
        let line = format!("dsjob wait {} --timeout=60s", job.name);
        ensure!(kubectl.output(&line).await.is_ok() == is_good, "{line}");
        let is_failed = condition(&job.get().await?, FAILED).is_some();
        ensure!(is_failed != is_good);
    }
    Ok(())
}
