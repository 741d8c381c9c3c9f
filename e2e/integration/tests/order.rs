//! The order of nodes by their labels. These tests run alone, for they change labels of nodes.

use anyhow::{Context as _, Result, ensure};
use api::job::JobSpec;
use api::job::conditions::WAITING;
use k8s_openapi::api::core::v1::Node;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use testbed::simulation::NodeSpec;

use crate::job::{condition, exit_code_manifest, exit_well};
use crate::test::{Test, alone_test, settle};

/// The label of the nodes that come first.
const CANARY: &str = "example.org/canary";

async fn label(cx: &Test, node: &str, value: Value) -> Result<()> {
    let labels = json!({"metadata": {"labels": {CANARY: value}}});
    let nodes: Api<Node> = Api::all(cx.client.clone());
    nodes.patch(node, &PatchParams::default(), &Patch::Merge(labels)).await?;
    Ok(())
}

fn canaries_first(spec: &mut JobSpec) {
    let order = json!([{"matchLabels": {CANARY: "true"}}]);
    spec.order = serde_json::from_value(order).expect("selectors");
}

#[apply(alone_test)]
async fn nodes_wait_for_the_group_before_theirs(cx: &Test) -> Result<()> {
    cx.sim().add_node(&NodeSpec::linux("canary-1")).await?;
    label(cx, "canary-1", json!("true")).await?;
    let _processes = cx.both().await?;
    let job = cx.apply(&exit_code_manifest("in-order").set(canaries_first)).await?;
    let canary = job.pod("canary-1").await?;
    let is_held = |status: &api::job::JobStatus| (status.active, status.waiting) == (1, 3);
    let job_is_held = |job: &api::job::Job| job.status.as_ref().is_some_and(is_held);
    let held = job.until("one at work, three waiting", job_is_held).await?;
    let waiting = condition(&held, WAITING).context("a condition")?;
    ensure!(waiting.reason == "OrderWaits", "{waiting:?}");
    settle().await;
    ensure!(job_is_held(&job.get().await?), "others have started");
    canary.exit(0)?;
    exit_well(job.pods().await?)?;
    job.until_ended("Completed", "done on 4 of 4 nodes").await?;
    Ok(())
}

#[apply(alone_test)]
async fn a_label_that_changes_counts_at_once(cx: &Test) -> Result<()> {
    cx.sim().add_node(&NodeSpec::linux("canary-1")).await?;
    label(cx, "canary-1", json!("true")).await?;
    let _processes = cx.both().await?;
    let job = cx.apply(&exit_code_manifest("relabelled").set(canaries_first)).await?;
    let canary = job.pod("canary-1").await?;
    settle().await;
    let held = job.get().await?.status.context("a status")?;
    ensure!((held.active, held.waiting) == (1, 3), "{held:?}");
    // No node is left that comes first, and nothing else has changed.
    label(cx, "canary-1", Value::Null).await?;
    let others = job.pods().await?;
    exit_well(others)?;
    canary.exit(0)?;
    job.until_ended("Completed", "done on 4 of 4 nodes").await?;
    Ok(())
}
