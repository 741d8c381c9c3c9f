//! The pod template in a Job.

use anyhow::{Context as _, Result, ensure};
use api::job::conditions::{COMPLETE, FAILED};
use api::job::{Job, Phase};
use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{Event, Pod};
use kube::ResourceExt as _;
use serde_json::{Value, json};

use crate::job::{condition, is_recorded, log_done, manifest, phase};
use crate::test::{Test, settle, shared_test};

#[apply(shared_test)]
async fn what_a_template_says_arrives_in_the_pods(cx: &Test) -> Result<()> {
    let _processes = cx.both().await?;
    let template = json!({
        "metadata": {"labels": {"team": "storage"}, "annotations": {"note": "weekly"}},
        "spec": {
            "nodeSelector": {"kubernetes.io/arch": "amd64"},
            "tolerations": [{"key": "dedicated", "operator": "Exists"}],
            "hostPID": true,
            "terminationGracePeriodSeconds": 5,
            "imagePullSecrets": [{"name": "registry"}],
            "volumes": [{"name": "scratch", "emptyDir": {}}],
            "containers": [{
                "name": "job-container",
                "env": [{"name": "LEVEL", "value": "9"}],
                "resources": {"limits": {"memory": "64Mi"}},
                "securityContext": {"privileged": true},
                "volumeMounts": [{"name": "scratch", "mountPath": "/scratch"}],
            }],
        },
    });
    let job = cx.apply(&manifest("overlaid").template(template)).await?;
    let pod = job.pod("worker-1").await?;
    let object = serde_json::to_value(pod.object())?;
    let (labels, spec) = (&object["metadata"]["labels"], &object["spec"]);
    ensure!(labels["team"] == "storage" && labels["job"] == "overlaid", "{labels}");
    ensure!(object["metadata"]["annotations"]["note"] == "weekly", "{object}");
    let selector = json!({"kubernetes.io/arch": "amd64", "kubernetes.io/os": "linux"});
    ensure!(spec["nodeSelector"] == selector, "{spec}");
    ensure!(spec["hostPID"] == true, "{spec}");
    ensure!(spec["terminationGracePeriodSeconds"] == 5, "{spec}");
    ensure!(spec["imagePullSecrets"] == json!([{"name": "registry"}]), "{spec}");
    let container = &spec["containers"][0];
    ensure!(container["name"] == "job-container", "{spec}");
    ensure!(container["image"] == "darkowlzz/cleanup:v0.0.2", "{container}");
    ensure!(container["args"] == json!(["/basetarget/foo"]), "{container}");
    ensure!(container["env"] == json!([{"name": "LEVEL", "value": "9"}]), "{container}");
    ensure!(container["resources"]["limits"]["memory"] == "64Mi", "{container}");
    ensure!(container["securityContext"]["privileged"] == true, "{container}");
    let mounts = container["volumeMounts"].as_array().context("mounts")?;
    for path in ["/basetarget", "/scratch"] {
        ensure!(mounts.iter().any(|mount| mount["mountPath"] == path), "{container}");
    }
    // Its own tolerations stand for ours, which tolerate the control plane's taint. That of the
    // cordoned node the DaemonSet controller lets its pods tolerate.
    let desired = job.until_completed("0/2").await?;
    ensure!(desired.status.context("a status")?.desired == 2);
    Ok(())
}

#[apply(shared_test)]
async fn job_whose_selector_matches_no_node_is_complete_and_kept(cx: &Test) -> Result<()> {
    let (_operator, terminator) = cx.both().await?;
    let template = json!({"spec": {"nodeSelector": {"kubernetes.io/hostname": "worker-l"}}});
    let job = cx.apply(&manifest("typo").template(template)).await?;
    let message = "no node matches, so there is nothing to do";
    let ended = job.until_ended("NoMatchingNodes", message).await?;
    ensure!(condition(&ended, COMPLETE).is_some() && phase(&ended) == Some(Phase::Completed));
    ensure!(ended.status.as_ref().context("a status")?.completed.as_deref() == Some("0/0"));
    job.until_stopped().await?;
    settle().await;
    ensure!(job.get().await?.status == ended.status);
    ensure!(terminator.deletions("/jobs/typo").is_empty());
    cx.until_explained("typo", "NoMatchingNodes", &[]).await?;
    let reported = cx.events("NoMatchingNodes").await?;
    ensure!(reported.first().context("an event")?.type_.as_deref() == Some("Warning"));
    Ok(())
}

#[apply(shared_test)]
async fn containers_beside_the_working_one_end_nothing_by_word_or_exit_code(
    cx: &Test,
) -> Result<()> {
    let _processes = cx.both().await?;
    let template = json!({"spec": {
        "initContainers": [{"name": "prepare", "image": "example.com/prepare:1"}],
        "containers": [{"name": "a-sidecar", "image": "example.com/sidecar:1"}],
    }});
    let manifest = manifest("accompanied").template(template).backoff_limit(0);
    let (job, pods) = cx.running(&manifest).await?;
    for pod in &pods {
        pod.log_of("prepare", "done\n")?;
        pod.exit(0)?;
        pod.log_of("a-sidecar", "done\n")?;
    }
    settle().await;
    job.until_completed("0/3").await?;
    for pod in &pods {
        ensure!(!is_recorded(&pod.object()));
        pod.log_of("job-container", "done\n")?;
    }
    job.until_gone().await
}

/// A template that the operator refuses, and one that the API server does, each with what is said of it.
fn refused() -> [(Value, &'static str); 2] {
    [
        (
            json!({"spec": {"nodeSelectr": {"a": "b"}}}),
            "spec.template.spec.nodeSelectr: unknown field",
        ),
        (
            json!({"spec": {"containers": [{"name": "sidecar"}]}}),
            "the API server refuses the DaemonSet: DaemonSet.apps \"refused-1-daemonset-job\" is \
             invalid: spec.template.spec.containers[1].image: Required value",
        ),
    ]
}

#[apply(shared_test)]
async fn bad_template_is_refused_with_an_event_until_it_is_repaired(cx: &Test) -> Result<()> {
    let _processes = cx.both().await?;
    let mut jobs = Vec::new();
    for (number, (template, message)) in refused().into_iter().enumerate() {
        let bad = manifest(&format!("refused-{number}")).template(template);
        jobs.push((cx.apply(&bad).await?, message));
    }
    // One bad Job does not stall the others.
    let good = cx.apply(&manifest("good")).await?;
    good.complete_by_word().await?;
    for (job, message) in &jobs {
        let failed = job.until("failed", |job| condition(job, FAILED).is_some()).await?;
        let why = condition(&failed, FAILED).context("just seen")?;
        ensure!(why.reason == "InvalidSpec" && why.message == *message, "{why:?}");
        ensure!(phase(&failed) == Some(Phase::Failed));
        let mut events = cx.events("InvalidSpec").await?.into_iter();
        let is_it = |event: &Event| event.involved_object.uid == failed.uid();
        let event = events.find(is_it).context("no event")?;
        ensure!(event.message.as_deref() == Some(*message), "{event:?}");
    }
    ensure!(cx.has_none::<DaemonSet>().await? && cx.has_none::<Pod>().await?);
    for (job, _) in &jobs {
        cx.apply(&manifest(&job.name)).await?;
        let pods = job.pods().await?;
        let runs =
            |job: &Job| condition(job, FAILED).is_none() && phase(job) == Some(Phase::Running);
        job.until("failed no longer", runs).await?;
        log_done(pods)?;
        job.until_gone().await?;
    }
    Ok(())
}

#[apply(shared_test)]
async fn refused_edit_of_a_running_job_stops_nothing(cx: &Test) -> Result<()> {
    let _processes = cx.both().await?;
    let (job, pods) = cx.running(&manifest("goes-on")).await?;
    pods[0].log("done\n")?;
    job.until_completed("1/3").await?;
    for (bad, _) in refused() {
        cx.apply(&manifest("goes-on").template(bad)).await?;
        job.until_condition(FAILED).await?;
        settle().await;
        ensure!(pods.iter().all(testbed::simulation::SimPod::is_running));
        cx.apply(&manifest("goes-on")).await?;
        job.until("failed no longer", |job| condition(job, FAILED).is_none()).await?;
        job.until_completed("1/3").await?;
    }
    log_done(&pods[1..])?;
    job.until_gone().await
}
