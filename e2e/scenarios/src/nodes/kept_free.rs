//! Nodes that ordinary pods stay away from.

use anyhow::{Context as _, Result, ensure};
use harness::job_handle;
use k8s_openapi::api::core::v1::Node as KubeNode;
use kube::Api;

use crate::support::env::ScenarioEnv;

const JOB: &str = "everywhere";

/// The key of the taints.
const TAINT: &str = "e2e.daemonset.darkowlzz.space/kept-free";

/// Cordoned and tainted nodes run a Job as others do; changing that changes nothing.
pub(crate) async fn run_a_job_too(env: &ScenarioEnv<'_>) -> Result<()> {
    // An interrupted run may have left some.
    open_all(env).await?;
    let result = run(env).await;
    result.and(open_all(env).await)
}

async fn run(env: &ScenarioEnv<'_>) -> Result<()> {
    let (first, others) = env.special_node()?;
    // One that our own pod can do without: the taint evicts it.
    let emptied = env.nodes_without_ours().await?;
    let emptied = emptied.last().context("our own pods are on every node")?.name();
    for node in &env.nodes {
        env.kubectl(&["cordon", node.name()], "").await?;
        taint(env, node.name(), "NoSchedule").await?;
    }
    taint(env, emptied, "NoExecute").await?;
    let script = r"
        trap 'exit 0' TERM
        until [ -e /basetarget/go ]; do sleep 0.2; done
        echo done
        while :; do sleep 1; done
    ";
    env.apply(&env.shell(JOB, script)).await?;
    let job = env.job(JOB);
    env.until_running_everywhere().await?;
    env.none_is_done(&job.get().await?)?;
    let before = env.pod_uids().await?;
    env.touch([first], "go").await?;
    job.until_completed(&env.of_all(1)).await?;

    open_all(env).await?;
    env.settle().await;
    env.kubectl(&["cordon", first.name()], "").await?;
    taint(env, emptied, "NoExecute").await?;
    env.settle().await;
    let running = job.get().await?;
    ensure!(
        job_handle::status(&running).completed == Some(env.of_all(1)),
        "{}",
        job_handle::describe(&running)
    );
    let after = env.pod_uids().await?;
    ensure!(after == before, "pods were replaced: {before:?} became {after:?}");
    let (life, ()) = job.until_deleted(env.touch(others, "go")).await?;
    ensure!(usize::try_from(life.status.desired)? == env.nodes.len(), "{:?}", life.status);
    Ok(())
}

/// Lifts all that this scenario lays on nodes.
async fn open_all(env: &ScenarioEnv<'_>) -> Result<()> {
    let nodes: Api<KubeNode> = Api::all(env.cx.client.clone());
    for node in &env.nodes {
        env.kubectl(&["uncordon", node.name()], "").await?;
        let taints = nodes.get(node.name()).await?.spec.unwrap_or_default().taints;
        // kubectl refuses to remove what is not there.
        if taints.iter().flatten().any(|taint| taint.key == TAINT) {
            env.kubectl(&["taint", "node", node.name(), &format!("{TAINT}-")], "").await?;
        }
    }
    Ok(())
}

async fn taint(env: &ScenarioEnv<'_>, node: &str, effect: &str) -> Result<()> {
    let taint = format!("{TAINT}=:{effect}");
    env.kubectl(&["taint", "node", node, "--overwrite", &taint], "").await
}
