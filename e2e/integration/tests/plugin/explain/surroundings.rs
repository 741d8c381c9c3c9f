//! Causes around a Job: its DaemonSet, those who edit it, the API server, what its spec may ask for.

use std::time::Duration;

use anyhow::{Result, ensure};
use api::job::Job;
use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::ResourceQuota;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::json;
use testbed::simulation::Hold;

use super::{finding, until_found, until_says};
use crate::job::{exit_code_manifest, exit_well, log_done, manifest};
use crate::kubectl::Kubectl;
use crate::test::{Test, hold, shared_test};

#[apply(shared_test)]
async fn daemon_set_of_an_earlier_job_that_still_goes_is_named(cx: &Test) -> Result<()> {
    let _processes = cx.both().await?;
    let (job, _) = cx.running(&exit_code_manifest("again")).await?;
    let sets = cx.api::<DaemonSet>();
    hold(&sets, &job.daemon_set_name(), &["example.org/held"]).await?;
    job.delete().await?;
    job.waiter().none_left::<Job>(&cx.namespace, "", |_| true).await?;
    cx.apply(&exit_code_manifest("again")).await?;
    let dsjob = &Kubectl::admin(cx)?;
    let words = ["again-daemonset-job of an earlier Job", "wait; a pod on a lost node"];
    until_says(cx, dsjob, "again", "OldDaemonSet", &words).await?;
    hold(&sets, &job.daemon_set_name(), &[]).await?;
    Ok(())
}

#[apply(shared_test)]
async fn refused_daemon_set_quotes_the_quota(cx: &Test) -> Result<()> {
    let _processes = cx.both().await?;
    let hard = json!({"count/daemonsets.apps": "0"});
    cx.create::<ResourceQuota>(json!({"metadata": {"name": "none"}, "spec": {"hard": hard}}))
        .await?;
    let is_in_force =
        |quota: &ResourceQuota| quota.status.as_ref().is_some_and(|status| status.used.is_some());
    cx.wait().object(cx.api::<ResourceQuota>(), "none", "in force", is_in_force).await?;
    cx.apply(&manifest("no-set")).await?;
    let dsjob = &Kubectl::admin(cx)?;
    let words = ["does not accept the Job's DaemonSet", "exceeded quota: none"];
    until_says(cx, dsjob, "no-set", "DaemonSetRefused", &words).await?;
    Ok(())
}

#[apply(shared_test)]
async fn tool_that_edits_the_daemon_set_is_named(cx: &Test) -> Result<()> {
    let _processes = cx.both().await?;
    let (job, _) = cx.running(&exit_code_manifest("edited")).await?;
    let asleep = json!({"template": {"spec": {"nodeSelector": {"asleep": "yes"}}}});
    let params = PatchParams { field_manager: Some("downscaler".into()), ..PatchParams::default() };
    let patch = Patch::Strategic(json!({"spec": asleep}));
    cx.api::<DaemonSet>().patch(&job.daemon_set_name(), &params, &patch).await?;
    let dsjob = &Kubectl::admin(cx)?;
    let words = ["downscaler", "have that tool leave the DaemonSet alone"];
    until_says(cx, dsjob, "edited", "DaemonSetEdited", &words).await?;
    Ok(())
}

#[apply(shared_test)]
async fn tool_that_creates_the_job_again_is_named(cx: &Test) -> Result<()> {
    let _processes = cx.both().await?;
    let by_flux = ("kustomize.toolkit.fluxcd.io/name", "apps");
    cx.running(&exit_code_manifest("managed").label(by_flux.0, by_flux.1)).await?;
    let dsjob = &Kubectl::admin(cx)?;
    let words = ["Flux", "set deletionPolicy: Retain"];
    until_says(cx, dsjob, "managed", "DeletesItself", &words).await?;
    Ok(())
}

#[apply(shared_test)]
async fn fields_that_are_twice_or_not_allowed_have_cures_of_their_own(cx: &Test) -> Result<()> {
    let config = operator::Config {
        allowed_host_paths: "/var/log".parse().expect("a directory"),
        ..operator::Config::default()
    };
    let _operator = cx.operator_with(Some(cx.namespace.clone()), config).await?;
    let env = json!([{"name": "LEVEL", "value": "one"}, {"name": "LEVEL", "value": "two"}]);
    cx.apply(&exit_code_manifest("twice").mount("/var/log").container(json!({"env": env}))).await?;
    cx.apply(&manifest("elsewhere").mount("/var/lib")).await?;
    let dsjob = &Kubectl::admin(cx)?;
    let words = ["duplicate name: \\\"LEVEL\\\"", "remove one of the two items"];
    until_says(cx, dsjob, "twice", "InvalidSpec", &words).await?;
    let words = ["is none of /var/log", "have the feature allowed"];
    until_says(cx, dsjob, "elsewhere", "InvalidSpec", &words).await?;
    Ok(())
}

#[apply(shared_test)]
async fn more_failed_nodes_than_are_tolerated_are_named(cx: &Test) -> Result<()> {
    let _processes = cx.both().await?;
    let manifest = exit_code_manifest("intolerant").backoff_limit(0).max_failed_nodes(0);
    let (job, [_, failing, _]) = cx.running(&manifest).await?;
    failing.exit_with(1, "no space left\n")?;
    job.until_finished().await?;
    let dsjob = &Kubectl::admin(cx)?;
    let words = ["More nodes failed than maxFailedNodes", "retry intolerant --failed-only"];
    let found = until_says(cx, dsjob, "intolerant", "NodesFailed", &words).await?;
    ensure!(found["nodes"] == json!(["worker-1"]), "{found}");
    Ok(())
}

#[apply(shared_test)]
async fn deletion_that_waits_for_pods_says_so(cx: &Test) -> Result<()> {
    let _processes = cx.both().await?;
    let (job, _) = cx.running(&exit_code_manifest("foreground")).await?;
    cx.hold_everywhere(Hold::Stop);
    cx.api::<Job>().delete(&job.name, &DeleteParams::foreground()).await?;
    let dsjob = &Kubectl::admin(cx)?;
    until_says(cx, dsjob, "foreground", "Deletion", &["Kubernetes waits for its pods"]).await?;
    cx.release_everywhere(Hold::Stop);
    job.until_gone().await
}

#[apply(shared_test)]
async fn init_container_that_fails_is_named_with_its_last_words(cx: &Test) -> Result<()> {
    let _processes = cx.both().await?;
    let prepare = json!({"name": "prepare", "image": "busybox:1.36"});
    let template = json!({"spec": {"initContainers": [prepare]}});
    let manifest = exit_code_manifest("prepares").backoff_limit(3).template(template);
    let (_, [failing, ..]) = cx.running(&manifest).await?;
    failing.exit_with(7, "no disk here\n")?;
    let dsjob = &Kubectl::admin(cx)?;
    let words = ["init container prepare: Error: no disk here"];
    let found = until_says(cx, dsjob, "prepares", "InitContainer", &words).await?;
    ensure!(found["nodes"] == json!(["control-plane"]), "{found}");
    Ok(())
}

/// A log that begins, or is opened, within ten seconds of the start of its container is whole.
const LATE: Duration = Duration::from_secs(12);

#[apply(shared_test)]
async fn longer_words_and_rotated_logs_are_found(cx: &Test) -> Result<()> {
    let _operator = cx.operator().await?;
    let (job, pods) = cx.running(&manifest("rotated")).await?;
    let [rotated, longer, well] = &pods;
    rotated.log("done\n")?;
    longer.log("abandoned\n")?;
    well.log("starting\n")?;
    tokio::time::sleep(LATE).await;
    rotated.rotate_logs();
    rotated.log("still here\n")?;
    let _terminator = cx.terminator().await?;
    let dsjob = &Kubectl::admin(cx)?;
    let found = until_found(cx, dsjob, "rotated", "LogRotated").await?;
    ensure!(found["nodes"] == json!(["control-plane"]), "{found}");
    let words = ["\"abandoned\"", "log the word by itself"];
    let found = until_says(cx, dsjob, "rotated", "WordNotFound", &words).await?;
    ensure!(found["nodes"] == json!(["worker-1"]), "{found}");
    log_done([well])?;
    job.until_completed("1/3").await?;
    finding(dsjob, "rotated", "LogRotated").await?;
    Ok(())
}

#[apply(shared_test)]
async fn conditions_that_are_false_explain_nothing(cx: &Test) -> Result<()> {
    let _processes = cx.both().await?;
    let (job, pods) = cx.running(&exit_code_manifest("well")).await?;
    exit_well(&pods[..1])?;
    job.until_completed("1/3").await?;
    let dsjob = &Kubectl::admin(cx)?;
    let found = dsjob.json("explain well -o json").await?;
    let checks: Vec<_> = found.as_array().into_iter().flatten().map(|it| &it["check"]).collect();
    ensure!(checks == ["Outlook"], "{found}");
    Ok(())
}
