//! `kubectl dsjob explain` against the real causes.

use anyhow::{Context as _, Result, ensure};
use api::job::Job;
use harness::job_builder::JobBuilder;
use k8s_openapi::api::core::v1::{Node, Pod, ResourceQuota};
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use testbed::simulation::{Hold, NodeSpec};

use super::{Dsjob, as_admin};
use crate::job::{exit_code_manifest, exit_well, manifest};
use crate::test::{Test, alone_test, shared_test};

/// The finding of a check, which must be there.
async fn finding(dsjob: &Dsjob, job: &str, check: &str) -> Result<Value> {
    let ended = dsjob.run(&format!("explain {job} -o json")).await?;
    let findings: Value =
        serde_json::from_str(&ended.stdout).with_context(|| format!("{ended:?}"))?;
    let found = findings.as_array().into_iter().flatten().find(|finding| finding["check"] == check);
    let finding = found.with_context(|| format!("no {check} in {findings}"))?.clone();
    let has_problem =
        findings.as_array().into_iter().flatten().any(|it| it["severity"] == "problem");
    ensure!((ended.code == 1) == has_problem, "{ended:?}");
    ensure!(finding["severity"] == "info" || finding["cure"].is_string(), "{finding}");
    Ok(finding)
}

/// Waits until a check finds something.
async fn until_found(cx: &Test, dsjob: &Dsjob, job: &str, check: &str) -> Result<Value> {
    cx.until(check, async || Ok(finding(dsjob, job, check).await.is_ok())).await?;
    finding(dsjob, job, check).await
}

#[apply(shared_test)]
async fn job_without_an_operator_says_so(cx: &Test) -> Result<()> {
    cx.apply(&manifest("alone")).await?;
    as_admin(cx, async |dsjob| {
        let found = until_found(cx, dsjob, "alone", "NoOperator").await?;
        let cause = found["cause"].as_str().unwrap_or_default();
        ensure!(cause.starts_with("No operator has looked at the Job"), "{cause}");
        Ok(())
    })
    .await
}

#[apply(shared_test)]
async fn job_that_works_says_what_is_left(cx: &Test) -> Result<()> {
    let _processes = cx.both().await?;
    let job = cx.apply(&exit_code_manifest("works").deadline(600)).await?;
    job.pods().await?[0].exit(0)?;
    job.until_completed("1/3").await?;
    as_admin(cx, async |dsjob| {
        let text = dsjob.ok("explain works").await?;
        ensure!(
            text.contains("1 of 3 nodes done, 2 left") && text.contains("its deadline is in 9m"),
            "{text}"
        );
        ensure!(text.lines().count() == 1, "nothing else is to be said: {text}");
        Ok(())
    })
    .await
}

#[apply(shared_test)]
async fn failing_and_failed_nodes_are_told_apart(cx: &Test) -> Result<()> {
    let _processes = cx.both().await?;
    let (job, [first, failing, third]) =
        cx.running(&exit_code_manifest("fails").backoff_limit(1)).await?;
    failing.exit_with(7, "cannot bind\n")?;
    job.until_node("worker-1", "failed once", |node| node.exit_code == Some(7)).await?;
    as_admin(cx, async |dsjob| {
        let found = finding(dsjob, "fails", "Restarts").await?;
        ensure!(found["nodes"] == json!(["worker-1"]) && found["severity"] == "warning", "{found}");
        failing.restart()?;
        failing.exit_with(7, "cannot bind\n")?;
        exit_well([&first, &third])?;
        job.until_finished().await?;
        let found = finding(dsjob, "fails", "NodesFailed").await?;
        ensure!(
            found["cure"].as_str().is_some_and(|cure| cure.contains("retry fails --failed-only")),
            "{found}"
        );
        Ok(())
    })
    .await
}

#[apply(shared_test)]
async fn refused_pods_quote_the_quota(cx: &Test) -> Result<()> {
    let _processes = cx.both().await?;
    let quota = json!({"metadata": {"name": "none"}, "spec": {"hard": {"pods": "0"}}});
    cx.api::<ResourceQuota>()
        .create(&PostParams::default(), &serde_json::from_value(quota)?)
        .await?;
    cx.apply(&manifest("over-quota")).await?;
    as_admin(cx, async |dsjob| {
        let found = cx.until("RefusedPods", async || {
            let found = finding(dsjob, "over-quota", "RefusedPods").await;
            Ok(found.is_ok_and(|found| found["severity"] == "problem"))
        });
        found.await?;
        let found = finding(dsjob, "over-quota", "RefusedPods").await?;
        ensure!(
            found["quotes"][0].as_str().is_some_and(|quote| quote.contains("quota")),
            "{found}"
        );
        Ok(())
    })
    .await
}

#[apply(shared_test)]
async fn deadlines_selectors_and_names_that_are_taken_are_explained(cx: &Test) -> Result<()> {
    let _processes = cx.both().await?;
    let late = cx.apply(&exit_code_manifest("late").deadline(1)).await?;
    let nowhere = cx.apply(&exit_code_manifest("nowhere").node_selector("no", "such")).await?;
    cx.create_foreign("taken-daemonset-job").await?;
    cx.apply(&manifest("taken")).await?;
    late.until_finished().await?;
    nowhere.until_finished().await?;
    as_admin(cx, async |dsjob| {
        finding(dsjob, "late", "DeadlineExceeded").await?;
        finding(dsjob, "nowhere", "NoMatchingNodes").await?;
        until_found(cx, dsjob, "taken", "NameConflict").await?;
        Ok(())
    })
    .await
}

#[apply(shared_test)]
async fn refused_specs_and_daemon_sets_quote_the_api_server(cx: &Test) -> Result<()> {
    let _processes = cx.both().await?;
    // The schema knows nothing of pods; the operator does.
    let template = json!({"spec": {"containers": [{"name": "job-container", "resources": {"limits": {"memory": "64MB"}}}]}});
    cx.apply(&JobBuilder::cleanup("misspelled").template(template)).await?;
    as_admin(cx, async |dsjob| {
        let found = until_found(cx, dsjob, "misspelled", "InvalidSpec").await?;
        ensure!(found["cure"].as_str().is_some_and(|cure| cure.contains("64Mi")), "{found}");
        Ok(())
    })
    .await
}

#[apply(shared_test)]
async fn word_in_a_line_without_end_is_found_in_the_log(cx: &Test) -> Result<()> {
    let _processes = cx.both().await?;
    let job = cx.apply(&manifest("open-line")).await?;
    for pod in job.pods().await? {
        pod.log("working\ndone")?;
    }
    as_admin(cx, async |dsjob| {
        let found = until_found(cx, dsjob, "open-line", "WordNotFound").await?;
        ensure!(found["nodes"].as_array().is_some_and(|nodes| nodes.len() == 3), "{found}");
        ensure!(found["cure"].as_str().is_some_and(|cure| cure.contains("line break")), "{found}");
        Ok(())
    })
    .await
}

#[apply(shared_test)]
async fn job_that_cannot_go_and_one_that_is_gone_are_explained(cx: &Test) -> Result<()> {
    let _processes = cx.both().await?;
    let held = cx.apply(&manifest("held")).await?;
    held.pods().await?;
    let finalizers = |list: Value| Patch::Merge(json!({"metadata": {"finalizers": list}}));
    let jobs = cx.api::<Job>();
    jobs.patch("held", &PatchParams::default(), &finalizers(json!(["example.org/audit"]))).await?;
    held.delete().await?;
    let done = cx.apply(&manifest("done-and-gone")).await?;
    done.complete_by_word().await?;
    done.until_gone().await?;
    as_admin(cx, async |dsjob| {
        let found = finding(dsjob, "done-and-gone", "Gone").await?;
        ensure!(
            found["cause"].as_str().is_some_and(|it| it.starts_with("The Job has completed")),
            "{found}"
        );
        let is_named = async || {
            let found = finding(dsjob, "held", "Deletion").await?;
            Ok(found["cause"].as_str().is_some_and(|cause| cause.contains("example.org/audit")))
        };
        cx.until("Deletion with a finalizer", is_named).await?;
        jobs.patch("held", &PatchParams::default(), &finalizers(json!([]))).await?;
        let missing = dsjob.fails("explain never-was", 1).await?;
        ensure!(missing.contains("no Job \"never-was\""), "{missing}");
        Ok(())
    })
    .await
}

#[apply(shared_test)]
async fn containers_that_cannot_start_are_explained_by_their_reasons(cx: &Test) -> Result<()> {
    let _processes = cx.both().await?;
    cx.hold_everywhere(Hold::Start);
    cx.apply(&manifest("held-up")).await?;
    let causes = [
        ("control-plane", "ErrImagePull", "Image"),
        ("worker-1", "CreateContainerConfigError", "Volumes"),
        ("worker-2", "ImagePullBackOff", "Image"),
    ];
    for (node, reason, _) in causes {
        let bound = cx
            .sim()
            .wait_for(&cx.namespace, "a bound pod", |pod| pod.node().as_deref() == Some(node));
        let state =
            json!({"waiting": {"reason": reason, "message": format!("message of {reason}")}});
        let container = json!({
            "name": "job-container", "image": "a", "imageID": "", "ready": false, "restartCount": 0, "state": state,
        });
        let status = Patch::Strategic(json!({"status": {"containerStatuses": [container]}}));
        cx.api::<Pod>()
            .patch_status(&bound.await?.name(), &PatchParams::default(), &status)
            .await?;
    }
    as_admin(cx, async |dsjob| {
        for (node, reason, check) in causes {
            let is_found = async || {
                let Ok(found) = finding(dsjob, "held-up", check).await else { return Ok(false) };
                let nodes = found["nodes"].as_array().cloned().unwrap_or_default();
                Ok(nodes.contains(&json!(node)) && found["quotes"].to_string().contains(reason))
            };
            cx.until(reason, is_found).await?;
        }
        Ok(())
    })
    .await?;
    cx.release_everywhere(Hold::Start);
    Ok(())
}

#[apply(alone_test)]
async fn lost_node_is_explained_with_how_long_the_job_waits_for_it(cx: &Test) -> Result<()> {
    let _processes = cx.both().await?;
    cx.sim().add_node(&NodeSpec::linux("lost-2")).await?;
    let job = cx.apply(&manifest("waits-for-it").deadline(3600)).await?;
    job.pod("lost-2").await?;
    let taint = json!({"key": "node.kubernetes.io/unreachable", "effect": "NoExecute"});
    let patch = Patch::Merge(json!({"spec": {"taints": [taint]}}));
    Api::<Node>::all(cx.client.clone()).patch("lost-2", &PatchParams::default(), &patch).await?;
    as_admin(cx, async |dsjob| {
        let found = until_found(cx, dsjob, "waits-for-it", "Unreachable").await?;
        ensure!(found["nodes"] == json!(["lost-2"]), "{found}");
        ensure!(
            found["cure"].as_str().is_some_and(|cure| cure.contains("its deadline of 1h")),
            "{found}"
        );
        ensure!(dsjob.ok("status waits-for-it").await?.contains("Unreachable"));
        Ok(())
    })
    .await
}
