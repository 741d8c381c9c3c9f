//! Faults of the peers that no other module shows the absence of: each test is named after what
//! ours does instead.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use api::conditions::FAILED;
use api::v1beta1::Phase;
use e2e::sim::{Hold, NodeSpec};
use k8s_openapi::api::core::v1::{Event, Namespace, Pod};
use kube::Api;
use kube::api::{ListParams, Patch, PatchParams};
use serde_json::{Value, json};

use crate::job::{condition, exit_code_manifest, manifest, phase};
use crate::test::{alone, shared};
use crate::wait::settle;

/// The first implementation counted the pods of all Jobs together, and let the last one's label say
/// which Job was deleted.
#[test]
fn jobs_side_by_side_count_their_own_pods_only() {
    shared(async |cx| {
        let (_operator, terminator) = cx.both().await?;
        let first = cx.apply(&manifest("first")).await?;
        let second = cx.apply(&manifest("second")).await?;
        let by_code = cx.apply(&exit_code_manifest("third")).await?;
        let (pods, others) = (first.pods().await?, second.pods().await?);
        let by_code_pods = by_code.pods().await?;
        // Three pods are done, and no Job is.
        pods[0].log("done\n")?;
        others[1].log("done\n")?;
        by_code_pods[2].exit(0)?;
        for job in [&first, &second, &by_code] {
            job.until_completed("1/3").await?;
        }
        settle().await;
        ensure!(terminator.deletions("").is_empty());
        pods[1].log("done\n")?;
        pods[2].log("done\n")?;
        first.until_gone().await?;
        settle().await;
        second.until_completed("1/3").await?;
        by_code.until_completed("1/3").await?;
        ensure!(terminator.deletions("/jobs/second").is_empty());
        Ok(())
    });
}

/// The first implementation compared with the pods that existed, not with the nodes that are wanted.
#[test]
fn node_whose_pod_has_not_started_is_waited_for() {
    shared(async |cx| {
        let (_operator, terminator) = cx.both().await?;
        cx.sim().hold(Hold::Start, &cx.namespace, "worker-2");
        let job = cx.apply(&manifest("slow-node")).await?;
        for node in ["control-plane", "worker-1"] {
            job.pod(node).await?.log("done\n")?;
        }
        job.until_completed("2/3").await?;
        settle().await;
        job.until_completed("2/3").await?;
        ensure!(terminator.deletions("/jobs/slow-node").is_empty());
        cx.sim().release(Hold::Start, &cx.namespace, "worker-2");
        job.pod("worker-2").await?.log("done\n")?;
        job.until_gone().await
    });
}

/// OpenKruise counts failed creations as active.
#[test]
fn pods_that_are_refused_are_not_active_and_the_job_is_done_once_they_are_let_in() {
    shared(async |cx| {
        let (_operator, terminator) = cx.both().await?;
        let enforce = async |level: Value| -> Result<()> {
            let label = json!({"pod-security.kubernetes.io/enforce": level});
            let patch = Patch::Merge(json!({"metadata": {"labels": label}}));
            let namespaces: Api<Namespace> = Api::all(cx.client.clone());
            namespaces.patch(&cx.namespace, &PatchParams::default(), &patch).await?;
            Ok(())
        };
        enforce(json!("baseline")).await?;
        // It mounts a directory of the node, which this level forbids.
        let job = cx.apply(&manifest("forbidden")).await?;
        let daemon_set = job.daemon_set_name();
        let refused = async {
            loop {
                let events = cx.api::<Event>().list(&ListParams::default()).await?;
                let mut events = events.iter();
                let refused = events.any(|event| {
                    event.involved_object.name.as_deref() == Some(&daemon_set)
                        && event.reason.as_deref() == Some("FailedCreate")
                });
                if refused {
                    return anyhow::Ok(());
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), refused).await.context("no event")??;
        settle().await;
        let status = job.get().await?.status.context("a status")?;
        ensure!(status.phase == Some(Phase::Pending), "{status:?}");
        ensure!((status.active, status.succeeded) == (0, 0), "{status:?}");
        ensure!(status.conditions.is_empty(), "{status:?}");
        ensure!(terminator.writes().is_empty());

        enforce(Value::Null).await?;
        // The controller waits longer each time; a change of the DaemonSet makes it try now.
        let patch = json!({"metadata": {"annotations": {"try": "again"}}});
        let params = PatchParams::default();
        let api = job.api::<k8s_openapi::api::apps::v1::DaemonSet>();
        api.patch(&daemon_set, &params, &Patch::Merge(patch)).await?;
        for pod in job.pods().await? {
            pod.log("done\n")?;
        }
        job.until_gone().await
    });
}

/// OpenKruise lets a pod over its restart limit crash for ever.
#[test]
fn pods_of_a_failed_job_are_not_started_again() {
    shared(async |cx| {
        let _processes = cx.both().await?;
        let mut manifest = exit_code_manifest("crashing");
        manifest["spec"]["backoffLimitPerNode"] = json!(1);
        let job = cx.apply(&manifest).await?;
        for pod in job.pods().await? {
            pod.exit(1)?;
            pod.restart()?;
            pod.exit(1)?;
        }
        let message = "done on 0 of 3 nodes, failed on: control-plane, worker-1, worker-2";
        job.until_ended("NodesFailed", message).await?;
        job.until_stopped().await?;
        settle().await;
        ensure!(cx.api::<Pod>().list(&ListParams::default()).await?.items.is_empty());
        ensure!(condition(&job.get().await?, FAILED).is_some());
        Ok(())
    });
}

/// The system-upgrade-controller takes host names for node names.
#[test]
fn node_whose_name_is_not_its_host_name_counts_by_its_name() {
    alone(async |cx| {
        let _processes = cx.both().await?;
        cx.sim().add_node(&NodeSpec::linux("node-1.example.com").host_name("worker-1")).await?;
        let job = cx.apply(&exit_code_manifest("host-names")).await?;
        let pods = job.pods().await?;
        let named = job.pod("node-1.example.com").await?;
        for pod in &pods {
            pod.exit(0)?;
        }
        job.until_completed("3/4").await?;
        settle().await;
        let running = job.get().await?;
        ensure!(phase(&running) == Some(Phase::Running));
        let nodes = running.status.context("a status")?.nodes;
        ensure!(nodes.iter().map(|node| node.name.as_str()).eq(["node-1.example.com"]));
        named.exit(0)?;
        job.until_ended("Completed", "done on 4 of 4 nodes").await?;
        Ok(())
    });
}
