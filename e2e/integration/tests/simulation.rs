//! The simulated nodes themselves: what the other tests rely on, with a DaemonSet and no operator.

use std::time::Duration;

use anyhow::{Result, ensure};
use futures::{AsyncBufReadExt as _, TryStreamExt as _};
use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::LogParams;
use serde_json::json;
use testbed::manifests;
use testbed::simulated_work::{Distribution, End, Work};
use testbed::simulation::SimPod;

use crate::cluster::NODES;
use crate::test::{Test, shared_test};

/// A DaemonSet for all Linux nodes, with a readiness gate.
async fn create_daemon_set(cx: &Test) -> Result<()> {
    let pod = json!({
        "nodeSelector": {"kubernetes.io/os": "linux"},
        "tolerations": [{"operator": "Exists"}],
        "readinessGates": [{"conditionType": "example.com/Done"}],
        "containers": [{"name": "main", "image": "example.com/main:1"}],
    });
    let daemon_set = manifests::daemon_set("simulated", &pod)?;
    cx.create::<DaemonSet>(json!(daemon_set)).await?;
    Ok(())
}

async fn pod_on(cx: &Test, node: &str) -> Result<SimPod> {
    let what = format!("running pod on {node}");
    let matches = |pod: &SimPod| pod.node().as_deref() == Some(node) && pod.is_running();
    cx.sim().wait_for(&cx.namespace, &what, matches).await
}

#[apply(shared_test)]
async fn log_is_followed_through_the_api_server_until_the_container_exits(cx: &Test) -> Result<()> {
    create_daemon_set(cx).await?;
    let pod = pod_on(cx, "worker-1").await?;
    pod.log("before\n")?;
    let params = LogParams { follow: true, ..LogParams::default() };
    let api: Api<Pod> = cx.api();
    let mut lines = api.log_stream(&pod.name(), &params).await?.lines();
    ensure!(lines.try_next().await?.as_deref() == Some("before"));
    pod.log("af")?;
    pod.log("ter\n")?;
    ensure!(lines.try_next().await?.as_deref() == Some("after"));
    pod.exit(1)?;
    ensure!(lines.try_next().await?.is_none(), "the stream ends");
    Ok(())
}

#[apply(shared_test)]
async fn pods_end_by_themselves_as_they_were_told(cx: &Test) -> Result<()> {
    let times =
        Distribution { mean: Duration::from_millis(50), cap: Duration::from_millis(200), seed: 1 };
    let work = Work::new(times, |node| match node {
        "control-plane" => End::Word,
        "worker-1" => End::Exit(3),
        _ => End::Held,
    });
    work.assign(cx.sim(), &cx.namespace);
    create_daemon_set(cx).await?;
    let [word, exit, held] = NODES;
    work.until(|counts| counts.started == NODES.len() && counts.ended == 2).await;
    let pods: Api<Pod> = cx.api();
    let said = pods.logs(&pod_on(cx, word).await?.name(), &LogParams::default()).await?;
    ensure!(said == "done\n", "{said:?}");
    let failed = cx.sim().wait_for(&cx.namespace, "pod that failed", |pod| {
        pod.node().as_deref() == Some(exit) && exit_code(&pod.object()) == Some(3)
    });
    failed.await?;
    let pod = pod_on(cx, held).await?;
    ensure!(pods.logs(&pod.name(), &LogParams::default()).await?.is_empty());
    work.finish();
    work.until(|counts| counts.ended == NODES.len()).await;
    let said = pods.logs(&pod.name(), &LogParams::default()).await?;
    ensure!(said == "done\n", "{said:?}");
    Ok(())
}

fn exit_code(pod: &Pod) -> Option<i32> {
    let container = pod.status.as_ref()?.container_statuses.as_ref()?.first()?;
    Some(container.state.as_ref()?.terminated.as_ref()?.exit_code)
}
