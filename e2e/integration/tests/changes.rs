//! Jobs that change, or are created anew, while they run.

use anyhow::{Context as _, Result, ensure};
use api::job::conditions::{COMPLETE, FAILED};
use api::job::{Job, Phase};
use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use testbed::simulation::Hold;

use crate::job::{condition, exit_code_manifest, exit_well, log_done, manifest, phase};
use crate::test::{Test, hold, settle, shared_test};

#[apply(shared_test)]
async fn changed_work_starts_anew_everywhere_and_old_results_do_not_count(cx: &Test) -> Result<()> {
    let _processes = cx.both().await?;
    let (job, old) = cx.running(&manifest("changed")).await?;
    log_done([&old[0], &old[1]])?;
    job.until_completed("2/3").await?;
    cx.hold_everywhere(Hold::Stop);
    cx.apply(&manifest("changed").image("darkowlzz/cleanup:v0.0.3")).await?;
    let restarted = job.until_completed("0/3").await?;
    let status = restarted.status.context("a status")?;
    ensure!(status.observed_generation == Some(2), "{status:?}");
    // Nor does a result that comes while the pod of it stops.
    let is_deleted = |pod: &Pod| pod.metadata.deletion_timestamp.is_some();
    cx.wait().object(job.api(), &old[2].name(), "being deleted", is_deleted).await?;
    old[2].log("done\n")?;
    settle().await;
    job.until_completed("0/3").await?;
    cx.release_everywhere(Hold::Stop);
    let new = job.pods_other_than(&old).await?;
    new[2].log("done\n")?;
    job.until_completed("1/3").await?;
    settle().await;
    job.until_completed("1/3").await?;
    log_done([&new[0], &new[1]])?;
    job.until_gone().await
}

#[apply(shared_test)]
async fn change_beside_the_work_restarts_nothing(cx: &Test) -> Result<()> {
    let _processes = cx.both().await?;
    let mut manifest = manifest("relabelled");
    let (job, pods) = cx.running(&manifest).await?;
    pods[0].log("done\n")?;
    job.until_completed("1/3").await?;
    manifest = manifest.label("team", "a").annotation("note", "b").ttl(3600);
    cx.apply(&manifest).await?;
    job.until_observed().await?;
    settle().await;
    let daemon_set = job.daemon_set().await?;
    ensure!(daemon_set.metadata.generation == Some(1), "{daemon_set:?}");
    job.until_completed("1/3").await?;
    log_done(&pods[1..])?;
    job.until_all_done().await
}

#[apply(shared_test)]
async fn nothing_is_written_when_nothing_changes(cx: &Test) -> Result<()> {
    let (operator, terminator) = cx.both().await?;
    let (job, pods) = cx.running(&manifest("quiet")).await?;
    pods[0].log("done\n")?;
    job.until_recorded(&pods[0]).await?;
    job.until_completed("1/3").await?;
    operator.until_quiet().await?;
    let versions = async || -> anyhow::Result<_> {
        let daemon_set = job.daemon_set_name();
        Ok((
            job.api::<Job>().get(&job.name).await?.resource_version(),
            job.api::<DaemonSet>().get(&daemon_set).await?.resource_version(),
        ))
    };
    let before = versions().await?;
    let written = (operator.writes().len(), terminator.writes().len());
    // Processes that start anew look at everything again.
    operator.kill();
    terminator.kill();
    let (operator, terminator) = cx.both().await?;
    pods[1].log("still working\n")?;
    settle().await;
    ensure!(versions().await? == before, "after {written:?} writes");
    let writes = [operator.writes(), terminator.writes()].concat();
    ensure!(writes.is_empty(), "{writes:?}");
    Ok(())
}

#[apply(shared_test)]
async fn job_created_anew_is_not_ended_by_the_pods_of_the_old_one(cx: &Test) -> Result<()> {
    let (_operator, terminator) = cx.both().await?;
    let (job, old) = cx.running(&manifest("again")).await?;
    let uid = job.get().await?.uid();
    cx.hold_everywhere(Hold::Stop);
    old[0].log("done\n")?;
    job.until_completed("1/3").await?;
    job.delete().await?;
    cx.apply(&manifest("again")).await?;
    job.until("another one", |job| job.uid() != uid).await?;
    // They run on until the kubelets stop them.
    log_done([&old[1], &old[2]])?;
    let new = job.pods_other_than(&old).await?;
    job.until_completed("0/3").await?;
    settle().await;
    job.until_completed("0/3").await?;
    ensure!(terminator.deletions("/jobs/again").is_empty());
    cx.release_everywhere(Hold::Stop);
    log_done(new)?;
    job.until_gone().await
}

/// Keeps the DaemonSet of a deleted Job for as long as a test wants.
const HOLD: &str = "tests.daemonset.darkowlzz.space/hold";

#[apply(shared_test)]
async fn job_created_anew_waits_until_the_old_daemon_set_is_gone(cx: &Test) -> Result<()> {
    let _processes = cx.both().await?;
    let job = cx.apply(&manifest("held")).await?;
    let old = job.daemon_set().await?;
    let sets = job.api::<DaemonSet>();
    hold(&sets, &old.name_any(), &[HOLD]).await?;
    let pods = job.pods().await?;
    let uid = job.get().await?.uid();
    job.delete().await?;
    cx.apply(&manifest("held")).await?;
    let is_new = |job: &Job| job.uid() != uid && phase(job) == Some(Phase::Pending);
    job.until("another one, pending", is_new).await?;
    let words = ["held-daemonset-job of an earlier Job", "wait; a pod on a lost node"];
    cx.until_explained("held", "OldDaemonSet", &words).await?;
    // They run on, and complete.
    log_done(&pods)?;
    settle().await;
    ensure!(phase(&job.get().await?) == Some(Phase::Pending), "the old pods count");
    ensure!(job.daemon_set().await?.uid() == old.uid(), "it was replaced while it was held");

    hold(&sets, &old.name_any(), &[]).await?;
    let new = job.pods_other_than(&pods).await?;
    job.until_completed("0/3").await?;
    ensure!(job.daemon_set().await?.uid() != old.uid(), "it was taken over");
    log_done(&new)?;
    job.until_gone().await
}

#[apply(shared_test)]
async fn changed_word_or_mode_starts_anew_and_the_old_word_counts_no_more(cx: &Test) -> Result<()> {
    let _processes = cx.both().await?;
    let mut manifest = manifest("reworded");
    let (job, old) = cx.running(&manifest).await?;
    old[0].log("done\n")?;
    job.until_completed("1/3").await?;
    manifest = manifest.word("finished");
    cx.apply(&manifest).await?;
    let new = job.pods_other_than(&old).await?;
    log_done(&new)?;
    settle().await;
    job.until_completed("0/3").await?;
    new[0].log("finished\n")?;
    job.until_completed("1/3").await?;
    cx.apply(&exit_code_manifest("reworded")).await?;
    let by_code = job.pods_other_than(&new).await?;
    job.until_completed("0/3").await?;
    exit_well(&by_code)?;
    job.until_all_done().await
}

#[apply(shared_test)]
async fn changed_work_of_a_failed_job_starts_a_new_run(cx: &Test) -> Result<()> {
    let _processes = cx.both().await?;
    let mut manifest = exit_code_manifest("second-go").backoff_limit(0).max_failed_nodes(0);
    let (job, old) = cx.running(&manifest).await?;
    old[0].exit(0)?;
    job.until_completed("1/3").await?;
    old[1].exit(1)?;
    let failed = job.until_finished().await?;
    manifest = manifest.image("darkowlzz/cleanup:v0.0.3");
    cx.apply(&manifest).await?;
    let new = job.pods_other_than(&old).await?;
    job.until("running anew", |job| phase(job) == Some(Phase::Running)).await?;
    let running = job.until_completed("0/3").await?;
    for end in [COMPLETE, FAILED] {
        ensure!(condition(&running, end).is_none(), "{:?}", running.status);
    }
    let status = running.status.context("a status")?;
    ensure!((status.observed_generation, status.failed) == (Some(2), 0), "{status:?}");
    ensure!(status.duration.is_none() && status.completion_time.is_none(), "{status:?}");
    ensure!(status.start_time >= failed.status.and_then(|status| status.start_time));
    // What failed or was done before counts no more.
    exit_well(&new)?;
    job.until_all_done().await
}

#[apply(shared_test)]
async fn complete_job_runs_anew_for_changed_work_not_for_a_changed_limit(cx: &Test) -> Result<()> {
    let _processes = cx.both().await?;
    let mut manifest = exit_code_manifest("rerun");
    let (job, old) = cx.running(&manifest).await?;
    exit_well(&old)?;
    job.until_finished().await?;
    job.until_stopped().await?;
    manifest = manifest.deadline(1).backoff_limit(0);
    cx.apply(&manifest).await?;
    job.until_observed().await?;
    settle().await;
    job.until_all_done().await?;
    job.until_stopped().await?;

    manifest = manifest.deadline(3600).args(["/basetarget/bar"]);
    cx.apply(&manifest).await?;
    let new = job.pods_other_than(&old).await?;
    exit_well(&new)?;
    let is_so =
        |job: &Job| condition(job, COMPLETE).is_some_and(|c| c.observed_generation == Some(3));
    job.until("complete again", is_so).await?;
    job.until_all_done().await
}

#[apply(shared_test)]
async fn lowered_backoff_limit_is_heeded_while_the_job_runs(cx: &Test) -> Result<()> {
    let _processes = cx.both().await?;
    let mut manifest = exit_code_manifest("strict").max_failed_nodes(0).backoff_limit(5);
    let (job, pods) = cx.running(&manifest).await?;
    pods[1].exit(1)?;
    job.until_node("worker-1", "has exited", |n| n.exit_code == Some(1)).await?;
    manifest = manifest.backoff_limit(0);
    cx.apply(&manifest).await?;
    let ended = job.until_finished().await?;
    let failed = condition(&ended, FAILED).context("failed")?;
    ensure!(failed.reason == "MaxFailedNodesExceeded", "{failed:?}");
    job.until_stopped().await
}
