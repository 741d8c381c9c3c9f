//! Never more nodes at work than the limit allows.

use std::time::Duration;

use anyhow::{Result, ensure};
use harness::job_handle::status;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde_json::json;
use testbed::simulated_work::{Distribution, End, Work};
use testbed::simulation::NodeSpec;

use super::places::Places;
use super::{apply_in_order, gated, in_turn, patch, until_at_work};
use crate::cluster::NODES;
use crate::job::exit_code_manifest;
use crate::test::{Test, alone_test, shared_test};

/// Nodes beside [`NODES`].
const MORE_NODES: usize = 9;

#[apply(alone_test)]
async fn limit_is_reached_and_never_exceeded_as_a_number_and_per_cent(cx: &Test) -> Result<()> {
    let more = (1..=MORE_NODES).map(|number| NodeSpec::linux(format!("turn-{number}")));
    cx.sim().add_nodes(more.collect()).await?;
    let times =
        Distribution { mean: Duration::from_millis(30), cap: Duration::from_millis(100), seed: 1 };
    Work::new(times, |_| End::Exit(0)).assign(cx.sim(), &cx.namespace);
    let _processes = cx.both().await?;
    let places = Places::watch(cx).await?;
    let all = NODES.len() + MORE_NODES;
    let limits = [
        (IntOrString::Int(1), 1),
        (IntOrString::Int(2), 2),
        // 10 % of 12 is 1.2, and rounded up.
        (IntOrString::String("10%".to_owned()), 2),
        (IntOrString::String("100%".to_owned()), all),
    ];
    for (number, (parallelism, limit)) in limits.into_iter().enumerate() {
        places.reset();
        let name = format!("limited-{number}");
        let manifest = exit_code_manifest(&name);
        let job = cx.apply(&manifest.set(|spec| spec.parallelism = Some(parallelism))).await?;
        job.until_ended("Completed", &format!("done on {all} of {all} nodes")).await?;
        ensure!(places.started() == all, "{name}: {places:?}");
        // All at once is no promise: the first may be done before the last one starts.
        let most = places.most();
        ensure!(most <= limit && (most == limit || limit == all), "{name}: {places:?}");
        job.delete().await?;
        job.until_gone().await?;
    }
    Ok(())
}

#[apply(shared_test)]
async fn limit_that_is_edited_counts_from_then_on_and_stops_nobody(cx: &Test) -> Result<()> {
    let _processes = cx.both().await?;
    let job = apply_in_order(cx, in_turn("edited", 0), 1).await?;
    until_at_work(&job, 1, 2).await?;
    patch(&job, json!({"parallelism": 2})).await?;
    until_at_work(&job, 2, 1).await?;
    // Less than are at work: they go on, and the next one waits for both.
    patch(&job, json!({"parallelism": 1})).await?;
    until_at_work(&job, 2, 1).await?;
    job.pod(NODES[0]).await?.exit(0)?;
    let now = until_at_work(&job, 1, 1).await?;
    ensure!(status(&now).succeeded == 1);
    patch(&job, json!({"parallelism": 0})).await?;
    job.pod(NODES[1]).await?.exit(0)?;
    until_at_work(&job, 0, 1).await?;
    ensure!(gated(&job).await?.len() == 1);
    patch(&job, json!({"parallelism": null})).await?;
    job.pod(NODES[2]).await?.exit(0)?;
    job.until_all_done().await
}

#[apply(shared_test)]
async fn place_is_free_only_after_the_seconds_for_which_a_node_must_be_ready(
    cx: &Test,
) -> Result<()> {
    let _processes = cx.both().await?;
    let manifest = in_turn("baked", 0).set(|spec| spec.min_ready_seconds = Some(3600));
    let job = apply_in_order(cx, manifest, 1).await?;
    job.pod(NODES[0]).await?.exit(0)?;
    job.until_completed("1/3").await?;
    until_at_work(&job, 0, 2).await?;
    // To lower them is how a user lets the rest go on.
    patch(&job, json!({"minReadySeconds": 0, "parallelism": 2})).await?;
    for node in &NODES[1..] {
        job.pod(node).await?.exit(0)?;
    }
    job.until_all_done().await
}

#[apply(shared_test)]
async fn limit_holds_over_a_suspension_that_is_taken_back_at_once(cx: &Test) -> Result<()> {
    let time = Distribution::constant(Duration::from_millis(500));
    Work::new(time, |_| End::Exit(0)).assign(cx.sim(), &cx.namespace);
    let _processes = cx.both().await?;
    let places = Places::watch(cx).await?;
    let job = cx.apply(&in_turn("hasty", 1)).await?;
    job.another_pod(&[]).await?;
    for suspended in [true, false, true, false] {
        patch(&job, json!({"suspend": suspended})).await?;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    job.until_completed("3/3").await?;
    ensure!(places.most() == 1, "{places:?}");
    Ok(())
}
