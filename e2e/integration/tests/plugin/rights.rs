//! Users with few rights, and clusters without daemonset-job.

use anyhow::{Result, ensure};
use harness::process::LogDir;
use serde_json::json;
use testbed::control_plane::ControlPlane;

use super::{viewer, with_rules};
use crate::cluster::{artifacts, control_plane_image};
use crate::job::exit_code_manifest;
use crate::kubectl::Kubectl;
use crate::test::{Test, shared_test};

#[apply(shared_test)]
async fn each_command_names_the_right_that_its_user_lacks(cx: &Test) -> Result<()> {
    let dsjob = with_rules(cx, &json!([])).await?;
    for (line, verb) in [
        ("list", "list"),
        ("status a", "get"),
        ("wait a", "get"),
        ("explain a", "get"),
        ("logs a", "get"),
        ("results a", "get"),
        ("report a", "get"),
        ("retry a", "get"),
        ("suspend a", "get"),
        ("resume a", "get"),
        ("cancel a", "get"),
        ("run a --image b -- c", "create"),
    ] {
        let said = dsjob.fails(line, 1).await?;
        let right = format!(
            "error: you lack the right to {verb} jobs.daemonset.darkowlzz.space in namespace {:?}",
            cx.namespace
        );
        ensure!(said.starts_with(&right), "{line}: {said}");
        ensure!(said.contains("--clusterrole daemonset-job-"), "{line}: {said}");
    }
    let everywhere = dsjob.fails("list -A", 1).await?;
    ensure!(everywhere.contains("in the whole cluster"), "{everywhere}");
    let check = dsjob.run("check").await?;
    ensure!(check.stdout.contains("you may not create jobs"), "{check:?}");
    Ok(())
}

#[apply(shared_test)]
async fn viewer_of_jobs_sees_what_the_status_says_and_what_is_missing(cx: &Test) -> Result<()> {
    let _processes = cx.both().await?;
    let job = cx.apply(&exit_code_manifest("seen").backoff_limit(0)).await?;
    job.fail_on_worker_1(1, "broken\n").await?;
    let dsjob = viewer(cx).await?;
    let text = dsjob.ok("status seen").await?;
    ensure!(text.contains("worker-1") && text.contains("broken"), "{text}");
    ensure!(text.contains("you may not list nodes"), "{text}");
    ensure!(text.contains("you may not list pods"), "{text}");
    dsjob.fails("wait seen", 1).await?;
    ensure!(dsjob.run("explain seen").await?.stdout.contains("Nodes failed more often"));
    let said = dsjob.fails("cancel seen", 1).await?;
    ensure!(said.contains("you lack the right to delete jobs"), "{said}");
    let said = dsjob.fails("suspend seen", 1).await?;
    ensure!(
        said.contains("you lack the right to patch jobs") || said.contains("is complete"),
        "{said}"
    );
    Ok(())
}

#[apply(shared_test)]
async fn cluster_without_the_resource_says_how_to_install_it(cx: &Test) -> Result<()> {
    let bare = ControlPlane::start(&control_plane_image()?).await?;
    let folder = artifacts().join(&cx.namespace);
    let logs = LogDir::create(&folder)?;
    let config = folder.join("bare.kubeconfig");
    std::fs::write(&config, bare.admin_kubeconfig())?;
    let dsjob = Kubectl::with_config(config, logs, &[])?;
    for line in ["list", "status a", "run a --image b -- c"] {
        let said = dsjob.fails(line, 1).await?;
        ensure!(said.contains("is not installed in this cluster"), "{line}: {said}");
        ensure!(said.contains("kubectl apply --server-side -f"), "{line}: {said}");
    }
    let check = dsjob.run("check").await?;
    ensure!(check.code == 1 && check.stdout.contains("is not installed"), "{check:?}");
    drop(bare);
    let said = dsjob.fails("list", 1).await?;
    ensure!(said.contains("the API server does not answer"), "{said}");
    Ok(())
}
