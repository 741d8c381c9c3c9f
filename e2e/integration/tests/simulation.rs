//! The simulated nodes themselves: what the other tests rely on, with a DaemonSet and no operator.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use futures::{AsyncBufReadExt as _, AsyncReadExt as _, TryStreamExt as _};
use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{DeleteParams, LogParams, Patch, PatchParams, PostParams};
use serde_json::json;
use testbed::simulated_work::{Distribution, End, Work};

use crate::cluster::{NODES, WINDOWS_NODE};
use crate::test::{Test, shared};

/// A DaemonSet for all Linux nodes, with a readiness gate.
async fn create_daemon_set(cx: &Test) -> Result<()> {
    let labels = json!({"app": "simulated"});
    let object = serde_json::from_value(json!({
        "metadata": {"name": "simulated"},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "nodeSelector": {"kubernetes.io/os": "linux"},
                    "tolerations": [{"operator": "Exists"}],
                    "readinessGates": [{"conditionType": "example.com/Done"}],
                    "containers": [{"name": "main", "image": "example.com/main:1"}],
                },
            },
        },
    }))?;
    cx.api::<DaemonSet>().create(&PostParams::default(), &object).await?;
    Ok(())
}

fn scheduled_and_ready(daemon_set: &DaemonSet) -> Option<(i32, i32)> {
    let status = daemon_set.status.as_ref()?;
    Some((status.current_number_scheduled, status.number_ready))
}

async fn pod_on(cx: &Test, node: &str) -> Result<testbed::simulation::SimPod> {
    let what = format!("running pod on {node}");
    let matches =
        |pod: &testbed::simulation::SimPod| pod.node().as_deref() == Some(node) && pod.is_running();
    cx.sim().wait_for(&cx.namespace, &what, matches).await
}

#[test]
fn daemon_set_runs_on_every_linux_node_and_on_no_other() {
    shared(async |cx| {
        create_daemon_set(cx).await?;
        for node in NODES {
            pod_on(cx, node).await?;
        }
        let pods = cx.sim().pods(&cx.namespace);
        ensure!(pods.len() == NODES.len(), "{} pods", pods.len());
        ensure!(pods.iter().all(|pod| pod.node().as_deref() != Some(WINDOWS_NODE)));
        Ok(())
    });
}

#[test]
fn pod_is_ready_once_its_readiness_gate_is_true() {
    shared(async |cx| {
        create_daemon_set(cx).await?;
        let pod = pod_on(cx, "worker-1").await?;
        let daemon_sets = cx.api::<DaemonSet>();
        cx.wait()
            .object(daemon_sets.clone(), "simulated", "3 scheduled, 0 ready", |object| {
                scheduled_and_ready(object) == Some((3, 0))
            })
            .await?;
        let gate = json!({"type": "example.com/Done", "status": "True"});
        let patch = json!({"metadata": {"uid": pod.uid()}, "status": {"conditions": [gate]}});
        cx.api::<Pod>()
            .patch_status(&pod.name(), &PatchParams::default(), &Patch::Strategic(patch))
            .await?;
        cx.wait()
            .object(daemon_sets.clone(), "simulated", "3 scheduled, 1 ready", |object| {
                scheduled_and_ready(object) == Some((3, 1))
            })
            .await?;
        Ok(())
    });
}

#[test]
fn log_is_followed_through_the_api_server_until_the_container_exits() {
    shared(async |cx| {
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
    });
}

#[test]
fn restarted_container_has_a_new_log_and_counts() {
    shared(async |cx| {
        create_daemon_set(cx).await?;
        let pod = pod_on(cx, "worker-1").await?;
        pod.log("first run\n")?;
        pod.exit(7)?;
        pod.restart()?;
        pod.log("second run\n")?;
        let api: Api<Pod> = cx.api();
        let name = pod.name();
        let wait = cx.wait();
        let restarted = wait.object(api.clone(), &name, "to have restarted", |pod| {
            container_status(pod).is_some_and(|status| status.restart_count == 1)
        });
        let object = restarted.await?;
        let status = container_status(&object).context("a status")?;
        let last = status.last_state.as_ref().and_then(|s| s.terminated.as_ref());
        ensure!(last.context("a last state")?.exit_code == 7);
        let current = api.logs(&pod.name(), &LogParams::default()).await?;
        ensure!(current == "second run\n", "{current:?}");
        let previous = LogParams { previous: true, ..LogParams::default() };
        let previous = api.logs(&pod.name(), &previous).await?;
        ensure!(previous == "first run\n", "{previous:?}");
        Ok(())
    });
}

#[test]
fn deleted_pod_goes_away_ends_its_log_and_is_replaced() {
    shared(async |cx| {
        create_daemon_set(cx).await?;
        let pod = pod_on(cx, "worker-1").await?;
        let params = LogParams { follow: true, ..LogParams::default() };
        let api: Api<Pod> = cx.api();
        let mut log = api.log_stream(&pod.name(), &params).await?;
        api.delete(&pod.name(), &DeleteParams::default()).await?;
        let mut text = String::new();
        log.read_to_string(&mut text).await?;
        let what = "a new pod on worker-1";
        cx.sim()
            .wait_for(&cx.namespace, what, |new| {
                new.node() == pod.node() && new.uid() != pod.uid() && new.is_running()
            })
            .await?;
        Ok(())
    });
}

#[test]
fn pods_end_by_themselves_as_they_were_told() {
    shared(async |cx| {
        let times = Distribution {
            mean: Duration::from_millis(50),
            cap: Duration::from_millis(200),
            seed: 1,
        };
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
            pod.node().as_deref() == Some(exit)
                && container_status(&pod.object()).is_some_and(|status| {
                    let end = status.state.as_ref().and_then(|state| state.terminated.as_ref());
                    end.is_some_and(|end| end.exit_code == 3)
                })
        });
        failed.await?;
        let pod = pod_on(cx, held).await?;
        ensure!(pods.logs(&pod.name(), &LogParams::default()).await?.is_empty());
        work.finish();
        work.until(|counts| counts.ended == NODES.len()).await;
        let said = pods.logs(&pod.name(), &LogParams::default()).await?;
        ensure!(said == "done\n", "{said:?}");
        Ok(())
    });
}

fn container_status(pod: &Pod) -> Option<&k8s_openapi::api::core::v1::ContainerStatus> {
    pod.status.as_ref()?.container_statuses.as_ref()?.first()
}
