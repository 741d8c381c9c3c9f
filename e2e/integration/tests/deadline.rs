//! Jobs that have to be done in time.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use api::job::conditions::FAILED;
use api::job::{Job, Phase};
use harness::job_handle::status;
use serde_json::json;
use testbed::simulation::Hold;

use crate::job::{condition, exit_code_manifest, exit_well, manifest};
use crate::test::{Test, settle, shared_test};

#[apply(shared_test)]
async fn deadline_ends_a_job_whose_pods_never_start_and_not_before(cx: &Test) -> Result<()> {
    let _processes = cx.both().await?;
    cx.hold_everywhere(Hold::Start);
    let job = cx.apply(&manifest("late").deadline(5)).await?;
    let message = "not done within the 5 s of spec.activeDeadlineSeconds; not done: \
                   control-plane, worker-1, worker-2";
    let ended = job.until_ended("DeadlineExceeded", message).await?;
    let status = status(&ended);
    ensure!(status.phase == Some(Phase::Failed), "{status:?}");
    ensure!(status.completion_time.is_none() && status.duration.is_some(), "{status:?}");
    let failed = condition(&ended, FAILED).context("it has failed")?;
    let start = status.start_time.context("a start")?.0;
    // Both are rounded down.
    let took = failed.last_transition_time.0.duration_since(start).as_secs();
    ensure!(took >= 5, "after {took} s");
    job.until_stopped().await?;
    settle().await;
    ensure!(job.get().await?.status == ended.status, "it keeps its status");
    cx.until_explained("late", "DeadlineExceeded", &[]).await?;
    Ok(())
}

#[apply(shared_test)]
async fn deadline_counts_from_the_start_and_ends_what_was_not_done_before(cx: &Test) -> Result<()> {
    let (operator, _terminator) = cx.both().await?;
    let (job, _) = cx.running(&manifest("unattended").deadline(3600)).await?;
    let (done, pods) = cx.running(&exit_code_manifest("just-so").deadline(3600)).await?;
    job.until_completed("0/3").await?;
    done.until_completed("0/3").await?;
    operator.kill();
    exit_well(&pods)?;
    job.start_long_ago().await?;
    done.start_long_ago().await?;
    let before = status(&job.get().await?).start_time;
    let _operator = cx.operator().await?;
    done.until_all_done().await?;
    let message = "not done within the 3600 s of spec.activeDeadlineSeconds; not done: \
                   control-plane, worker-1, worker-2";
    let ended = job.until_ended("DeadlineExceeded", message).await?;
    ensure!(status(&ended).start_time == before, "{:?}", ended.status);
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
    let status = status(&ended);
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
