//! `kubectl dsjob explain` against the real causes.

mod rows;
mod surroundings;
mod turns;

use anyhow::{Context as _, Result, ensure};
use api::job::Job;
use k8s_openapi::api::core::v1::{Pod, ResourceQuota};
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use testbed::simulation::{Hold, NodeSpec};

use crate::job::{exit_code_manifest, exit_well, manifest};
use crate::kubectl::Kubectl;
use crate::test::{Test, alone_test, hold, shared_test};

/// The finding of a check, which must be there.
async fn finding(dsjob: &Kubectl, job: &str, check: &str) -> Result<Value> {
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

/// The finding of a check, which must say all of this.
async fn says(dsjob: &Kubectl, job: &str, check: &str, words: &[&str]) -> Result<Value> {
    let finding = finding(dsjob, job, check).await?;
    let text = finding.to_string();
    let missing = words.iter().find(|words| !text.contains(**words));
    ensure!(missing.is_none(), "{missing:?} is not in {finding}");
    Ok(finding)
}

/// Waits until a check says all of this.
async fn until_says(
    cx: &Test,
    dsjob: &Kubectl,
    job: &str,
    check: &str,
    words: &[&str],
) -> Result<Value> {
    let is_said = async || Ok(says(dsjob, job, check, words).await.is_ok());
    if let Err(late) = cx.until(&format!("{check} of {job}"), is_said).await {
        return says(dsjob, job, check, words).await.context(late);
    }
    says(dsjob, job, check, words).await
}

/// Waits until a check finds something.
async fn until_found(cx: &Test, dsjob: &Kubectl, job: &str, check: &str) -> Result<Value> {
    cx.until(check, async || Ok(finding(dsjob, job, check).await.is_ok())).await?;
    finding(dsjob, job, check).await
}

#[apply(shared_test)]
async fn job_without_an_operator_says_so(cx: &Test) -> Result<()> {
    cx.apply(&manifest("alone")).await?;
    let dsjob = &Kubectl::admin(cx)?;
    until_says(cx, dsjob, "alone", "NoOperator", &["\"No operator has looked at the Job"]).await?;
    Ok(())
}

#[apply(shared_test)]
async fn job_that_works_says_what_is_left(cx: &Test) -> Result<()> {
    let _processes = cx.both().await?;
    let job = cx.apply(&exit_code_manifest("works").deadline(600)).await?;
    job.pods().await?[0].exit(0)?;
    job.until_completed("1/3").await?;
    let dsjob = &Kubectl::admin(cx)?;
    let text = dsjob.ok("explain works").await?;
    ensure!(
        text.contains("1 of 3 nodes done, 2 left") && text.contains("its deadline is in 9m"),
        "{text}"
    );
    ensure!(text.lines().count() == 1, "nothing else is to be said: {text}");
    Ok(())
}

#[apply(shared_test)]
async fn failing_and_failed_nodes_are_told_apart(cx: &Test) -> Result<()> {
    let _processes = cx.both().await?;
    let (job, [first, failing, third]) =
        cx.running(&exit_code_manifest("fails").backoff_limit(1)).await?;
    failing.exit_with(7, "cannot bind\n")?;
    job.until_node("worker-1", "failed once", |node| node.exit_code == Some(7)).await?;
    let dsjob = &Kubectl::admin(cx)?;
    let found = finding(dsjob, "fails", "Restarts").await?;
    ensure!(found["nodes"] == json!(["worker-1"]) && found["severity"] == "warning", "{found}");
    failing.restart()?;
    failing.exit_with(7, "cannot bind\n")?;
    exit_well([&first, &third])?;
    job.until_finished().await?;
    says(dsjob, "fails", "NodesFailed", &["retry fails --failed-only"]).await?;
    Ok(())
}

#[apply(shared_test)]
async fn refused_pods_quote_the_quota(cx: &Test) -> Result<()> {
    let _processes = cx.both().await?;
    let quota = json!({"metadata": {"name": "none"}, "spec": {"hard": {"pods": "0"}}});
    cx.create::<ResourceQuota>(quota).await?;
    cx.apply(&manifest("over-quota")).await?;
    let dsjob = &Kubectl::admin(cx)?;
    let words = ["\"severity\":\"problem\"", "exceeded quota"];
    until_says(cx, dsjob, "over-quota", "RefusedPods", &words).await?;
    Ok(())
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
    let dsjob = &Kubectl::admin(cx)?;
    finding(dsjob, "late", "DeadlineExceeded").await?;
    finding(dsjob, "nowhere", "NoMatchingNodes").await?;
    until_found(cx, dsjob, "taken", "NameConflict").await?;
    Ok(())
}

#[apply(shared_test)]
async fn refused_specs_and_daemon_sets_quote_the_api_server(cx: &Test) -> Result<()> {
    let _processes = cx.both().await?;
    // The schema knows nothing of pods; the operator does.
    let resources = json!({"limits": {"memory": "64MB"}});
    cx.apply(&manifest("misspelled").container(json!({"resources": resources}))).await?;
    let dsjob = &Kubectl::admin(cx)?;
    until_says(cx, dsjob, "misspelled", "InvalidSpec", &["64Mi"]).await?;
    Ok(())
}

#[apply(shared_test)]
async fn word_in_a_line_without_end_is_found_in_the_log(cx: &Test) -> Result<()> {
    let _processes = cx.both().await?;
    let job = cx.apply(&manifest("open-line")).await?;
    for pod in job.pods().await? {
        pod.log("working\ndone")?;
    }
    let dsjob = &Kubectl::admin(cx)?;
    let found = until_says(cx, dsjob, "open-line", "WordNotFound", &["line break"]).await?;
    ensure!(found["nodes"].as_array().is_some_and(|nodes| nodes.len() == 3), "{found}");
    Ok(())
}

#[apply(shared_test)]
async fn job_that_cannot_go_and_one_that_is_gone_are_explained(cx: &Test) -> Result<()> {
    let _processes = cx.both().await?;
    let held = cx.apply(&manifest("held")).await?;
    held.pods().await?;
    hold(&cx.api::<Job>(), "held", &["example.org/audit"]).await?;
    held.delete().await?;
    let done = cx.apply(&manifest("done-and-gone")).await?;
    done.complete_by_word().await?;
    done.until_gone().await?;
    let dsjob = &Kubectl::admin(cx)?;
    says(dsjob, "done-and-gone", "Gone", &["\"The Job has completed"]).await?;
    until_says(cx, dsjob, "held", "Deletion", &["example.org/audit"]).await?;
    hold(&cx.api::<Job>(), "held", &[]).await?;
    let missing = dsjob.fails("explain never-was", 1).await?;
    ensure!(missing.contains("no Job \"never-was\""), "{missing}");
    Ok(())
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
    let dsjob = &Kubectl::admin(cx)?;
    for (node, reason, check) in causes {
        let is_found = async || {
            let Ok(found) = finding(dsjob, "held-up", check).await else { return Ok(false) };
            let nodes = found["nodes"].as_array().cloned().unwrap_or_default();
            Ok(nodes.contains(&json!(node)) && found["quotes"].to_string().contains(reason))
        };
        cx.until(reason, is_found).await?;
    }
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
    cx.patch_node("lost-2", json!({"taints": [taint]})).await?;
    let dsjob = &Kubectl::admin(cx)?;
    let words = ["[\"lost-2\"]", "its deadline of 1h"];
    until_says(cx, dsjob, "waits-for-it", "Unreachable", &words).await?;
    ensure!(dsjob.ok("status waits-for-it").await?.contains("Unreachable"));
    Ok(())
}
