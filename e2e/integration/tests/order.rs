//! The order of nodes by their labels. These tests run alone, for they change labels of nodes.

use anyhow::{Context as _, Result, ensure};
use api::job::Job;
use api::job::conditions::WAITING;
use harness::job_handle::status;
use serde_json::json;
use testbed::simulation::{NodeSpec, SimPod};

use crate::job::{TestJob, condition, exit_code_manifest, exit_well};
use crate::test::{Test, alone_test, settle};

/// The label of the nodes that come first.
const CANARY: &str = "example.org/canary";

/// A node with that label, and a Job that begins there; returns the Job and its first pod.
async fn begin_on_canary<'t>(cx: &'t Test, name: &str) -> Result<(TestJob<'t>, SimPod)> {
    cx.sim().add_node(&NodeSpec::linux("canary-1")).await?;
    cx.label_node("canary-1", json!({CANARY: "true"})).await?;
    let order = json!([{"matchLabels": {CANARY: "true"}}]);
    let order = serde_json::from_value(order)?;
    let job = cx.apply(&exit_code_manifest(name).set(|spec| spec.order = order)).await?;
    let canary = job.pod("canary-1").await?;
    Ok((job, canary))
}

/// Whether one node is at work, and three wait.
fn is_held(job: &Job) -> bool {
    (status(job).active, status(job).waiting) == (1, 3)
}

#[apply(alone_test)]
async fn nodes_wait_for_the_group_before_theirs(cx: &Test) -> Result<()> {
    let _processes = cx.both().await?;
    let (job, canary) = begin_on_canary(cx, "in-order").await?;
    let held = job.until("one at work, three waiting", is_held).await?;
    let waiting = condition(&held, WAITING).context("a condition")?;
    ensure!(waiting.reason == "OrderWaits", "{waiting:?}");
    settle().await;
    ensure!(is_held(&job.get().await?), "others have started");
    canary.exit(0)?;
    exit_well(job.pods().await?)?;
    job.until_ended("Completed", "done on 4 of 4 nodes").await?;
    Ok(())
}

#[apply(alone_test)]
async fn a_label_that_changes_counts_at_once(cx: &Test) -> Result<()> {
    let _processes = cx.both().await?;
    let (job, canary) = begin_on_canary(cx, "relabelled").await?;
    settle().await;
    ensure!(is_held(&job.get().await?), "others have started");
    // No node is left that comes first, and nothing else has changed.
    cx.label_node("canary-1", json!({CANARY: null})).await?;
    exit_well(job.pods().await?)?;
    canary.exit(0)?;
    job.until_ended("Completed", "done on 4 of 4 nodes").await?;
    Ok(())
}
