//! Edits of the work and of the DaemonSet while nodes take turns.

use anyhow::{Context as _, Result, ensure};
use api::job::conditions::{DAEMON_SET_EDITED, WAITING};
use api::labels::TURN_GATE;
use harness::job_handle::{describe, status};
use k8s_openapi::api::apps::v1::DaemonSet;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use testbed::simulation::Hold;

use super::places::Places;
use super::{gated, in_turn, patch, until_at_work};
use crate::cluster::NODES;
use crate::job::{TestJob, exit_code_manifest, exit_well};
use crate::test::{Test, settle, shared_test};

/// The scheduling gates in the template of the Job's DaemonSet.
fn gates(daemon_set: &DaemonSet) -> Value {
    let template = daemon_set.spec.as_ref().map(|spec| json!(spec.template));
    template.unwrap_or_default()["spec"]["schedulingGates"].clone()
}

/// Edits the gates in the template of the Job's DaemonSet, and waits until they are back.
async fn edit_gates(job: &TestJob<'_>, edit: Value) -> Result<()> {
    let before = gates(&job.daemon_set().await?);
    let params = PatchParams { field_manager: Some("a-tool".into()), ..PatchParams::default() };
    let template = json!({"spec": {"schedulingGates": [edit]}});
    let edit = Patch::Strategic(json!({"spec": {"template": template}}));
    let name = job.daemon_set_name();
    let edited = job.api::<DaemonSet>().patch(&name, &params, &edit).await?;
    ensure!(gates(&edited) != before, "{before}");
    let is_back = |daemon_set: &DaemonSet| gates(daemon_set) == before;
    job.waiter().object(job.api::<DaemonSet>(), &name, "the gates of before", is_back).await?;
    let condition = job.until_condition(DAEMON_SET_EDITED).await?;
    // Who only takes something out leaves no name.
    let by = ["a-tool", "somebody"].map(|by| condition.message.contains(by));
    ensure!(by.contains(&true), "{condition:?}");
    Ok(())
}

#[apply(shared_test)]
async fn gate_that_a_stranger_removes_or_adds_is_put_back(cx: &Test) -> Result<()> {
    let _processes = cx.both().await?;
    // Nobody is at work, so that the controller's replacement of pods ends soon.
    let job = cx.apply(&in_turn("ours", 0)).await?;
    until_at_work(&job, 0, 3).await?;
    edit_gates(&job, json!({"$patch": "delete", "name": TURN_GATE})).await?;
    let all_wait = async || Ok(gated(&job).await?.len() == NODES.len());
    cx.until("three pods that wait", all_wait).await?;
    // What ran meanwhile counts for nothing.
    let now = job.get().await?;
    ensure!(status(&now).succeeded == 0, "{}", describe(&now));
    job.delete().await?;
    job.until_gone().await?;

    let plain = cx.apply(&exit_code_manifest("plain")).await?;
    plain.pods().await?;
    edit_gates(&plain, json!({"name": TURN_GATE})).await?;
    plain.complete_by_exit_code().await
}

#[apply(shared_test)]
async fn gate_of_a_user_is_nobodys_but_theirs(cx: &Test) -> Result<()> {
    let _processes = cx.both().await?;
    let own = json!({"spec": {"schedulingGates": [{"name": "example.com/quota"}]}});
    let job = cx.apply(&in_turn("two-gates", 3).template(own)).await?;
    let gates = gates(&job.daemon_set().await?);
    ensure!(gates.as_array().is_some_and(|gates| gates.len() == 2), "{gates}");
    // Nobody is started who could not start.
    until_at_work(&job, 0, 3).await?;
    let pods = gated(&job).await?;
    ensure!(pods.len() == 3);
    for pod in pods {
        let name = pod.metadata.name.context("a name")?;
        let gate = json!([{"$patch": "delete", "name": "example.com/quota"}]);
        let patch = Patch::Strategic(json!({"spec": {"schedulingGates": gate}}));
        let pods = job.api::<k8s_openapi::api::core::v1::Pod>();
        pods.patch(&name, &PatchParams::default(), &patch).await?;
    }
    job.complete_by_exit_code().await
}

#[apply(shared_test)]
async fn work_that_is_edited_waits_for_the_work_before_it(cx: &Test) -> Result<()> {
    let _processes = cx.both().await?;
    let places = Places::watch(cx).await?;
    let job = cx.apply(&in_turn("edited-work", 1)).await?;
    let old = job.another_pod(&[]).await?;
    let node = old.node().context("a node")?;
    cx.sim().hold(Hold::Stop, &cx.namespace, &node);
    cx.apply(&in_turn("edited-work", 1).command(["new"])).await?;
    let is_new = async || Ok(gated(&job).await?.len() == 2);
    cx.until("pods of the new work", is_new).await?;
    settle().await;
    // The pod of the old work still runs on its node, and holds the only place.
    ensure!(places.most() == 1 && places.started() == 1, "{places:?}");
    cx.sim().release(Hold::Stop, &cx.namespace, &node);
    let mut done = vec![old];
    for _ in NODES {
        let next = job.another_pod(&done).await?;
        exit_well([&next])?;
        done.push(next);
    }
    job.until_all_done().await?;
    ensure!(places.most() == 1, "{places:?}");
    Ok(())
}

#[apply(shared_test)]
async fn fields_that_come_too_late_are_told_and_count_from_the_next_work(cx: &Test) -> Result<()> {
    let _processes = cx.both().await?;
    let (job, first) = cx.running(&exit_code_manifest("late")).await?;
    patch(&job, json!({"parallelism": 1})).await?;
    let told = |job: &api::job::Job| {
        let conditions = status(job).conditions;
        conditions.iter().any(|it| it.type_ == WAITING && it.reason == "NotGated")
    };
    job.until("that the field comes too late", told).await?;
    cx.apply(&in_turn("late", 1).command(["new"])).await?;
    let mut done = first.to_vec();
    for _ in NODES {
        let next = job.another_pod(&done).await?;
        exit_well([&next])?;
        done.push(next);
    }
    job.until_all_done().await
}
