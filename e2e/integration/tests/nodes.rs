//! Nodes that come and go while a Job runs. Those tests run alone that add some, for all Jobs see all nodes.

use anyhow::{Context as _, Result, ensure};
use api::job::conditions::COMPLETE;
use api::job::{NodeState, Phase};
use serde_json::json;
use testbed::simulation::NodeSpec;

use crate::job::{exit_code_manifest, exit_well, log_done, manifest, phase};
use crate::test::{Test, alone_test, settle, shared_test};

#[apply(alone_test)]
async fn node_that_joins_is_waited_for_and_one_that_leaves_counts_no_more(cx: &Test) -> Result<()> {
    let (_operator, terminator) = cx.both().await?;
    cx.sim().add_node(&NodeSpec::linux("old-1")).await?;
    let (job, [first, second, third]) = cx.running(&manifest("swapped")).await?;
    log_done([&first, &second, &job.pod("old-1").await?])?;
    job.until_completed("3/4").await?;
    cx.sim().remove_node("old-1").await?;
    cx.sim().add_node(&NodeSpec::linux("new-1")).await?;
    job.pod("new-1").await?;
    job.until_completed("2/4").await?;
    third.log("done\n")?;
    // Four nodes have been done and four are wanted, but they are not the same.
    job.until_completed("3/4").await?;
    settle().await;
    ensure!(terminator.deletions("/jobs/swapped").is_empty());
    cx.sim().remove_node("new-1").await?;
    job.until_gone().await
}

/// The system-upgrade-controller takes host names for node names.
#[apply(alone_test)]
async fn nodes_count_by_name_and_uid_and_a_cordon_runs_nothing_again(cx: &Test) -> Result<()> {
    let _processes = cx.both().await?;
    for node in ["cordoned-1", "reinstalled-1"] {
        cx.sim().add_node(&NodeSpec::linux(node)).await?;
    }
    cx.sim().add_node(&NodeSpec::linux("node-1.example.com").host_name("worker-1")).await?;
    let (job, pods) = cx.running(&exit_code_manifest("counted")).await?;
    let named = job.pod("node-1.example.com").await?;
    let before = [job.pod("cordoned-1").await?, job.pod("reinstalled-1").await?];
    exit_well(&before)?;
    job.until_completed("2/6").await?;
    for unschedulable in [true, false] {
        cordon(cx, "cordoned-1", unschedulable).await?;
        settle().await;
        job.until_completed("2/6").await?;
        ensure!(job.pod("cordoned-1").await?.uid() == before[0].uid());
    }

    // Another node of the same name.
    cx.sim().remove_node("reinstalled-1").await?;
    cx.sim().add_node(&NodeSpec::linux("reinstalled-1")).await?;
    let after = job.pod_other_than("reinstalled-1", &before).await?;
    exit_well(&pods)?;
    job.until_completed("4/6").await?;
    settle().await;
    let running = job.get().await?;
    ensure!(phase(&running) == Some(Phase::Running));
    let nodes = running.status.context("a status")?.nodes;
    let names = nodes.iter().map(|node| node.name.as_str());
    ensure!(names.eq(["node-1.example.com", "reinstalled-1"]), "{nodes:?}");
    exit_well([&named, &after])?;
    job.until_ended("Completed", "done on 6 of 6 nodes").await?;
    Ok(())
}

#[apply(shared_test)]
async fn nodes_run_a_job_once_they_have_its_label_and_stay_done_without_it(
    cx: &Test,
) -> Result<()> {
    const LABEL: &str = "tests.daemonset.darkowlzz.space/selected";
    let _processes = cx.both().await?;
    let label = async |node: &str, value| cx.label_node(node, json!({LABEL: value})).await;
    let selected = ["worker-1", "worker-2"];
    label(selected[0], Some("true")).await?;
    let job = cx.apply(&exit_code_manifest("selective").node_selector(LABEL, "true")).await?;
    job.until_completed("0/1").await?;
    label(selected[1], Some("true")).await?;
    job.until_completed("0/2").await?;
    // As work does that takes its node out of its own selection.
    for node in selected {
        job.pod(node).await?.exit(0)?;
        label(node, None).await?;
    }
    let complete = job.until_condition(COMPLETE).await?;
    ensure!(complete.reason == "Completed", "{complete:?}");
    Ok(())
}

#[apply(alone_test)]
async fn node_that_is_lost_is_named_unreachable_and_waited_for(cx: &Test) -> Result<()> {
    let (_operator, terminator) = cx.both().await?;
    cx.sim().add_node(&NodeSpec::linux("lost-1")).await?;
    let (job, pods) = cx.running(&manifest("lost").deadline(3600)).await?;
    let lost = job.pod("lost-1").await?;
    log_done(&pods)?;
    job.until_completed("3/4").await?;
    cx.set_unreachable("lost-1", true).await?;
    job.until_node("lost-1", "unreachable", |node| node.state == NodeState::Unreachable).await?;
    let words = ["[\"lost-1\"]", "its deadline of 1h"];
    cx.until_explained("lost", "Unreachable", &words).await?;
    settle().await;
    ensure!(terminator.deletions("/jobs/lost").is_empty());
    cx.set_unreachable("lost-1", false).await?;
    job.until_node("lost-1", "back", |node| node.state == NodeState::Running).await?;
    lost.log("done\n")?;
    job.until_gone().await
}

/// As `kubectl cordon` and `uncordon`, with the taint that the node lifecycle controller adds.
async fn cordon(cx: &Test, node: &str, unschedulable: bool) -> Result<()> {
    let taint = json!({"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"});
    let taints = if unschedulable { vec![taint] } else { Vec::new() };
    cx.patch_node(node, json!({"unschedulable": unschedulable, "taints": taints})).await
}
