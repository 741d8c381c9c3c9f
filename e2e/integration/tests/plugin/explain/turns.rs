//! Causes of nodes that wait: each reason of the condition Waiting, and suspension.

use anyhow::{Context as _, Result, ensure};
use api::job::JobSpec;
use k8s_openapi::api::apps::v1::DaemonSet;
use kube::api::DeleteParams;
use serde_json::json;
use testbed::simulation::{Hold, NodeSpec};

use crate::account::{self, Account};
use crate::admission::{delete_policy, deny};
use crate::job::exit_code_manifest;
use crate::strangers::admission::{added_to_template, forget_mutation, mutate};
use crate::test::{Test, shared_test};
use crate::turns::{in_turn, patch};

/// Sets a field of a spec from JSON.
fn field<T: serde::de::DeserializeOwned>(value: serde_json::Value) -> T {
    serde_json::from_value(value).expect("a field of a spec")
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
    for (manifest, cause, quote) in jobs {
        let job = cx.apply(&manifest).await?;
        cx.until_explained(&job.name, "Waiting", &[cause, quote]).await?;
    }
    Ok(())
}

#[apply(shared_test)]
async fn places_that_stay_taken_are_explained_by_what_holds_them(cx: &Test) -> Result<()> {
    let _processes = cx.both().await?;
    let ready = in_turn("ready", 1).set(|spec| spec.min_ready_seconds = Some(3600));
    cx.apply(&ready).await?.another_pod(&[]).await?.exit(0)?;
    let words = ["keeps its place for minReadySeconds", "the 3600 s of spec.minReadySeconds"];
    cx.until_explained("ready", "Waiting", &words).await?;

    let kept = cx.apply(&in_turn("kept", 1).backoff_limit(0)).await?;
    let failing = kept.another_pod(&[]).await?;
    let node = failing.node().context("a node")?;
    failing.exit(1)?;
    failing.restart()?;
    let found = cx.until_explained("kept", "FailedKeepPlaces", &["keep their places"]).await?;
    ensure!(found["nodes"] == json!([node]), "{found}");

    let many = cx.apply(&in_turn("many", 2).backoff_limit(0).max_failed_nodes(0)).await?;
    let failing = many.another_pod(&[]).await?;
    many.another_pod(std::slice::from_ref(&failing)).await?;
    failing.exit(1)?;
    failing.restart()?;
    let words = ["more nodes failed than maxFailedNodes", "spec.maxFailedNodes"];
    cx.until_explained("many", "Waiting", &words).await?;

    let (plain, _) = cx.running(&exit_code_manifest("late")).await?;
    patch(&plain, json!({"parallelism": 1})).await?;
    let words = ["were set while the Job ran", "spec.parallelism"];
    cx.until_explained("late", "Waiting", &words).await?;
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
    cx.until_explained(&job.name, "Waiting", &["earlier work has not ended"]).await?;
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
    let words = ["is being suspended: its pods are stopped", "the pods are being stopped"];
    cx.until_explained("on-hold", "Suspended", &words).await?;
    cx.until_explained("on-hold", "WriteRefused", &["not now"]).await?;
    delete_policy(cx).await?;
    let words = ["nothing of it runs", "kubectl dsjob resume on-hold"];
    cx.until_explained("on-hold", "Suspended", &words).await?;
    Ok(())
}

#[apply(shared_test)]
async fn daemon_set_that_admission_changes_holds_nodes_and_names_the_webhook(
    cx: &Test,
) -> Result<()> {
    let _processes = cx.both().await?;
    let selector = ("spec/nodeSelector/kubernetes.io~1hostname", "worker-1");
    mutate(cx, added_to_template(selector)).await?;
    cx.apply(&in_turn("changed", 1)).await?;
    let words = ["an admission webhook sets", "exempt the Job's DaemonSet"];
    cx.until_explained("changed", "DaemonSetEdited", &words).await?;
    let words = ["somebody has changed the Job's DaemonSet"];
    cx.until_explained("changed", "Waiting", &words).await?;
    forget_mutation(cx).await
}

#[apply(shared_test)]
async fn labels_that_the_operator_cannot_learn_are_waited_for(cx: &Test) -> Result<()> {
    let account = Account::create(cx).await?;
    let _operator = cx.operator_as(account::NAME).await?;
    cx.running(&exit_code_manifest("seen")).await?;
    account.forbid(&[("nodes", &["get", "list", "watch"])]).await?;
    let order = |spec: &mut JobSpec| spec.order = field(json!([{"matchLabels": {"new": "key"}}]));
    cx.apply(&exit_code_manifest("unknown").set(order)).await?;
    cx.until_explained("unknown", "Waiting", &["labels of nodes that order names"]).await?;
    cx.until_explained("seen", "Outlook", &["nodes done"]).await?;
    account.delete().await
}

#[apply(shared_test)]
async fn lost_nodes_whose_turn_it_is_are_named(cx: &Test) -> Result<()> {
    // No other Job runs on a node of Windows.
    cx.sim().add_node(&NodeSpec::windows("lost-3")).await?;
    cx.set_unreachable("lost-3", true).await?;
    let _processes = cx.both().await?;
    let there = in_turn("lost", 1).only_on("lost-3").node_selector("kubernetes.io/os", "windows");
    cx.apply(&there).await?;
    let words = ["has lost those whose turn it is", "lost-3"];
    cx.until_explained("lost", "Waiting", &words).await?;
    cx.sim().remove_node("lost-3").await
}
