//! Nodes that ordinary pods stay away from.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::{Node as KubeNode, Pod};
use kube::{Api, ResourceExt as _};

use super::scene::Scene;
use super::word::none_is_done;
use super::{job, manifest};

const JOB: &str = "everywhere";

/// The key of the taints.
const TAINT: &str = "e2e.daemonset.darkowlzz.space/kept-free";

/// Cordoned and tainted nodes run a Job as all others do, and lifting that while it runs, or beginning
/// it, changes nothing. Pods of other Jobs bear it as well.
pub(super) async fn run_a_job_too(scene: &Scene<'_>) -> Result<()> {
    // An interrupted run may have left some.
    open_all(scene).await?;
    let result = run(scene).await;
    result.and(open_all(scene).await)
}

async fn run(scene: &Scene<'_>) -> Result<()> {
    let (first, others) = scene.special_node()?;
    let emptied = node_without_ours(scene).await?;
    for node in &scene.nodes {
        scene.kubectl(&["cordon", node.name()], "").await?;
        taint(scene, node.name(), "NoSchedule").await?;
    }
    taint(scene, &emptied, "NoExecute").await?;
    let script = r"
        trap 'exit 0' TERM
        until [ -e /basetarget/go ]; do sleep 0.2; done
        echo done
        while :; do sleep 1; done
    ";
    scene.apply(&manifest::shell(scene, JOB, script).to_string()).await?;
    let job = scene.job(JOB);
    scene.until_running_everywhere().await?;
    none_is_done(scene, &job.get().await?)?;
    let before = pods(scene).await?;
    scene.touch([first], "go").await?;
    job.until_completed(&scene.of_all(1)).await?;

    open_all(scene).await?;
    scene.settle().await;
    scene.kubectl(&["cordon", first.name()], "").await?;
    taint(scene, &emptied, "NoExecute").await?;
    scene.settle().await;
    let running = job.get().await?;
    ensure!(
        job::status(&running).completed == Some(scene.of_all(1)),
        "{}",
        job::describe(&running)
    );
    let after = pods(scene).await?;
    ensure!(after == before, "pods were replaced: {before:?} became {after:?}");
    let (life, ()) = job.until_deleted(scene.touch(others, "go")).await?;
    ensure!(usize::try_from(life.status.desired)? == scene.nodes.len(), "{:?}", life.status);
    Ok(())
}

/// A node that our own pod can do without: the taint evicts it.
async fn node_without_ours(scene: &Scene<'_>) -> Result<String> {
    let ours = scene.cx.deployed.pods(scene.cx.client).await?;
    let is_ours = |name: &str| {
        ours.iter()
            .any(|pod| pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()) == Some(name))
    };
    let mut names = scene.nodes.iter().rev().map(|node| node.name());
    let name = names.find(|name| !is_ours(name)).context("our own pods are on every node")?;
    Ok(name.to_owned())
}

/// Lifts all that this scenario lays on nodes.
async fn open_all(scene: &Scene<'_>) -> Result<()> {
    let nodes: Api<KubeNode> = Api::all(scene.cx.client.clone());
    for node in &scene.nodes {
        scene.kubectl(&["uncordon", node.name()], "").await?;
        let taints = nodes.get(node.name()).await?.spec.unwrap_or_default().taints;
        // kubectl refuses to remove what is not there.
        if taints.iter().flatten().any(|taint| taint.key == TAINT) {
            scene.kubectl(&["taint", "node", node.name(), &format!("{TAINT}-")], "").await?;
        }
    }
    Ok(())
}

async fn taint(scene: &Scene<'_>, node: &str, effect: &str) -> Result<()> {
    let taint = format!("{TAINT}=:{effect}");
    scene.kubectl(&["taint", "node", node, "--overwrite", &taint], "").await
}

/// The UIDs of the pods.
async fn pods(scene: &Scene<'_>) -> Result<BTreeSet<String>> {
    let pods = scene.api::<Pod>().list(&Default::default()).await?;
    Ok(pods.items.iter().filter_map(|pod| pod.uid()).collect())
}
