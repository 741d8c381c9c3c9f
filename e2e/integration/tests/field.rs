//! Inputs from the field, by their numbers: the API server or the kubelets refuse what a Job asks for.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use api::job::conditions::{COMPLETE, FAILED, RECONCILING};
use api::job::{Job, NodeState, NodeStatus, Phase};
use harness::job_handle::node_of;
use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{Event, LimitRange, Pod, ResourceQuota};
use kube::ResourceExt as _;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use serde_json::{Value, json};
use testbed::simulation::{Hold, SimPod};

use crate::admission::{delete_policy, deny};
use crate::job::{TestJob, condition, exit_code_manifest, find_node, phase};
use crate::test::{Test, settle, shared_test};

/// Creates a quota, and waits until it is in force.
async fn quota(cx: &Test, name: &str, hard: Value) -> Result<()> {
    let quota = json!({"metadata": {"name": name}, "spec": {"hard": hard}});
    cx.create::<ResourceQuota>(quota).await?;
    let is_in_force =
        |quota: &ResourceQuota| quota.status.as_ref().is_some_and(|status| status.used.is_some());
    cx.wait().object(cx.api(), name, "in force", is_in_force).await?;
    Ok(())
}

async fn failed(job: &TestJob<'_>, reason: &str) -> Result<String> {
    let has_failed = |job: &Job| condition(job, FAILED).is_some_and(|it| it.reason == reason);
    let job = job.until(&format!("failed for {reason}"), has_failed).await?;
    Ok(condition(&job, FAILED).context("just seen")?.message.clone())
}

/// The warnings with this reason about a Job.
async fn events(cx: &Test, reason: &str) -> Result<Vec<String>> {
    let events = cx.events(reason).await?.into_iter();
    let about_jobs = events.filter(|it| it.involved_object.kind.as_deref() == Some("Job"));
    let warnings = about_jobs.filter(|it| it.type_.as_deref() == Some("Warning"));
    Ok(warnings.filter_map(|event| event.message).collect())
}

#[apply(shared_test)]
async fn input_01_quota_on_daemon_sets_is_quoted_until_it_is_gone(cx: &Test) -> Result<()> {
    let (operator, _terminator) = cx.both().await?;
    quota(cx, "no-sets", json!({"count/daemonsets.apps": "0"})).await?;
    let job = cx.apply(&exit_code_manifest("refused")).await?;
    let message = failed(&job, "DaemonSetRefused").await?;
    ensure!(message.contains("exceeded quota: no-sets"), "{message}");
    let words = ["does not accept the Job's DaemonSet", "exceeded quota: no-sets"];
    cx.until_explained("refused", "DaemonSetRefused", &words).await?;
    // It is tried again, and reported once.
    let attempts = || operator.writes().iter().filter(|it| it.uri.contains("/daemonsets/")).count();
    cx.until("further attempts", async || Ok(attempts() >= 3)).await?;
    let told = events(cx, "DaemonSetRefused").await?;
    ensure!(told == [message], "{told:?}");
    // Others are not delayed.
    ensure!(phase(&job.get().await?) == Some(Phase::Failed));
    cx.api::<ResourceQuota>().delete("no-sets", &DeleteParams::default()).await?;
    job.complete_by_exit_code().await
}

/// Inputs 02 and 03, with what `explain` says to do about each.
#[apply(shared_test)]
async fn double_keys_and_bad_quantities_are_named_until_they_are_repaired(cx: &Test) -> Result<()> {
    let _processes = cx.both().await?;
    let env = json!([{"name": "LEVEL", "value": "one"}, {"name": "LEVEL", "value": "two"}]);
    let (twice, quantity) =
        (json!({"env": env}), json!({"resources": {"limits": {"memory": "64MB"}}}));
    for (name, container, field, cure) in [
        ("twice", twice, "env[1]: duplicate name: \"LEVEL\"", "remove one of the two items"),
        ("quantity", quantity, "resources.limits.memory: \"64MB\"", "64Mi"),
    ] {
        let job = cx.apply(&exit_code_manifest(name).container(container)).await?;
        let message = failed(&job, "InvalidSpec").await?;
        let field = format!("spec.template.spec.containers[0].{field}");
        ensure!(message.starts_with(&field), "{message}");
        cx.until_explained(name, "InvalidSpec", &[cure]).await?;
        cx.apply(&exit_code_manifest(name)).await?.complete_by_exit_code().await?;
    }
    Ok(())
}

#[apply(shared_test)]
async fn input_05_preparation_that_fails_fails_its_node_in_its_last_words(cx: &Test) -> Result<()> {
    let _processes = cx.both().await?;
    let prepare = json!({"name": "prepare", "image": "busybox:1.36"});
    let template = json!({"spec": {"initContainers": [prepare]}});
    let manifest = exit_code_manifest("preparation").backoff_limit(1).template(template);
    let (job, [failing, ..]) = cx.running(&manifest).await?;
    failing.exit_with(7, "no disk here\n")?;
    let words = "init container prepare: Error: no disk here";
    let says = |node: &NodeStatus| node.message.as_deref() == Some(words);
    let node = job.until_node("control-plane", "has failed once", says).await?;
    ensure!((node.state, node.exit_code) == (NodeState::Pending, Some(7)), "{node:?}");
    let found = cx.until_explained("preparation", "InitContainer", &[words]).await?;
    ensure!(found["nodes"] == json!(["control-plane"]), "{found}");
    failing.restart()?;
    failing.exit_with(7, "no disk here\n")?;
    let has_failed = |node: &NodeStatus| node.state == NodeState::Failed;
    let node = job.until_node("control-plane", "failed", has_failed).await?;
    ensure!(says(&node), "{node:?}");
    Ok(())
}

/// As a kubelet 1.37 reports it.
#[apply(shared_test)]
async fn input_06_rejections_by_the_kubelet_are_quoted_as_failed_runs(cx: &Test) -> Result<()> {
    let _processes = cx.both().await?;
    cx.sim().hold(Hold::Start, &cx.namespace, "worker-1");
    let job = cx.apply(&exit_code_manifest("rejected").backoff_limit(1)).await?;
    let words = "Pod was rejected: forbidden sysctl: \"net.core.somaxconn\" not allowlisted";
    let status = json!({"status": {
        "phase": "Failed", "reason": "SysctlForbidden", "message": words, "conditions": null,
    }});
    let pods = cx.api::<Pod>();
    let has_failed = |job: &Job| job.status.as_ref().is_some_and(|status| status.failed == 1);
    let mut rejected = 0;
    while !has_failed(&job.get().await?) && rejected < 8 {
        let waiting = pods.list(&ListParams::default()).await?.items.into_iter().find(|pod| {
            let is_new = pod.status.as_ref().and_then(|it| it.phase.as_deref()) == Some("Pending");
            is_new && node_of(pod) == Some("worker-1") && pod.metadata.deletion_timestamp.is_none()
        });
        if let Some(pod) = waiting {
            // The kubelet takes a moment; a pod that was created in the same second is not counted.
            tokio::time::sleep(Duration::from_secs(1)).await;
            let name = pod.name_any();
            pods.patch_status(&name, &PatchParams::default(), &Patch::Merge(&status)).await?;
            rejected += 1;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let has_failed = |node: &NodeStatus| node.state == NodeState::Failed;
    let node = job.until_node("worker-1", "failed", has_failed).await?;
    ensure!(node.reason.as_deref() == Some("SysctlForbidden"), "{node:?}");
    ensure!(node.message.as_deref() == Some(&format!("SysctlForbidden: {words}")), "{node:?}");
    // Never before the limit; further pods may be rejected before the status says that the node has failed.
    ensure!(rejected >= 2, "{rejected}");
    Ok(())
}

#[apply(shared_test)]
async fn input_10_pasted_template_is_accepted_and_means_nothing(cx: &Test) -> Result<()> {
    let _processes = cx.both().await?;
    let template = json!({
        "metadata": {"name": "work", "creationTimestamp": null, "labels": {"team": "a"}},
        "spec": {
            "restartPolicy": "Always",
            "dnsPolicy": "ClusterFirst",
            "schedulerName": "default-scheduler",
            "securityContext": {},
            "terminationGracePeriodSeconds": 30,
            "containers": [{"name": "job-container", "resources": {}}],
        },
    });
    let mut manifest = exit_code_manifest("pasted").template(template).json();
    manifest["metadata"]["creationTimestamp"] = Value::Null;
    manifest["status"] = json!({});
    let job = cx.apply(&manifest).await?;
    job.complete_by_exit_code().await
}

#[apply(shared_test)]
async fn input_13_pods_of_limited_work_meet_a_quota_and_a_limit_range(cx: &Test) -> Result<()> {
    let _processes = cx.both().await?;
    let hard = json!({
        "limits.cpu": "10", "limits.memory": "4Gi", "requests.cpu": "5", "requests.memory": "2Gi",
    });
    quota(cx, "limits", hard).await?;
    let bounds = |cpu: &str, memory: &str| json!({"cpu": cpu, "memory": memory});
    // No container may be smaller than the work's.
    let range = json!([{
        "type": "Container", "min": bounds("100m", "32Mi"), "max": bounds("200m", "128Mi"),
    }]);
    let range = json!({"metadata": {"name": "bounds"}, "spec": {"limits": range}});
    cx.create::<LimitRange>(range).await?;
    let resources = json!({"limits": bounds("100m", "32Mi")});
    let manifest = exit_code_manifest("small").container(json!({"resources": resources}));
    let (job, [pod, ..]) = cx.running(&manifest).await?;
    let class = pod.object().status.and_then(|status| status.qos_class);
    ensure!(class.as_deref() == Some("Guaranteed"), "{class:?}");
    job.complete_by_exit_code().await
}

/// As a kubelet 1.37 says it.
#[apply(shared_test)]
async fn input_14_what_the_kubelet_says_only_in_events_is_in_the_status(cx: &Test) -> Result<()> {
    let _processes = cx.both().await?;
    cx.sim().hold(Hold::Start, &cx.namespace, "worker-1");
    let job = cx.apply(&exit_code_manifest("mounts")).await?;
    let is_there = |pod: &SimPod| pod.node().as_deref() == Some("worker-1");
    let pod = cx.sim().wait_for(&cx.namespace, "a pod that is held", is_there).await?;
    let words = "MountVolume.SetUp failed for volume \"v\" : configmap \"missing\" not found";
    let event = json!({
        "metadata": {"generateName": "mounts-"},
        "involvedObject": {
            "apiVersion": "v1", "kind": "Pod", "name": pod.name(), "uid": pod.uid(),
            "namespace": cx.namespace,
        },
        "type": "Warning",
        "reason": "FailedMount",
        "message": words,
        "lastTimestamp": "2026-01-01T00:00:00Z",
    });
    cx.create::<Event>(event).await?;
    let says = |node: &NodeStatus| node.reason.as_deref() == Some("FailedMount");
    let node = job.until_node("worker-1", "explained", says).await?;
    ensure!(node.message.as_deref() == Some(&format!("FailedMount: {words}")), "{node:?}");
    cx.sim().release(Hold::Start, &cx.namespace, "worker-1");
    job.complete_by_exit_code().await
}

#[apply(shared_test)]
async fn input_17_template_that_means_the_same_runs_nothing_again(cx: &Test) -> Result<()> {
    let _processes = cx.both().await?;
    let with = |cpu: Value, further: Value| {
        let mut container = further;
        container["resources"]["limits"]["cpu"] = cpu;
        exit_code_manifest("equal").container(container)
    };
    let job = cx.apply(&with(json!("1000m"), json!({}))).await?;
    job.complete_by_exit_code().await?;
    let ended = job.get().await?;
    for manifest in [
        with(json!("1"), json!({})),
        with(json!(1), json!({"stdin": false, "env": []})),
        with(json!("1.0"), json!({"terminationMessagePath": "/dev/termination-log"})),
    ] {
        cx.apply(&manifest).await?;
        let seen = job.until_observed().await?;
        ensure!(phase(&seen) == Some(Phase::Completed), "{:?}", seen.status);
    }
    settle().await;
    let now = job.get().await?;
    let since = |job: &Job| condition(job, COMPLETE).map(|it| it.last_transition_time.clone());
    ensure!(since(&now).is_some() && since(&now) == since(&ended), "{:?}", now.status);
    ensure!(cx.has_none::<DaemonSet>().await?);
    Ok(())
}

#[apply(shared_test)]
async fn input_20_pods_refused_again_and_again_are_one_event_not_active(cx: &Test) -> Result<()> {
    let (_operator, terminator) = cx.both().await?;
    quota(cx, "none", json!({"pods": "0"})).await?;
    let job = cx.apply(&exit_code_manifest("flood")).await?;
    let words = ["\"severity\":\"problem\"", "exceeded quota"];
    cx.until_explained("flood", "RefusedPods", &words).await?;
    cx.until("an event", async || Ok(!events(cx, "FailedCreate").await?.is_empty())).await?;
    // Further looks follow every few seconds.
    tokio::time::sleep(Duration::from_secs(10)).await;
    let told = events(cx, "FailedCreate").await?;
    ensure!(told.len() == 1 && told[0].contains("exceeded quota: none"), "{told:?}");
    let pending = job.get().await?;
    ensure!(condition(&pending, RECONCILING).is_some(), "{:?}", pending.status);
    let status = pending.status.context("a status")?;
    ensure!(status.phase == Some(Phase::Pending), "{status:?}");
    ensure!((status.active, status.succeeded) == (0, 0), "{status:?}");
    ensure!(terminator.writes().is_empty());
    cx.api::<ResourceQuota>().delete("none", &DeleteParams::default()).await?;
    job.complete_by_exit_code().await
}

#[apply(shared_test)]
async fn input_22_output_of_a_failed_node_can_be_read_after_the_end(cx: &Test) -> Result<()> {
    let _processes = cx.both().await?;
    let job = cx.apply(&exit_code_manifest("evidence").backoff_limit(0)).await?;
    // What the kubelet keeps of the log: 2048 bytes.
    let lines: String =
        (1..=40).map(|line| format!("line {line} of the evidence, {line:030}\n")).collect();
    let kept = &lines[lines.len() - 2048..];
    let ended = job.fail_on_worker_1(3, kept).await?;
    job.until_stopped().await?;
    let node = find_node(&ended, "worker-1").context("the node")?;
    ensure!(node.output.as_deref() == Some(kept.trim_end()), "{node:?}");
    Ok(())
}

/// A kind of input 01: admission refuses, with 422, and allows later.
#[apply(shared_test)]
async fn policy_that_denies_daemon_sets_is_quoted_until_it_is_gone(cx: &Test) -> Result<()> {
    let _processes = cx.both().await?;
    let words = "no DaemonSets at night";
    let daemon_sets = json!({
        "apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"],
        "resources": ["daemonsets"],
    });
    deny(cx, daemon_sets, "false", words).await?;
    cx.until("DaemonSets are denied", async || {
        let probed = cx.probe_foreign().await;
        Ok(probed.is_err_and(|error| error.to_string().contains(words)))
    })
    .await?;
    let job = cx.apply(&exit_code_manifest("denied")).await?;
    let message = failed(&job, "DaemonSetRefused").await?;
    ensure!(message.contains(words), "{message}");
    delete_policy(cx).await?;
    job.complete_by_exit_code().await
}

/// A kind of input 01: the DaemonSet is a little larger than the Job, and etcd takes no more.
#[apply(shared_test)]
async fn job_whose_daemon_set_is_too_large_says_so(cx: &Test) -> Result<()> {
    let _processes = cx.both().await?;
    let env = json!([{"name": "LONG", "value": "x".repeat(1_571_000)}]);
    cx.create::<Job>(exit_code_manifest("large").container(json!({"env": env})).json()).await?;
    cx.until("somebody says why", async || {
        let told = [events(cx, "InvalidSpec").await?, events(cx, "WriteRefused").await?].concat();
        let says = |it: &String| it.contains("too large") || it.contains("larger than");
        Ok(told.iter().any(says))
    })
    .await
}
