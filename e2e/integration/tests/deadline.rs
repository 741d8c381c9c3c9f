//! Jobs that have to be done in time.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use api::job::conditions::FAILED;
use api::job::{Job, Phase};
use serde_json::json;
use testbed::simulation::Hold;

use crate::job::{condition, exit_code_manifest, exit_well, manifest, phase};
use crate::test::{Test, settle, shared_test};

/// How much later than its deadline a Job may fail: a status has whole seconds.
const LATE: i64 = 3;

/// Checks that the Job was failed `seconds` after its start, and not much later.
fn ensure_in_time(job: &Job, seconds: i64) -> Result<()> {
    let start = job.status.as_ref().and_then(|s| s.start_time.as_ref()).context("a start")?;
    let failed = condition(job, FAILED).context("it has failed")?;
    let took = failed.last_transition_time.0.duration_since(start.0).as_secs();
    // Both are rounded down, and it is never too early.
    ensure!((seconds..=seconds + LATE).contains(&took), "after {took} s: {:?}", job.status);
    Ok(())
}

#[apply(shared_test)]
async fn deadline_ends_a_job_that_runs_and_names_what_is_not_done(cx: &Test) -> Result<()> {
    let _processes = cx.both().await?;
    let before = Instant::now();
    let (job, [first, _second, _third]) = cx.running(&manifest("late").deadline(5)).await?;
    first.log("done\n")?;
    let message =
        "not done within the 5 s of spec.activeDeadlineSeconds; not done: worker-1, worker-2";
    let ended = job.until_ended("DeadlineExceeded", message).await?;
    ensure!(before.elapsed() >= Duration::from_secs(5), "after {:?}", before.elapsed());
    ensure_in_time(&ended, 5)?;
    let status = ended.status.as_ref().context("a status")?;
    ensure!(status.phase == Some(Phase::Failed), "{status:?}");
    ensure!(status.completed.as_deref() == Some("1/3"), "{status:?}");
    ensure!(status.completion_time.is_none(), "{status:?}");
    ensure!(status.duration.is_some(), "{status:?}");
    job.until_stopped().await?;
    settle().await;
    ensure!(job.get().await?.status == ended.status, "it keeps its status");
    Ok(())
}

#[apply(shared_test)]
async fn deadline_counts_from_the_start_whenever_the_operator_restarts(cx: &Test) -> Result<()> {
    let (operator, _terminator) = cx.both().await?;
    let job = cx.apply(&exit_code_manifest("restarted").deadline(5)).await?;
    let begun = job.until("begun", |job| phase(job) == Some(Phase::Running)).await?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    operator.kill();
    let _operator = cx.operator().await?;
    let ended = job.until_finished().await?;
    ensure!(condition(&ended, FAILED).context("failed")?.reason == "DeadlineExceeded");
    ensure_in_time(&ended, 5)?;
    let start = |job: Job| job.status.and_then(|status| status.start_time);
    ensure!(start(begun) == start(ended));
    job.until_stopped().await
}

#[apply(shared_test)]
async fn deadline_that_passed_unseen_ends_what_was_not_done_before(cx: &Test) -> Result<()> {
    let (operator, _terminator) = cx.both().await?;
    let job = cx.apply(&manifest("unattended").deadline(5)).await?;
    let done = cx.apply(&exit_code_manifest("just-so").deadline(5)).await?;
    let (_, pods) = (job.pods().await?, done.pods().await?);
    job.until_completed("0/3").await?;
    operator.kill();
    exit_well(&pods)?;
    tokio::time::sleep(Duration::from_secs(6)).await;
    ensure!(condition(&job.get().await?, FAILED).is_none());
    let _operator = cx.operator().await?;
    done.until_all_done().await?;
    let ended = job.until_finished().await?;
    ensure!(condition(&ended, FAILED).context("failed")?.reason == "DeadlineExceeded");
    job.until_stopped().await
}

#[apply(shared_test)]
async fn node_whose_pod_never_starts_is_named_at_the_deadline(cx: &Test) -> Result<()> {
    let (_operator, terminator) = cx.both().await?;
    cx.sim().hold(Hold::Start, &cx.namespace, "worker-1");
    let job = cx.apply(&manifest("unreachable").deadline(5)).await?;
    job.pod("control-plane").await?.log("done\n")?;
    job.pod("worker-2").await?.log("done\n")?;
    let waiting = job.until_completed("2/3").await?;
    ensure!(phase(&waiting) == Some(Phase::Running));
    ensure!(terminator.deletions("/jobs/unreachable").is_empty());
    let message = "not done within the 5 s of spec.activeDeadlineSeconds; not done: worker-1";
    job.until_ended("DeadlineExceeded", message).await?;
    job.until_stopped().await
}

#[apply(shared_test)]
async fn deadline_set_while_the_job_runs_restarts_nothing_and_ends_it(cx: &Test) -> Result<()> {
    let _processes = cx.both().await?;
    let (job, [first, _second, _third]) = cx.running(&manifest("hurried")).await?;
    first.log("done\n")?;
    job.until_completed("1/3").await?;
    cx.apply(&manifest("hurried").deadline(1)).await?;
    let message =
        "not done within the 1 s of spec.activeDeadlineSeconds; not done: worker-1, worker-2";
    let ended = job.until_ended("DeadlineExceeded", message).await?;
    let status = ended.status.context("a status")?;
    ensure!(status.observed_generation == Some(2), "{status:?}");
    ensure!(status.completed.as_deref() == Some("1/3"), "{status:?}");
    job.until_stopped().await
}

#[apply(shared_test)]
async fn failure_that_may_lift_stays_past_deadline_and_ttl(cx: &Test) -> Result<()> {
    let (_operator, terminator) = cx.both().await?;
    cx.create_foreign("in-the-way-daemonset-job").await?;
    let failing = [
        ("by-operator", json!({"spec": {"nodeSelectr": {}}}), "InvalidSpec"),
        ("by-api-server", json!({"spec": {"containers": [{"name": "sidecar"}]}}), "InvalidSpec"),
        ("in-the-way", json!({}), "NameConflict"),
    ];
    for (name, template, _) in &failing {
        let manifest = manifest(name).deadline(2).ttl(0).template(template.clone());
        cx.apply(&manifest).await?.until_condition(FAILED).await?;
    }
    tokio::time::sleep(Duration::from_secs(4)).await;
    for (name, _, reason) in failing {
        let job = cx.api::<Job>().get(name).await?;
        let failed = condition(&job, FAILED).context("it has failed")?;
        ensure!(failed.reason == reason, "{name}: {failed:?}");
    }
    ensure!(terminator.writes().is_empty());
    Ok(())
}
