//! Causes of nodes that wait: each reason of the condition Waiting, and suspension.

use anyhow::{Context as _, Result, ensure};
use api::job::JobSpec;
use api::labels;
use harness::job_builder::JobBuilder;
use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, PolicyRule};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::ResourceExt as _;
use kube::api::{DeleteParams, PostParams};
use serde_json::json;
use testbed::simulation::{Hold, NodeSpec, SimPod};

use super::{says, until_says};
use crate::admission::{delete_policy, deny};
use crate::job::exit_code_manifest;
use crate::kubectl::Kubectl;
use crate::strangers::admission::{forget_mutation, mutate};
use crate::test::{Test, alone_test, create, shared_test};
use crate::turns::patch;

/// A Job that lets so many nodes start at once.
fn in_turn(name: &str, parallelism: i32) -> JobBuilder {
    let parallelism = Some(IntOrString::Int(parallelism));
    exit_code_manifest(name).set(|spec| spec.parallelism = parallelism)
}

/// Sets a field of a spec from JSON.
fn field<T: serde::de::DeserializeOwned>(value: serde_json::Value) -> T {
    serde_json::from_value(value).expect("a field of a spec")
}

/// Waits for a running pod of a Job that is none of these.
async fn at_work(cx: &Test, job: &str, others: &[SimPod]) -> Result<SimPod> {
    let label = labels::label_value(job);
    let is_it = |pod: &SimPod| {
        pod.is_running()
            && pod.object().labels().get(labels::LABEL_JOB) == Some(&label)
            && others.iter().all(|other| other.uid() != pod.uid())
    };
    cx.sim().wait_for(&cx.namespace, &format!("pod of {job} at work"), is_it).await
}

#[apply(shared_test)]
async fn fields_that_make_nodes_wait_are_named_with_what_they_wait_for(cx: &Test) -> Result<()> {
    let _processes = cx.both().await?;
    let window = json!([{"schedule": "0 0 29 2 *", "durationSeconds": 60}]);
    let order = json!([{"matchLabels": {"kubernetes.io/hostname": "worker-1"}}]);
    let gate = json!({"spec": {"schedulingGates": [{"name": "example.com/quota"}]}});
    let jobs = [
        (in_turn("paused", 0), "parallelism is 0", "spec.parallelism is 0"),
        (in_turn("places", 1), "as many nodes are at work", "1 of 1 places in use"),
        (
            exit_code_manifest("window").set(|spec| spec.windows = field(window)),
            "no window is open",
            "next window opens at",
        ),
        (
            exit_code_manifest("order").set(|spec| spec.order = field(order)),
            "an earlier group of order",
            "spec.order[0] comes first",
        ),
        (in_turn("gates", 3).template(gate), "scheduling gates of somebody else", "of others"),
    ];
    let dsjob = &Kubectl::admin(cx)?;
    for (manifest, cause, quote) in jobs {
        let job = cx.apply(&manifest).await?;
        until_says(cx, dsjob, &job.name, "Waiting", &[cause, quote]).await?;
    }
    Ok(())
}

#[apply(shared_test)]
async fn places_that_stay_taken_are_explained_by_what_holds_them(cx: &Test) -> Result<()> {
    let _processes = cx.both().await?;
    let dsjob = &Kubectl::admin(cx)?;

    let ready = in_turn("ready", 1).set(|spec| spec.min_ready_seconds = Some(3600));
    cx.apply(&ready).await?;
    at_work(cx, "ready", &[]).await?.exit(0)?;
    let words = ["keeps its place for minReadySeconds", "the 3600 s of spec.minReadySeconds"];
    until_says(cx, dsjob, "ready", "Waiting", &words).await?;

    cx.apply(&in_turn("kept", 1).backoff_limit(0)).await?;
    let failing = at_work(cx, "kept", &[]).await?;
    let node = failing.node().context("a node")?;
    failing.exit(1)?;
    failing.restart()?;
    let found = until_says(cx, dsjob, "kept", "FailedKeepPlaces", &["keep their places"]).await?;
    ensure!(found["nodes"] == json!([node]), "{found}");

    cx.apply(&in_turn("many", 2).backoff_limit(0).max_failed_nodes(0)).await?;
    let failing = at_work(cx, "many", &[]).await?;
    at_work(cx, "many", std::slice::from_ref(&failing)).await?;
    failing.exit(1)?;
    failing.restart()?;
    let words = ["more nodes failed than maxFailedNodes", "spec.maxFailedNodes"];
    until_says(cx, dsjob, "many", "Waiting", &words).await?;

    let (plain, _) = cx.running(&exit_code_manifest("late")).await?;
    patch(&plain, json!({"parallelism": 1})).await?;
    let words = ["were set while the Job ran", "spec.parallelism"];
    until_says(cx, dsjob, "late", "Waiting", &words).await?;
    Ok(())
}

#[apply(shared_test)]
async fn earlier_work_that_has_not_ended_is_named(cx: &Test) -> Result<()> {
    let _processes = cx.both().await?;
    let (job, _) = cx.running(&in_turn("reworked", 4)).await?;
    cx.hold_everywhere(Hold::Stop);
    cx.apply(&in_turn("reworked", 4).command(["other"])).await?;
    job.until_observed().await?;
    // The pods of its successor do not wait for those that stop.
    let sets = cx.api::<DaemonSet>();
    sets.delete(&job.daemon_set_name(), &DeleteParams::background()).await?;
    let dsjob = &Kubectl::admin(cx)?;
    until_says(cx, dsjob, &job.name, "Waiting", &["earlier work has not ended"]).await?;
    cx.release_everywhere(Hold::Stop);
    Ok(())
}

#[apply(shared_test)]
async fn suspension_is_explained_before_and_after_the_pods_have_stopped(cx: &Test) -> Result<()> {
    let _processes = cx.both().await?;
    let (job, _) = cx.running(&exit_code_manifest("on-hold")).await?;
    // Pods stay for as long as their DaemonSet does.
    let deletion = json!({
        "apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["DELETE"],
        "resources": ["daemonsets"],
    });
    deny(cx, deletion, "false", "not now").await?;
    let probe = DeleteParams { dry_run: true, ..DeleteParams::default() };
    let set = job.daemon_set_name();
    let is_denied = async || Ok(cx.api::<DaemonSet>().delete(&set, &probe).await.is_err());
    cx.until("no DaemonSet can be deleted", is_denied).await?;
    patch(&job, json!({"suspend": true})).await?;
    let dsjob = &Kubectl::admin(cx)?;
    let words = ["is being suspended: its pods are stopped", "the pods are being stopped"];
    until_says(cx, dsjob, "on-hold", "Suspended", &words).await?;
    until_says(cx, dsjob, "on-hold", "WriteRefused", &["not now"]).await?;
    delete_policy(cx).await?;
    let words = ["nothing of it runs", "kubectl dsjob resume on-hold"];
    until_says(cx, dsjob, "on-hold", "Suspended", &words).await?;
    Ok(())
}

#[apply(shared_test)]
async fn daemon_set_that_admission_changes_holds_nodes_and_names_the_webhook(
    cx: &Test,
) -> Result<()> {
    let _processes = cx.both().await?;
    let add = |path: &str, value: &str| {
        format!("JSONPatch{{op: \"add\", path: \"/spec/template/{path}\", value: \"{value}\"}}")
    };
    let selector = add("spec/nodeSelector/kubernetes.io~1hostname", "worker-1");
    let patches = [add("metadata/labels/mutated", "yes"), selector];
    let patch = json!({"expression": format!("[{}]", patches.join(", "))});
    mutate(cx, json!({"patchType": "JSONPatch", "jsonPatch": patch})).await?;
    cx.apply(&in_turn("changed", 1)).await?;
    let dsjob = &Kubectl::admin(cx)?;
    let words = ["an admission webhook sets", "exempt the Job's DaemonSet"];
    until_says(cx, dsjob, "changed", "DaemonSetEdited", &words).await?;
    let words = ["somebody has changed the Job's DaemonSet"];
    until_says(cx, dsjob, "changed", "Waiting", &words).await?;
    forget_mutation(cx).await
}

/// A service account of the test's namespace with the rules of `deploy/` that are kept.
async fn account(cx: &Test, name: &str, keep: impl Fn(&mut PolicyRule)) -> Result<()> {
    cx.create::<ServiceAccount>(json!({"metadata": {"name": name}})).await?;
    let roles = cx.all::<ClusterRole>();
    let mut rules = roles.get("daemonset-job").await?.rules.unwrap_or_default();
    rules.iter_mut().for_each(keep);
    let mut role = ClusterRole { rules: Some(rules), ..ClusterRole::default() };
    role.metadata.name = Some(cx.namespace.clone());
    roles.create(&PostParams::default(), &role).await?;
    let binding = json!({
        "metadata": {"name": cx.namespace},
        "roleRef": {
            "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": cx.namespace,
        },
        "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": cx.namespace}],
    });
    create(&cx.all::<ClusterRoleBinding>(), binding).await?;
    Ok(())
}

/// Removes what [`account`] made outside the namespace.
async fn forget_account(cx: &Test) -> Result<()> {
    let params = DeleteParams::default();
    cx.all::<ClusterRoleBinding>().delete(&cx.namespace, &params).await?;
    cx.all::<ClusterRole>().delete(&cx.namespace, &params).await?;
    Ok(())
}

fn is_about(rule: &PolicyRule, resource: &str) -> bool {
    rule.resources.iter().flatten().any(|it| it == resource)
}

#[apply(shared_test)]
async fn refused_releases_and_refused_writes_quote_the_api_server(cx: &Test) -> Result<()> {
    account(cx, "without", |rule| {
        if is_about(rule, "pods") {
            rule.verbs.retain(|verb| verb != "patch");
        }
    })
    .await?;
    let _operator = cx.operator_as("without").await?;
    cx.apply(&in_turn("refused", 2)).await?;
    let dsjob = &Kubectl::admin(cx)?;
    let words = ["refuses to let their pods start", "cannot patch resource \\\"pods\\\""];
    until_says(cx, dsjob, "refused", "Waiting", &words).await?;
    let words = ["refuses what the operator writes", "cannot patch resource \\\"pods\\\""];
    until_says(cx, dsjob, "refused", "WriteRefused", &words).await?;
    forget_account(cx).await
}

#[apply(shared_test)]
async fn labels_that_the_operator_cannot_learn_are_waited_for(cx: &Test) -> Result<()> {
    account(cx, "blind", |_| ()).await?;
    let _operator = cx.operator_as("blind").await?;
    let (seen, _) = cx.running(&exit_code_manifest("seen")).await?;
    let roles = cx.all::<ClusterRole>();
    let mut role = roles.get(&cx.namespace).await?;
    role.rules.iter_mut().flatten().filter(|rule| is_about(rule, "nodes")).for_each(|rule| {
        rule.resources.iter_mut().flatten().filter(|it| *it == "nodes").for_each(|it| {
            *it = "none".to_owned();
        });
    });
    roles.replace(&cx.namespace, &PostParams::default(), &role).await?;
    // The API server takes a moment to notice.
    crate::test::settle().await;
    let order = |spec: &mut JobSpec| spec.order = field(json!([{"matchLabels": {"new": "key"}}]));
    cx.apply(&exit_code_manifest("unknown").set(order)).await?;
    let dsjob = &Kubectl::admin(cx)?;
    until_says(cx, dsjob, "unknown", "Waiting", &["labels of nodes that order names"]).await?;
    says(dsjob, &seen.name, "Outlook", &["nodes done"]).await?;
    forget_account(cx).await
}

#[apply(alone_test)]
async fn lost_nodes_whose_turn_it_is_are_named(cx: &Test) -> Result<()> {
    cx.sim().add_node(&NodeSpec::linux("lost-3")).await?;
    let taint = json!({"key": "node.kubernetes.io/unreachable", "effect": "NoExecute"});
    cx.patch_node("lost-3", json!({"taints": [taint]})).await?;
    let _processes = cx.both().await?;
    cx.apply(&in_turn("lost", 1).only_on("lost-3")).await?;
    let dsjob = &Kubectl::admin(cx)?;
    let words = ["has lost those whose turn it is", "lost-3"];
    until_says(cx, dsjob, "lost", "Waiting", &words).await?;
    Ok(())
}
