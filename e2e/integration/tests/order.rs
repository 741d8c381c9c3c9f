//! The order of nodes by their labels.

use anyhow::{Context as _, Result, ensure};
use api::job::conditions::WAITING;
use serde_json::json;

use crate::job::{condition, exit_code_manifest, exit_well};
use crate::test::{Test, shared_test};
use crate::turns::until_at_work;

/// The label of the nodes that come first.
const CANARY: &str = "tests.daemonset.darkowlzz.space/canary";

#[apply(shared_test)]
async fn nodes_wait_for_the_group_before_theirs_until_a_label_changes(cx: &Test) -> Result<()> {
    let _processes = cx.both().await?;
    cx.label_node("worker-1", json!({CANARY: "true"})).await?;
    let order = serde_json::from_value(json!([{"matchLabels": {CANARY: "true"}}]))?;
    let job = cx.apply(&exit_code_manifest("in-order").set(|spec| spec.order = order)).await?;
    job.pod("worker-1").await?;
    let held = until_at_work(&job, 1, 2).await?;
    let waiting = condition(&held, WAITING).context("a condition")?;
    ensure!(waiting.reason == "OrderWaits", "{waiting:?}");
    // No node is left that comes first, and nothing else has changed.
    cx.label_node("worker-1", json!({CANARY: null})).await?;
    exit_well(job.pods().await?)?;
    job.until_all_done().await
}
