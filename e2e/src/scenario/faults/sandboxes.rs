//! Sandboxes of pods end while Jobs run, and with them all that runs in them.
//!
//! The kubelet creates others, and starts the work again, which is no failure.

use anyhow::{Result, ensure};
use api::names;
use api::v1beta1::{NodeState, Phase};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;

use super::work::{Containers, Work};
use crate::cluster::Node;
use crate::fault::strike;
use crate::scenario::scene::Scene;
use crate::scenario::{job, manifest};

/// How often sandboxes end: more often than a failure would be forgiven.
const TIMES: usize = 2;

/// They are stopped, as whoever keeps a node may do: what runs in them is killed.
pub(in crate::scenario) async fn stopped(scene: &Scene<'_>) -> Result<()> {
    let work = Work::start(scene).await?;
    let (node, others) = scene.special_node()?;
    let all: Vec<_> = scene.nodes.iter().collect();
    let mut containers = work.until_running_on(&all).await?;
    let others: Vec<_> = others.iter().collect();
    work.open(&others).await?;
    work.until_done_on(others.len(), all.len()).await?;
    for _ in 0..TIMES {
        strike::stop_sandboxes(scene.cx.cluster, node, scene.namespace()).await?;
        containers.extend(work.until_running_again(&[node], &containers).await?);
        work.none_ends().await?;
    }
    // Those of nodes that are done end as well, which takes nothing back.
    for node in &others {
        strike::stop_sandboxes(scene.cx.cluster, node, scene.namespace()).await?;
    }
    work.none_ends().await?;
    work.open(&[node]).await?;
    work.until_gone(&all).await
}

/// Their own processes die, so that the kubelet asks what runs in them to end.
///
/// What ends with 0 then is not done.
pub(in crate::scenario) async fn dead(scene: &Scene<'_>) -> Result<()> {
    let work = Work::start_that_ends_with(scene, 0).await?;
    let (node, _) = scene.special_node()?;
    let all: Vec<_> = scene.nodes.iter().collect();
    let mut containers = work.until_running_on(&all).await?;
    for _ in 0..TIMES {
        strike::kill_sandboxes(scene.cx.cluster, node, scene.namespace()).await?;
        containers.extend(work.until_running_again(&[node], &containers).await?);
        work.none_ends().await?;
    }
    work.open(&all).await?;
    work.until_gone(&all).await
}

/// What has failed before stays counted, and what fails afterwards counts.
pub(in crate::scenario) async fn failed_before(scene: &Scene<'_>) -> Result<()> {
    let (node, others) = scene.special_node()?;
    let names = ["logs-a-word", "exits"];
    for name in names {
        scene.apply(&failing(scene, name, node)).await?;
    }
    let before = until_second_run(scene, node, &Containers::new()).await?;
    strike::stop_sandboxes(scene.cx.cluster, node, scene.namespace()).await?;
    until_second_run(scene, node, &before).await?;
    scene.settle().await;
    for name in names {
        let job = scene.job(name).get().await?;
        let status = job::status(&job);
        ensure!(status.failed == 0 && job::finished(&job).is_none(), "{}", job::describe(&job));
    }
    scene.touch([node], "fail").await?;
    scene.touch(others, "go").await?;
    for name in names {
        let (job, condition) = scene.job(name).until_finished().await?;
        let status = job::status(&job);
        let is_so = status.phase == Some(Phase::Failed) && condition.reason == "NodesFailed";
        ensure!(is_so && status.failed == 1, "{}", job::describe(&job));
        let told = job::node(&status, node.name())?;
        ensure!(told.state == NodeState::Failed && told.exit_code == Some(3), "{told:?}");
    }
    Ok(())
}

/// Waits until a container of each Job runs on the node that is none of these.
///
/// If there are none yet, it must be the second.
async fn until_second_run(
    scene: &Scene<'_>,
    node: &Node,
    before: &Containers,
) -> Result<Containers> {
    scene
        .until_pods("a further run of both Jobs", |pods| {
            let on_node = pods.iter().filter(|pod| {
                pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()) == Some(node.name())
            });
            let running: Containers = on_node
                .filter_map(|pod| {
                    let container = super::work::running_container(pod)?;
                    Some((pod.name_any(), container.to_owned()))
                })
                .filter(|(pod, container)| before.get(pod) != Some(container))
                .collect();
            let is_later = |pod: &&&Pod| running.contains_key(&pod.name_any()) && restarts(pod) > 0;
            let is_so = running.len() == 2
                && (!before.is_empty() || pods.iter().filter(is_later).count() == 2);
            is_so.then_some(running)
        })
        .await
}

/// How often the working container was started again, as the kubelet counts.
fn restarts(pod: &Pod) -> i32 {
    let statuses = pod.status.iter().flat_map(|status| {
        status.init_container_statuses.iter().chain(&status.container_statuses).flatten()
    });
    let of_work = statuses.filter(|container| container.name == names::JOB_CONTAINER);
    of_work.map(|container| container.restart_count).max().unwrap_or_default()
}

/// A Job that forgives one failed run.
///
/// On one node it fails at once the first time, and then when the file `fail` is there; on the others it is done when
/// the file `go` is there.
fn failing(scene: &Scene<'_>, name: &str, node: &Node) -> String {
    let node = node.name();
    let script = format!(
        r#"
        trap 'exit 143' TERM
        if [ "$NODE" = {node} ]; then
            if [ -e /basetarget/{name}-failed ]; then
                until [ -e /basetarget/fail ]; do sleep 0.2; done
            fi
            touch /basetarget/{name}-failed
            exit 3
        fi
        until [ -e /basetarget/go ]; do sleep 0.2; done
        [ {name} = exits ] && exit 0
        echo done
        while :; do sleep 1; done
        "#
    );
    let mut job = manifest::shell(scene, name, &script);
    job["spec"]["template"] = manifest::node_name();
    job["spec"]["backoffLimitPerNode"] = 1.into();
    if name == "exits" {
        job["spec"]["completionMode"] = "ExitCode".into();
    }
    job.to_string()
}
