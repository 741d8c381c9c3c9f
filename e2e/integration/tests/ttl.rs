//! How long finished Jobs stay.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use api::job::Job;
use api::job::conditions::{COMPLETE, FAILED};
use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt as _;
use kube::api::PostParams;
use serde_json::json;

use crate::job::{TestJob, condition, exit_code_manifest, manifest};
use crate::test::{settle, shared};

/// Waits until the Job is gone, and checks that this is not before its TTL has passed.
async fn until_gone_after(job: &TestJob<'_>, finished: &Job, seconds: i64) -> Result<()> {
    let conditions = &finished.status.as_ref().context("a status")?.conditions;
    let since = conditions.first().context("a condition")?.last_transition_time.0;
    let is_it = |meta: &ObjectMeta| meta.name.as_ref() == Some(&job.name);
    job.waiter().none_left::<Job>(job.namespace(), "", is_it).await?;
    let stayed = Timestamp::now().duration_since(since).as_secs();
    ensure!((seconds..seconds + 5).contains(&stayed), "it stayed {stayed} s");
    job.until_gone().await
}

#[test]
fn complete_job_stays_for_its_ttl() {
    shared(async |cx| {
        let (_operator, terminator) = cx.both().await?;
        let job = cx.apply(&manifest("stays").ttl(3)).await?;
        for pod in job.pods().await? {
            pod.log("done\n")?;
        }
        let complete = job.until_finished().await?;
        let seen = Instant::now();
        ensure!(condition(&complete, COMPLETE).is_some(), "{:?}", complete.status);
        job.until_stopped().await?;
        until_gone_after(&job, &complete, 3).await?;
        // A watch shows the end some milliseconds later than it was.
        ensure!(seen.elapsed() >= Duration::from_millis(2_950), "after {:?}", seen.elapsed());
        let deletions = terminator.deletions("/jobs/stays");
        let body = String::from_utf8_lossy(&deletions.last().context("a deletion")?.body);
        ensure!(body.contains(&complete.uid().context("a UID")?), "{body}");
        Ok(())
    });
}

#[test]
fn complete_job_with_a_ttl_of_zero_goes_at_once() {
    shared(async |cx| {
        let _processes = cx.both().await?;
        let job = cx.apply(&exit_code_manifest("at-once").ttl(0)).await?;
        for pod in job.pods().await? {
            pod.exit(0)?;
        }
        job.until_gone().await
    });
}

#[test]
fn failed_job_goes_after_its_ttl() {
    shared(async |cx| {
        let _processes = cx.both().await?;
        let job = cx
            .apply(&exit_code_manifest("failed").ttl(2).backoff_limit(0).max_failed_nodes(0))
            .await?;
        job.pod("worker-1").await?.exit(1)?;
        let failed = job.until_finished().await?;
        ensure!(condition(&failed, FAILED).is_some(), "{:?}", failed.status);
        until_gone_after(&job, &failed, 2).await
    });
}

#[test]
fn job_that_no_node_matches_goes_after_its_ttl() {
    shared(async |cx| {
        let _processes = cx.both().await?;
        let job = cx
            .apply(
                &manifest("nowhere")
                    .ttl(2)
                    .template(json!({"spec": {"nodeSelector": {"no-such": "label"}}})),
            )
            .await?;
        let complete = job.until_finished().await?;
        let reason = &condition(&complete, COMPLETE).context("complete")?.reason;
        ensure!(reason == "NoMatchingNodes", "{reason}");
        until_gone_after(&job, &complete, 2).await
    });
}

#[test]
fn failures_that_may_lift_ignore_the_ttl() {
    shared(async |cx| {
        let (_operator, terminator) = cx.both().await?;
        let invalid = manifest("invalid").ttl(0).template(json!({"spec": {"nodeSelectr": {}}}));
        let invalid = cx.apply(&invalid).await?;
        let labels = json!({"app": "foreign"});
        let foreign = json!({
            "metadata": {"name": "in-the-way-daemonset-job"},
            "spec": {
                "selector": {"matchLabels": labels},
                "template": {
                    "metadata": {"labels": labels},
                    "spec": {
                        "nodeSelector": {"no-such": "label"},
                        "containers": [{"name": "main", "image": "example.com/main:1"}],
                    },
                },
            },
        });
        let foreign = serde_json::from_value(foreign)?;
        cx.api::<DaemonSet>().create(&PostParams::default(), &foreign).await?;
        let conflicting = cx.apply(&manifest("in-the-way").ttl(0)).await?;
        for (job, reason) in [(&invalid, "InvalidSpec"), (&conflicting, "NameConflict")] {
            let failed = job.until_condition(FAILED).await?;
            ensure!(failed.reason == reason, "{failed:?}");
        }
        settle().await;
        for job in [&invalid, &conflicting] {
            ensure!(job.get().await?.metadata.deletion_timestamp.is_none());
        }
        ensure!(terminator.writes().is_empty());
        Ok(())
    });
}

#[test]
fn ttl_counts_from_the_end_whenever_the_terminator_restarts() {
    shared(async |cx| {
        let (_operator, terminator) = cx.both().await?;
        let job = cx.apply(&exit_code_manifest("restarted").ttl(4)).await?;
        for pod in job.pods().await? {
            pod.exit(0)?;
        }
        let complete = job.until_finished().await?;
        tokio::time::sleep(Duration::from_secs(2)).await;
        terminator.kill();
        let _terminator = cx.terminator().await?;
        until_gone_after(&job, &complete, 4).await
    });
}

#[test]
fn ttl_that_passed_while_no_terminator_ran_ends_the_job_all_the_same() {
    shared(async |cx| {
        let _operator = cx.operator().await?;
        let job = cx.apply(&exit_code_manifest("unattended").ttl(1)).await?;
        for pod in job.pods().await? {
            pod.exit(0)?;
        }
        job.until_finished().await?;
        tokio::time::sleep(Duration::from_secs(2)).await;
        job.get().await?;
        let _terminator = cx.terminator().await?;
        job.until_gone().await
    });
}

#[test]
fn edited_ttl_restarts_nothing_and_keeps_the_results() {
    shared(async |cx| {
        let _processes = cx.both().await?;
        let job = cx.apply(&manifest("edited")).await?;
        let pods = job.pods().await?;
        pods[0].log("done\n")?;
        job.until_completed("1/3").await?;
        cx.apply(&manifest("edited").ttl(3600)).await?;
        let edited = job
            .until("the edit seen", |job| {
                job.status.as_ref().is_some_and(|s| s.observed_generation == Some(2))
            })
            .await?;
        let status = edited.status.context("a status")?;
        ensure!(status.completed.as_deref() == Some("1/3"), "{status:?}");
        settle().await;
        let daemon_set = job.daemon_set().await?;
        ensure!(daemon_set.metadata.generation == Some(1), "{daemon_set:?}");
        for pod in &pods[1..] {
            ensure!(pod.is_running());
            pod.log("done\n")?;
        }
        job.until_ended("Completed", "done on 3 of 3 nodes").await?;
        Ok(())
    });
}

#[test]
fn ttl_of_a_finished_job_can_be_shortened_and_taken_away() {
    shared(async |cx| {
        let _processes = cx.both().await?;
        let job = cx.apply(&exit_code_manifest("shortened")).await?;
        let kept = cx.apply(&exit_code_manifest("kept")).await?;
        for job in [&job, &kept] {
            for pod in job.pods().await? {
                pod.exit(0)?;
            }
            job.until_finished().await?;
        }
        cx.apply(&exit_code_manifest("shortened").ttl(1)).await?;
        job.until_gone().await?;
        // As a completed Job that never had one.
        cx.apply(&manifest("kept").exit_code()).await?;
        kept.until_gone().await
    });
}

#[test]
fn failed_job_without_a_ttl_stays() {
    shared(async |cx| {
        let (_operator, terminator) = cx.both().await?;
        let job = cx.apply(&manifest("to-be-looked-at").deadline(1)).await?;
        job.until_finished().await?;
        job.until_stopped().await?;
        settle().await;
        job.get().await?;
        ensure!(terminator.deletions("/jobs/to-be-looked-at").is_empty());
        Ok(())
    });
}
