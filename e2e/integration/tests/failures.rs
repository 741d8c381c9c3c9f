//! Containers that fail: when a node has failed, and when with it the Job.

use anyhow::{Context as _, Result, ensure};
use api::job::conditions::FAILED;
use api::job::{Job, NodeState, Phase};
use harness::job_builder::JobBuilder;
use kube::ResourceExt as _;
use serde_json::json;

use crate::job::{condition, find_node, log_done, manifest, phase};
use crate::test::{Test, settle, shared_test};

/// An ExitCode Job with these limits.
fn limited(name: &str, backoff_limit: i32, max_failed_nodes: Option<i32>) -> JobBuilder {
    let manifest = manifest(name).exit_code().backoff_limit(backoff_limit);
    match max_failed_nodes {
        Some(nodes) => manifest.max_failed_nodes(nodes),
        None => manifest,
    }
}

fn counts(job: &Job) -> Result<(i32, i32, i32)> {
    let status = job.status.as_ref().context("a status")?;
    Ok((status.succeeded, status.failed, status.active))
}

#[apply(shared_test)]
async fn failed_node_stops_no_other_and_fails_the_job_in_the_end(cx: &Test) -> Result<()> {
    let (_operator, terminator) = cx.both().await?;
    let job = cx.apply(&limited("one-fails", 0, Some(1))).await?;
    let uid = job.get().await?.uid();
    let [first, failing, third] = job.pods().await?;
    failing.exit_with(3, "cannot")?;
    let failed = |node: &api::job::NodeStatus| node.state == NodeState::Failed;
    job.until_node("worker-1", "failed", failed).await?;
    first.exit(0)?;
    job.until_completed("1/3").await?;
    settle().await;
    let now = job.get().await?;
    ensure!(phase(&now) == Some(Phase::Running), "{:?}", now.status);
    ensure!(counts(&now)? == (1, 1, 1), "{:?}", now.status);
    ensure!(third.is_running());
    third.exit(0)?;

    let message = "done on 2 of 3 nodes, failed on: worker-1";
    let ended = job.until_ended("NodesFailed", message).await?;
    ensure!(phase(&ended) == Some(Phase::Failed));
    ensure!(counts(&ended)? == (2, 1, 0), "{:?}", ended.status);
    let node = find_node(&ended, "worker-1").context("the node")?;
    ensure!((node.restarts, node.exit_code) == (0, Some(3)), "{node:?}");
    ensure!(node.message.as_deref() == Some("Error: cannot"), "{node:?}");
    job.until_stopped().await?;

    settle().await;
    let kept = job.get().await?;
    ensure!(kept.uid() == uid);
    ensure!(kept.status == ended.status, "{:?}", kept.status);
    ensure!(terminator.deletions("/jobs/one-fails").is_empty());
    let reported = cx.events("NodesFailed").await?;
    let reported = reported.iter().map(|it| (it.type_.as_deref(), it.message.as_deref()));
    ensure!(reported.eq([(Some("Warning"), Some(message))]), "not one warning");
    Ok(())
}

#[apply(shared_test)]
async fn as_many_failed_runs_as_the_limit_are_forgiven_and_no_more(cx: &Test) -> Result<()> {
    let _processes = cx.both().await?;
    let (job, [first, failing, recovering]) = cx.running(&limited("second-run", 1, None)).await?;
    first.exit(0)?;
    for pod in [&failing, &recovering] {
        pod.exit(1)?;
    }
    for node in ["worker-1", "worker-2"] {
        let seen = job.until_node(node, "has exited", |n| n.exit_code == Some(1)).await?;
        ensure!(seen.state == NodeState::Pending, "{seen:?}");
    }
    settle().await;
    ensure!(counts(&job.get().await?)? == (1, 0, 2));
    let words = ["\"severity\":\"warning\"", "[\"worker-1\",\"worker-2\"]"];
    cx.until_explained("second-run", "Restarts", &words).await?;
    for pod in [&failing, &recovering] {
        pod.restart()?;
    }
    recovering.exit(0)?;
    job.until_completed("2/3").await?;
    // The last run that is forgiven, and one more.
    failing.exit(2)?;
    let message = "done on 2 of 3 nodes, failed on: worker-1";
    let ended = job.until_ended("NodesFailed", message).await?;
    let node = find_node(&ended, "worker-1").context("the node")?;
    ensure!((node.restarts, node.exit_code) == (1, Some(2)), "{node:?}");
    let words = ["retry second-run --failed-only"];
    cx.until_explained("second-run", "NodesFailed", &words).await?;
    job.until_stopped().await
}

#[apply(shared_test)]
async fn first_failed_node_ends_a_job_that_bears_none_at_once_for_good(cx: &Test) -> Result<()> {
    let (operator, terminator) = cx.both().await?;
    let (job, [first, failing, _running]) = cx.running(&limited("bears-none", 0, Some(0))).await?;
    first.exit(0)?;
    job.until_completed("1/3").await?;
    failing.exit(1)?;
    let message = "1 node failed, more than the 0 of spec.maxFailedNodes: worker-1";
    let ended = job.until_ended("MaxFailedNodesExceeded", message).await?;
    ensure!(counts(&ended)? == (1, 1, 1), "{:?}", ended.status);
    ensure!(ended.status.context("a status")?.completed.as_deref() == Some("1/3"));
    // The one that runs is stopped, the one that fails is not started again and again.
    job.until_stopped().await?;
    let words = ["More nodes failed than maxFailedNodes", "retry bears-none --failed-only"];
    let found = cx.until_explained("bears-none", "NodesFailed", &words).await?;
    ensure!(found["nodes"] == json!(["worker-1"]), "{found}");

    // Processes that start anew leave it as it is.
    operator.until_quiet().await?;
    operator.kill();
    terminator.kill();
    let before = job.get().await?;
    let (operator, terminator) = cx.both().await?;
    settle().await;
    let now = job.get().await?;
    ensure!(condition(&now, FAILED).is_some(), "{:?}", now.status);
    ensure!(now.resource_version() == before.resource_version(), "{:?}", now.status);
    let writes = [operator.writes(), terminator.writes()].concat();
    ensure!(writes.is_empty(), "{writes:?}");
    Ok(())
}

#[apply(shared_test)]
async fn job_that_bears_one_failed_node_is_ended_by_the_second(cx: &Test) -> Result<()> {
    let _processes = cx.both().await?;
    let (job, [running, failing, failing_later]) =
        cx.running(&limited("bears-one", 0, Some(1))).await?;
    failing.exit(1)?;
    let failed = |node: &api::job::NodeStatus| node.state == NodeState::Failed;
    job.until_node("worker-1", "failed", failed).await?;
    settle().await;
    ensure!(phase(&job.get().await?) == Some(Phase::Running));
    ensure!(running.is_running());
    failing_later.exit(1)?;
    let message = "2 nodes failed, more than the 1 of spec.maxFailedNodes: worker-1, worker-2";
    let ended = job.until_ended("MaxFailedNodesExceeded", message).await?;
    let nodes = ended.status.context("a status")?.nodes;
    let listed: Vec<_> = nodes.iter().map(|n| (n.name.as_str(), n.state)).collect();
    let expected = [
        ("worker-1", NodeState::Failed),
        ("worker-2", NodeState::Failed),
        ("control-plane", NodeState::Running),
    ];
    ensure!(listed == expected, "those that failed come first: {listed:?}");
    job.until_stopped().await
}

#[apply(shared_test)]
async fn container_that_ends_without_its_word_has_failed_with_any_code(cx: &Test) -> Result<()> {
    let _processes = cx.both().await?;
    let (job, [first, wordless, third]) =
        cx.running(&manifest("wordless").backoff_limit(0)).await?;
    wordless.log("finished, but not saying so\n")?;
    wordless.exit(0)?;
    log_done([&first, &third])?;
    let message = "done on 2 of 3 nodes, failed on: worker-1";
    job.until_ended("NodesFailed", message).await?;
    job.until_stopped().await
}

#[apply(shared_test)]
async fn container_that_exits_has_not_failed_before_its_log_is_read(cx: &Test) -> Result<()> {
    let (_operator, terminator) = cx.both().await?;
    let job = cx.apply(&manifest("brief").backoff_limit(0)).await?;
    let pod = job.pod("worker-1").await?;
    terminator.kill();
    pod.log("done\n")?;
    pod.exit(1)?;
    settle().await;
    ensure!(counts(&job.get().await?)?.1 == 0, "it has failed unheard");
    let _terminator = cx.terminator().await?;
    job.until_completed("1/3").await?;
    Ok(())
}
