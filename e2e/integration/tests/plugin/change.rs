//! Commands that change Jobs: retry, suspend, resume, cancel.

use anyhow::{Context as _, Result, ensure};
use api::job::Job;
use api::job::conditions::{self, SUSPENDED};

use crate::job::{exit_code_manifest, exit_well};
use crate::kubectl::Kubectl;
use crate::test::{Test, shared_test};

#[apply(shared_test)]
async fn suspended_job_stops_and_a_resumed_one_goes_on_where_it_is_not_done(
    cx: &Test,
) -> Result<()> {
    let _processes = cx.both().await?;
    let (job, pods) = cx.running_with_one_done(&exit_code_manifest("pausable")).await?;
    let dsjob = &Kubectl::admin(cx)?;
    let text = dsjob.ok("suspend pausable").await?;
    ensure!(text == "job.daemonset.darkowlzz.space/pausable suspended\n", "{text}");
    job.until_condition(SUSPENDED).await?;
    ensure!(dsjob.ok("status pausable").await?.contains("Suspended"));
    ensure!(dsjob.ok("explain pausable").await?.contains("kubectl dsjob resume pausable"));
    ensure!(dsjob.ok("suspend pausable").await?.contains("suspended already"));
    let said = dsjob.fails("wait pausable --timeout 1s", 2).await?;
    ensure!(said.contains("Suspended: JobSuspended: "), "{said}");
    dsjob.ok("resume pausable").await?;
    let second = job.pod_other_than("worker-1", &pods).await?;
    let third = job.pod_other_than("worker-2", &pods).await?;
    exit_well([&second, &third])?;
    dsjob.ok("wait pausable --timeout 1m").await?;
    let refused = dsjob.fails("suspend pausable", 1).await?;
    ensure!(refused.contains("is complete"), "{refused}");
    Ok(())
}

#[apply(shared_test)]
async fn failed_job_runs_again_only_where_it_is_not_done(cx: &Test) -> Result<()> {
    let _processes = cx.both().await?;
    let (job, pods) = cx.running(&exit_code_manifest("once-more").backoff_limit(0)).await?;
    pods[1].exit_with(1, "broken\n")?;
    exit_well([&pods[0], &pods[2]])?;
    job.until_finished().await?;
    let dsjob = &Kubectl::admin(cx)?;
    let text = dsjob.ok("retry once-more --failed-only").await?;
    ensure!(text.contains("runs again where it is not done"), "{text}");
    job.pod_other_than("worker-1", &pods).await?.exit(0)?;
    dsjob.ok("wait once-more --timeout 1m").await?;
    let status = job.get().await?.status.context("a status")?;
    ensure!((status.succeeded, status.failed) == (3, 0), "{status:?}");
    let refused = dsjob.fails("retry once-more --failed-only", 1).await?;
    ensure!(refused.contains("is complete"), "{refused}");
    Ok(())
}

#[apply(shared_test)]
async fn retried_job_runs_again_on_every_node(cx: &Test) -> Result<()> {
    let _processes = cx.both().await?;
    let (job, pods) = cx.running(&exit_code_manifest("anew")).await?;
    exit_well(&pods)?;
    job.until_finished().await?;
    let dsjob = &Kubectl::admin(cx)?;
    let before = job.get().await?.status.context("a status")?.work_hash;
    dsjob.ok("retry anew --dry-run=server").await?;
    ensure!(job.get().await?.status.context("a status")?.work_hash == before);
    dsjob.ok("retry anew").await?;
    exit_well(job.pods_other_than(&pods).await?)?;
    dsjob.ok("wait anew --timeout 1m").await?;
    let status = job.get().await?.status.context("a status")?;
    ensure!(status.work_hash != before && status.succeeded == 3, "{status:?}");
    ensure!(conditions::finished(&status.conditions).is_some(), "{status:?}");
    Ok(())
}

#[apply(shared_test)]
async fn cancelled_job_is_gone_with_its_pods(cx: &Test) -> Result<()> {
    let _processes = cx.both().await?;
    let job = cx.apply(&exit_code_manifest("unwanted")).await?;
    job.pods().await?;
    let dsjob = &Kubectl::admin(cx)?;
    let text = dsjob.ok("cancel unwanted --dry-run=client").await?;
    ensure!(text == "job.daemonset.darkowlzz.space/unwanted deleted (dry run)\n", "{text}");
    ensure!(cx.api::<Job>().get_opt("unwanted").await?.is_some());
    let text = dsjob.ok("cancel unwanted --wait --timeout 1m").await?;
    ensure!(text == "job.daemonset.darkowlzz.space/unwanted deleted\n", "{text}");
    ensure!(cx.api::<Job>().get_opt("unwanted").await?.is_none());
    dsjob.fails("cancel unwanted", 1).await?;
    job.until_gone().await
}

#[apply(shared_test)]
async fn commands_that_change_a_job_print_it_as_data(cx: &Test) -> Result<()> {
    let dsjob = &Kubectl::admin(cx)?;
    for (line, is_suspended) in [
        ("run made --image busybox -o json -- true", None),
        ("suspend made -o json", Some(true)),
        ("resume made -o json", Some(false)),
        ("suspend made --dry-run=server -o json", Some(true)),
    ] {
        let job = dsjob.json(line).await?;
        ensure!(job["kind"] == "Job" && job["metadata"]["name"] == "made", "{line}: {job}");
        ensure!(job["metadata"]["managedFields"].is_null(), "{line}: {job}");
        ensure!(job["spec"]["suspend"].as_bool() == is_suspended, "{line}: {job}");
    }
    let name = dsjob.ok("suspend made -o name").await?;
    ensure!(name == "job.daemonset.darkowlzz.space/made\n", "{name}");
    let yaml = dsjob.ok("resume made -o yaml").await?;
    ensure!(yaml.contains("kind: Job") && yaml.contains("suspend: false"), "{yaml}");
    Ok(())
}
