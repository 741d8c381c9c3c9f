//! The deletion of a Job in its ways, and what is left of it.

use anyhow::{Result, ensure};
use api::job::Job;
use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use kube::api::{DeleteParams, ListParams};
use testbed::simulation::Hold;

use crate::job::{condition, exit_code_manifest, exit_well};
use crate::test::{Test, hold, settle, shared_test};

async fn pods_left(cx: &Test) -> Result<usize> {
    Ok(cx.api::<Pod>().list(&ListParams::default()).await?.items.len())
}

#[apply(shared_test)]
async fn f11_deletion_in_the_foreground_ends_when_the_pods_are_gone(cx: &Test) -> Result<()> {
    let (operator, _terminator) = cx.both().await?;
    let job = cx.apply(&exit_code_manifest("foreground")).await?;
    job.pods().await?;
    cx.hold_everywhere(Hold::Stop);
    let jobs = job.api::<Job>();
    let before = operator.writes().len();
    jobs.delete(&job.name, &DeleteParams::foreground()).await?;
    settle().await;
    ensure!(pods_left(cx).await? == 3, "they take their time");
    ensure!(jobs.get_opt(&job.name).await?.is_some(), "it waits for them");
    ensure!(job.api::<DaemonSet>().get_opt(&job.daemon_set_name()).await?.is_some());
    cx.until_explained("foreground", "Deletion", &["Kubernetes waits for its pods"]).await?;
    cx.release_everywhere(Hold::Stop);
    job.until_gone().await?;
    ensure!(pods_left(cx).await? == 0, "it waited for them");
    let writes = operator.writes();
    ensure!(writes.len() == before, "the operator has nothing to do: {writes:?}");
    Ok(())
}

#[apply(shared_test)]
async fn deletion_that_orphans_leaves_a_daemon_set_foreign_to_a_new_job(cx: &Test) -> Result<()> {
    let _processes = cx.both().await?;
    let (job, pods) = cx.running(&exit_code_manifest("orphaning")).await?;
    let uid = job.daemon_set().await?.uid();
    // The garbage collector orphans what it knows of by then, and deletes the rest.
    settle().await;
    job.api::<Job>().delete(&job.name, &DeleteParams::orphan()).await?;
    job.waiter().none_left::<Job>(&cx.namespace, "", |_| true).await?;
    settle().await;
    let left = job.daemon_set().await?;
    ensure!(left.uid() == uid && left.owner_references().is_empty(), "{left:?}");
    ensure!(pods.iter().all(testbed::simulation::SimPod::is_running));
    let anew = cx.apply(&exit_code_manifest("orphaning")).await?;
    let failed = anew.until_condition("Failed").await?;
    ensure!(failed.reason == "NameConflict", "{failed:?}");
    job.api::<DaemonSet>().delete(&job.daemon_set_name(), &DeleteParams::background()).await?;
    exit_well(anew.pods_other_than(&pods).await?)?;
    anew.until_all_done().await
}

#[apply(shared_test)]
async fn while_a_finalizer_of_others_holds_an_object_nothing_is_made(cx: &Test) -> Result<()> {
    let _processes = cx.both().await?;
    let job = cx.apply(&exit_code_manifest("held")).await?;
    job.pods().await?;
    let (jobs, sets) = (job.api::<Job>(), job.api::<DaemonSet>());
    hold(&jobs, &job.name, &["example.org/held"]).await?;
    let set = hold(&sets, &job.daemon_set_name(), &["example.org/held"]).await?;
    // The DaemonSet goes first: the Job waits for it, and makes another one when it is gone.
    sets.delete(&job.daemon_set_name(), &DeleteParams::background()).await?;
    settle().await;
    ensure!(job.daemon_set().await?.uid() == set.uid());
    let now = job.get().await?;
    ensure!(condition(&now, "Failed").is_none(), "{now:?}");
    job.delete().await?;
    hold(&sets, &job.daemon_set_name(), &[]).await?;
    settle().await;
    ensure!(sets.get_opt(&job.daemon_set_name()).await?.is_none(), "the Job is going away");
    cx.until_explained("held", "Deletion", &["example.org/held"]).await?;
    hold(&jobs, &job.name, &[]).await?;
    job.until_gone().await
}

#[apply(shared_test)]
async fn namespace_that_goes_takes_a_running_job_along(cx: &Test) -> Result<()> {
    let name = format!("{}-2", cx.namespace.get(..40).unwrap_or(&cx.namespace));
    cx.create_namespace(&name).await?;
    let operator = cx.operator_of(Some(name.clone())).await?;
    let job = cx.apply_in(&name, &exit_code_manifest("leaving")).await?;
    job.pods().await?;
    let before = operator.writes().len();
    cx.delete_namespace(&name).await?;
    job.waiter().none_left::<Job>(&name, "", |_| true).await?;
    job.waiter().none_left::<DaemonSet>(&name, "", |_| true).await?;
    job.waiter().none_left::<Pod>(&name, "", |_| true).await?;
    // It may have tried to make the DaemonSet once more, and to say that it may not.
    let writes = operator.writes().len() - before;
    ensure!(writes <= 10, "{:?}", operator.writes());
    Ok(())
}
