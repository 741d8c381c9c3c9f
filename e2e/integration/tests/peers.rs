//! Faults of the peers that no other module shows the absence of: each test is named after what
//! ours does instead.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use api::job::Phase;
use api::job::conditions::FAILED;
use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{Event, Pod, ResourceQuota};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use serde_json::json;
use testbed::simulation::{Hold, SimPod};

use crate::job::{condition, exit_code_manifest, manifest};
use crate::test::{alone, settle, shared};

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

#[test]
fn twenty_jobs_in_five_namespaces_never_mix() {
    // Alone, for these processes see the Jobs of all namespaces.
    alone(async |cx| {
        let _operator = cx.operator_of(None).await?;
        let _terminator = cx.terminator_of(None).await?;
        let mut jobs = Vec::new();
        for number in 1..=5 {
            let namespace = format!("{}-{number}", cx.namespace);
            cx.create_namespace(&namespace).await?;
            for name in ["first", "second"] {
                jobs.push((cx.apply_in(&namespace, &manifest(name)).await?, true));
            }
            for name in ["third", "fourth"] {
                let manifest = manifest(name).exit_code();
                jobs.push((cx.apply_in(&namespace, &manifest).await?, false));
            }
        }
        let end = |pod: &SimPod, by_word| if by_word { pod.log("done\n") } else { pod.exit(0) };
        for (job, by_word) in &jobs {
            let [first, second, _] = job.pods().await?;
            end(&first, *by_word)?;
            end(&second, *by_word)?;
        }
        for (job, _) in &jobs {
            job.until_completed("2/3").await?;
        }
        settle().await;
        for (job, by_word) in &jobs {
            job.until_completed("2/3").await?;
            end(&job.pod("worker-2").await?, *by_word)?;
        }
        for (job, _) in &jobs {
            job.until_gone().await?;
        }
        for number in 1..=5 {
            cx.delete_namespace(&format!("{}-{number}", cx.namespace)).await?;
        }
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
        let quotas = cx.api::<ResourceQuota>();
        let none = json!({"metadata": {"name": "no-pods"}, "spec": {"hard": {"pods": "0"}}});
        quotas.create(&PostParams::default(), &serde_json::from_value(none)?).await?;
        // What the quota controller would write, which does not run here.
        let status = json!({"status": {"hard": {"pods": "0"}, "used": {"pods": "0"}}});
        let params = PatchParams::default();
        quotas.patch_status("no-pods", &params, &Patch::Merge(status)).await?;
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

        quotas.delete("no-pods", &DeleteParams::default()).await?;
        // The controller waits longer each time; a change of the DaemonSet makes it try now.
        let patch = json!({"metadata": {"annotations": {"try": "again"}}});
        let api = job.api::<DaemonSet>();
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
        let job = cx.apply(&exit_code_manifest("crashing").backoff_limit(1)).await?;
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
