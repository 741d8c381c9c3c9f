//! Sandboxes of pods end while Jobs run, and with them all that runs in them.
//!
//! The kubelet creates others, and starts the work again, which is no failure.

use anyhow::{Context as _, Result, ensure};
use api::job::{NodeState, Phase};
use api::labels;
use harness::job_builder::JobBuilder;
use harness::job_handle::{describe, find_node, finished, status};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use testbed::faults::kill;
use testbed::kind::Node;

use crate::support::env::ScenarioEnv;
use crate::support::work::{self, Containers, Work};

/// How often sandboxes end: more often than a failure would be forgiven.
const TIMES: usize = 2;

/// They are stopped, as an administrator of a node may do: what runs in them is killed.
pub(crate) async fn stopped(env: &ScenarioEnv<'_>) -> Result<()> {
    let work = Work::start(env).await?;
    let (node, others) = env.special_node()?;
    let all: Vec<_> = env.nodes.iter().collect();
    let mut containers = work.until_running_on(&all).await?;
    let others: Vec<_> = others.iter().collect();
    work.open(&others).await?;
    work.until_done_on(others.len(), all.len()).await?;
    for _ in 0..TIMES {
        kill::stop_sandboxes(env.cx.cluster, node, env.namespace()).await?;
        containers.extend(work.until_running_again(&[node], &containers).await?);
        work.none_ends().await?;
    }
    // Those of nodes that are done end as well, which takes nothing back.
    for node in &others {
        kill::stop_sandboxes(env.cx.cluster, node, env.namespace()).await?;
    }
    work.none_ends().await?;
    work.open(&[node]).await?;
    work.until_gone(&all).await
}

/// Their own processes die: what then ends with 0 is not done.
pub(crate) async fn dead(env: &ScenarioEnv<'_>) -> Result<()> {
    let work = Work::start_that_ends_with(env, 0).await?;
    let (node, _) = env.special_node()?;
    let all: Vec<_> = env.nodes.iter().collect();
    let mut containers = work.until_running_on(&all).await?;
    for _ in 0..TIMES {
        kill::sandboxes(env.cx.cluster, node, env.namespace()).await?;
        containers.extend(work.until_running_again(&[node], &containers).await?);
        work.none_ends().await?;
    }
    work.open(&all).await?;
    work.until_gone(&all).await
}

/// What has failed before stays counted, and what fails afterwards counts.
pub(crate) async fn failed_before(env: &ScenarioEnv<'_>) -> Result<()> {
    let (node, others) = env.special_node()?;
    let names = ["logs-a-word", "exits"];
    for name in names {
        env.apply(&failing(env, name, node)).await?;
    }
    let before = until_second_run(env, node, &Containers::new()).await?;
    kill::stop_sandboxes(env.cx.cluster, node, env.namespace()).await?;
    until_second_run(env, node, &before).await?;
    env.settle().await;
    for name in names {
        let job = env.job(name).get().await?;
        ensure!(status(&job).failed == 0 && finished(&job).is_none(), "{}", describe(&job));
    }
    env.touch([node], "fail").await?;
    env.touch(others, "go").await?;
    let message = format!(
        "done on {} of {} nodes, failed on: {}",
        others.len(),
        env.nodes.len(),
        node.name()
    );
    for name in names {
        let job = env.job(name).until_ended("NodesFailed", &message).await?;
        let is_so = status(&job).phase == Some(Phase::Failed) && status(&job).failed == 1;
        ensure!(is_so, "{}", describe(&job));
        let failed = find_node(&job, node.name()).context("the failed node is not listed")?;
        let is_so = failed.state == NodeState::Failed && failed.exit_code == Some(3);
        ensure!(is_so && failed.restarts >= 1, "{failed:?}");
        let message = failed.message.as_deref().unwrap_or_default();
        ensure!(message.contains("no space left"), "what it logged last is lost: {failed:?}");
    }
    Ok(())
}

/// Waits until another container of each Job runs on the node, at least its second.
async fn until_second_run(
    env: &ScenarioEnv<'_>,
    node: &Node,
    before: &Containers,
) -> Result<Containers> {
    env.until_pods("a further run of both Jobs", |pods| {
        let running = work::running_containers(pods, &[node], before);
        let is_later = |pod: &&&Pod| running.contains_key(&pod.name_any()) && restarts(pod) > 0;
        let is_so =
            running.len() == 2 && (!before.is_empty() || pods.iter().filter(is_later).count() == 2);
        is_so.then_some(running)
    })
    .await
}

/// How often the working container was started again, as the kubelet counts.
fn restarts(pod: &Pod) -> i32 {
    let statuses = pod.status.iter().flat_map(|status| {
        status.init_container_statuses.iter().chain(&status.container_statuses).flatten()
    });
    let of_work = statuses.filter(|container| container.name == labels::JOB_CONTAINER);
    of_work.map(|container| container.restart_count).max().unwrap_or_default()
}

/// A Job that forgives one failed run.
///
/// On one node it fails at once the first time, and then when the file `fail` is there; on the others it
/// is done when the file `go` is there.
fn failing(env: &ScenarioEnv<'_>, name: &str, node: &Node) -> JobBuilder {
    let node = node.name();
    let script = format!(
        r#"
        trap 'exit 143' TERM
        if [ "$NODE" = {node} ]; then
            if [ -e /basetarget/{name}-failed ]; then
                until [ -e /basetarget/fail ]; do sleep 0.2; done
            fi
            touch /basetarget/{name}-failed
            echo "no space left" >&2
            exit 3
        fi
        until [ -e /basetarget/go ]; do sleep 0.2; done
        [ {name} = exits ] && exit 0
        echo done
        while :; do sleep 1; done
        "#
    );
    let job = env.shell(name, &script).with_node_name().backoff_limit(1);
    match name {
        "exits" => job.exit_code(),
        _ => job,
    }
}
