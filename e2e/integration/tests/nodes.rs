//! Nodes that come and go while a Job runs. These tests run alone, for all Jobs see all nodes.

use anyhow::{Context as _, Result, ensure};
use api::job::conditions::COMPLETE;
use api::job::{NodeState, Phase};
use serde_json::json;
use testbed::simulation::NodeSpec;

use crate::cluster::NODES;
use crate::job::{exit_code_manifest, exit_well, log_done, manifest, phase};
use crate::test::{Test, alone_test, settle};

#[apply(alone_test)]
async fn node_that_joins_is_waited_for(cx: &Test) -> Result<()> {
    let (_operator, terminator) = cx.both().await?;
    let (job, [first, second, third]) = cx.running(&manifest("joined")).await?;
    log_done([&first, &second])?;
    job.until_completed("2/3").await?;
    cx.sim().add_node(&NodeSpec::linux("joining-1")).await?;
    let joined = job.pod("joining-1").await?;
    job.until_completed("2/4").await?;
    third.log("done\n")?;
    job.until_completed("3/4").await?;
    settle().await;
    ensure!(terminator.deletions("/jobs/joined").is_empty());
    joined.log("done\n")?;
    job.until_gone().await
}

#[apply(alone_test)]
async fn node_that_leaves_no_longer_counts(cx: &Test) -> Result<()> {
    let _processes = cx.both().await?;
    cx.sim().add_node(&NodeSpec::linux("leaving-1")).await?;
    let job = cx.apply(&manifest("left")).await?;
    log_done(job.pods().await?)?;
    job.until_completed("3/4").await?;
    cx.sim().remove_node("leaving-1").await?;
    job.until_gone().await
}

#[apply(alone_test)]
async fn node_that_takes_the_place_of_a_completed_one_is_waited_for(cx: &Test) -> Result<()> {
    let (_operator, terminator) = cx.both().await?;
    cx.sim().add_node(&NodeSpec::linux("old-1")).await?;
    let (job, [first, second, third]) = cx.running(&manifest("swapped")).await?;
    log_done([&first, &second, &job.pod("old-1").await?])?;
    job.until_completed("3/4").await?;
    cx.sim().remove_node("old-1").await?;
    cx.sim().add_node(&NodeSpec::linux("new-1")).await?;
    let new = job.pod("new-1").await?;
    job.until_completed("2/4").await?;
    third.log("done\n")?;
    // Four nodes have been done and four are wanted, but they are not the same.
    job.until_completed("3/4").await?;
    settle().await;
    ensure!(terminator.deletions("/jobs/swapped").is_empty());
    new.log("done\n")?;
    job.until_gone().await
}

#[apply(alone_test)]
async fn cordoning_and_uncordoning_a_node_runs_nothing_again(cx: &Test) -> Result<()> {
    let _processes = cx.both().await?;
    cx.sim().add_node(&NodeSpec::linux("cordoned-1")).await?;
    let (job, pods) = cx.running(&exit_code_manifest("cordon")).await?;
    let cordoned = job.pod("cordoned-1").await?;
    cordoned.exit(0)?;
    job.until_completed("1/4").await?;
    for unschedulable in [true, false] {
        cordon(cx, "cordoned-1", unschedulable).await?;
        settle().await;
        job.until_completed("1/4").await?;
        ensure!(job.pod("cordoned-1").await?.uid() == cordoned.uid());
    }
    exit_well(&pods)?;
    job.until_ended("Completed", "done on 4 of 4 nodes").await?;
    Ok(())
}

#[apply(alone_test)]
async fn node_that_is_lost_is_named_unreachable_and_waited_for(cx: &Test) -> Result<()> {
    let (_operator, terminator) = cx.both().await?;
    cx.sim().add_node(&NodeSpec::linux("lost-1")).await?;
    let (job, pods) = cx.running(&manifest("lost")).await?;
    let lost = job.pod("lost-1").await?;
    log_done(&pods)?;
    job.until_completed("3/4").await?;
    let taint = json!({"key": "node.kubernetes.io/unreachable", "effect": "NoExecute"});
    cx.patch_node("lost-1", json!({"taints": [taint]})).await?;
    job.until_node("lost-1", "unreachable", |node| node.state == NodeState::Unreachable).await?;
    settle().await;
    ensure!(terminator.deletions("/jobs/lost").is_empty());
    cx.patch_node("lost-1", json!({"taints": null})).await?;
    job.until_node("lost-1", "back", |node| node.state == NodeState::Running).await?;
    lost.log("done\n")?;
    job.until_gone().await
}

#[apply(alone_test)]
async fn node_that_gets_the_label_of_a_running_job_later_runs_and_counts(cx: &Test) -> Result<()> {
    const LABEL: &str = "tests.daemonset.darkowlzz.space/selected";
    let _processes = cx.both().await?;
    for node in ["labelled-1", "labelled-2"] {
        cx.sim().add_node(&NodeSpec::linux(node)).await?;
    }
    let label = async |node: &str| cx.label_node(node, json!({LABEL: "true"})).await;
    label("labelled-1").await?;
    let manifest = exit_code_manifest("selective").node_selector(LABEL, "true");
    let job = cx.apply(&manifest).await?;
    job.until_completed("0/1").await?;
    label("labelled-2").await?;
    job.until_completed("0/2").await?;
    for node in ["labelled-1", "labelled-2"] {
        job.pod(node).await?.exit(0)?;
    }
    job.until_ended("Completed", "done on 2 of 2 nodes").await?;
    Ok(())
}

/// As `kubectl cordon` and `uncordon`, with the taint that the node lifecycle controller adds.
async fn cordon(cx: &Test, node: &str, unschedulable: bool) -> Result<()> {
    let taint = json!({"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"});
    let taints = if unschedulable { vec![taint] } else { Vec::new() };
    cx.patch_node(node, json!({"unschedulable": unschedulable, "taints": taints})).await
}

#[apply(alone_test)]
async fn node_that_comes_back_as_another_one_of_its_name_runs(cx: &Test) -> Result<()> {
    let _processes = cx.both().await?;
    cx.sim().add_node(&NodeSpec::linux("reinstalled-1")).await?;
    let (job, pods) = cx.running(&exit_code_manifest("reinstalled")).await?;
    let before = job.pod("reinstalled-1").await?;
    before.exit(0)?;
    job.until_completed("1/4").await?;
    cx.sim().remove_node("reinstalled-1").await?;
    cx.sim().add_node(&NodeSpec::linux("reinstalled-1")).await?;
    let after = job.pod_other_than("reinstalled-1", &[before]).await?;
    exit_well(&pods)?;
    job.until_completed("3/4").await?;
    settle().await;
    job.until_completed("3/4").await?;
    after.exit(0)?;
    job.until_ended("Completed", "done on 4 of 4 nodes").await?;
    Ok(())
}

/// The system-upgrade-controller takes host names for node names.
#[apply(alone_test)]
async fn node_whose_name_is_not_its_host_name_counts_by_its_name(cx: &Test) -> Result<()> {
    let _processes = cx.both().await?;
    cx.sim().add_node(&NodeSpec::linux("node-1.example.com").host_name("worker-1")).await?;
    let (job, pods) = cx.running(&exit_code_manifest("host-names")).await?;
    let named = job.pod("node-1.example.com").await?;
    exit_well(&pods)?;
    job.until_completed("3/4").await?;
    settle().await;
    let running = job.get().await?;
    ensure!(phase(&running) == Some(Phase::Running));
    let nodes = running.status.context("a status")?.nodes;
    ensure!(nodes.iter().map(|node| node.name.as_str()).eq(["node-1.example.com"]));
    named.exit(0)?;
    job.until_ended("Completed", "done on 4 of 4 nodes").await?;
    Ok(())
}

#[apply(alone_test)]
async fn nodes_that_the_work_takes_out_of_its_own_selection_stay_done(cx: &Test) -> Result<()> {
    let _processes = cx.both().await?;
    for node in NODES {
        cx.label_node(node, json!({"todo": "yes"})).await?;
    }
    let job = cx.apply(&exit_code_manifest("labels-itself").node_selector("todo", "yes")).await?;
    for (node, pod) in NODES.into_iter().zip(job.pods().await?) {
        pod.exit(0)?;
        cx.label_node(node, json!({"todo": null})).await?;
    }
    let complete = job.until_condition(COMPLETE).await?;
    ensure!(complete.reason == "Completed", "{complete:?}");
    Ok(())
}
