//! What the schema does to Jobs beside refusing them, and to those that were stored under another one.

use anyhow::{Context as _, Result, ensure};
use api::job::conditions::{FAILED, RECONCILING};
use api::job::{Job, JobStatus, Phase};
use api::labels::TURN_GATE;
use harness::job_handle::finished;
use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::ResourceExt as _;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use serde_json::{Value, json};

use crate::bad_input::{
    DEFINITION, apply_once_accepted, failed_condition, refuses, replace_schema, untyped,
    with_fields, without_checks,
};
use crate::job::{condition, exit_code_manifest, exit_well, manifest, phase};
use crate::test::{Test, alone_test, merge, shared_test};

#[apply(shared_test)]
async fn job_that_nobody_looks_at_has_defaults_and_a_status_that_says_so(cx: &Test) -> Result<()> {
    let job = cx.apply(&manifest("unseen")).await?;
    let stored = untyped(cx).get("unseen").await?.data;
    let expected =
        json!({"observedGeneration": -1, "desired": 0, "active": 0, "succeeded": 0, "failed": 0});
    ensure!(stored["status"] == expected, "{stored}");
    ensure!(stored["spec"]["completionMode"] == "TerminationWord", "{stored}");
    ensure!(stored["spec"]["backoffLimitPerNode"] == 6, "{stored}");
    let unseen = job.get().await?;
    ensure!(!unseen.status.context("a status")?.is_observed());
    cx.until_explained("unseen", "NoOperator", &["\"No operator has looked at the Job"]).await?;

    let _processes = cx.both().await?;
    let seen = job.until("looked at", |job| is_observed(job.status.as_ref())).await?;
    ensure!(seen.status.context("a status")?.observed_generation == Some(1));
    job.complete_by_word().await
}

fn is_observed(status: Option<&JobStatus>) -> bool {
    status.is_some_and(JobStatus::is_observed)
}

#[apply(shared_test)]
async fn jobs_are_selected_by_their_phase(cx: &Test) -> Result<()> {
    let _operator = cx.operator().await?;
    let bad = manifest("bad").template(json!({"spec": {"nodeSelectr": {}}}));
    cx.apply(&bad).await?.until_condition(FAILED).await?;
    let good = cx.apply(&manifest("good")).await?;
    good.until("running", |job| phase(job) == Some(Phase::Running)).await?;
    for (selector, expected) in
        [("Failed", vec!["bad"]), ("Running", vec!["good"]), ("Completed", vec![])]
    {
        let params = ListParams::default().fields(&format!("status.phase={selector}"));
        let selected = cx.api::<Job>().list(&params).await?;
        let names: Vec<_> = selected.iter().map(|job| job.name_any()).collect();
        ensure!(names == expected, "{selector}: {names:?}");
    }
    Ok(())
}

/// Does something under another schema, and puts the present one back.
async fn under(
    cx: &Test,
    change: impl Fn(&CustomResourceDefinition) -> Result<Value>,
    work: impl AsyncFnOnce() -> Result<()>,
) -> Result<()> {
    let present = cx.all::<CustomResourceDefinition>().get(DEFINITION).await?;
    replace_schema(cx, &change(&present)?).await?;
    let result = work().await;
    replace_schema(cx, &serde_json::to_value(&present.spec)?).await?;
    refuses(cx).await?;
    result
}

/// Fields of the spec that the schema refuses today, and the message on the condition.
///
/// The unit tests of the specification have the other messages.
fn refused_by_the_operator() -> [(Value, &'static str); 4] {
    [
        (
            json!({
                "image": "", "backoffLimitPerNode": -1, "maxFailedNodes": -2,
                "activeDeadlineSeconds": 0, "ttlSecondsAfterFinished": -3,
            }),
            "spec.image: must not be empty; spec.backoffLimitPerNode: must be at least 0: -1; \
             spec.maxFailedNodes: must be at least 0: -2; spec.activeDeadlineSeconds: must be at \
             least 1: 0; spec.ttlSecondsAfterFinished: must be at least 0: -3",
        ),
        (
            json!({"template": {"spec": {"schedulingGates": [{"name": TURN_GATE}]}}}),
            "spec.template.spec.schedulingGates: must not be set: what begins with \
             daemonset.darkowlzz.space belongs to the operator",
        ),
        (json!({"args": "one"}), "spec.args: invalid type: string \"one\", expected a sequence"),
        (
            json!({"completionMode": "ExitCodes"}),
            "spec.completionMode: unknown variant `ExitCodes`, expected `TerminationWord` or \
             `ExitCode`",
        ),
    ]
}

/// As Jobs are that were stored by an operator of before these rules.
#[apply(alone_test)]
async fn jobs_that_would_be_refused_today_say_why_and_hold_up_nothing(cx: &Test) -> Result<()> {
    let stored =
        manifest("stored").mount("tmp").template(json!({"spec": {"restartPolicy": "Never"}}));
    let before = async || {
        let rows = refused_by_the_operator().into_iter().enumerate();
        let rows: Vec<_> = rows.map(|(number, row)| (format!("bad-{number}"), row)).collect();
        for (name, (fields, _)) in &rows {
            apply_once_accepted(cx, &with_fields(name, fields)).await?;
        }
        let (operator, _terminator) = cx.both().await?;
        let good = cx.apply(&manifest("good")).await?;
        good.complete_by_word().await?;
        for (name, (fields, message)) in rows {
            let failed = failed_condition(cx, &name).await?;
            let is_so = failed["reason"] == "InvalidSpec" && failed["message"] == message;
            ensure!(is_so, "{fields}: {failed}");
            untyped(cx).delete(&name, &DeleteParams::default()).await?;
        }
        ensure!(cx.has_none::<DaemonSet>().await?);
        operator.end().await?;
        apply_once_accepted(cx, &stored.json()).await
    };
    under(cx, without_checks, before).await?;

    // Its status can be written: what did not change is not asked for again.
    let _processes = cx.both().await?;
    let failed = failed_condition(cx, "stored").await?;
    let message = failed["message"].as_str().unwrap_or_default();
    ensure!(message.contains("spec.mountPath: must be an absolute path"), "{failed}");
    ensure!(message.contains("spec.template.spec.restartPolicy"), "{failed}");

    let jobs = cx.api::<Job>();
    let edit = json!({"metadata": {"labels": {"a": "b"}}, "spec": {"maxFailedNodes": 1}});
    merge(&jobs, "stored", edit).await?;
    let refused = merge(&jobs, "stored", json!({"spec": {"mountPath": "tmp/.."}})).await;
    ensure!(refused.is_err(), "a change for the worse is taken");

    let job = cx.apply(&manifest("stored")).await?;
    job.complete_by_word().await
}

/// The definition's spec with lists in the status that are applied as wholes, as they were up to 0.1.0.
fn without_keys(definition: &CustomResourceDefinition) -> Result<Value> {
    let mut spec = serde_json::to_value(&definition.spec)?;
    let path = "/versions/0/schema/openAPIV3Schema/properties/status/properties";
    let status = spec.pointer_mut(path).context("a schema of the status")?;
    for list in ["conditions", "nodes"] {
        let list = status[list].as_object_mut().context("a list")?;
        list.remove("x-kubernetes-list-type").context("a type of the list")?;
        list.remove("x-kubernetes-list-map-keys").context("keys of the list")?;
    }
    Ok(spec)
}

/// Waits until the lists in the status of a Job have keys, or have none.
async fn until_keyed(cx: &Test, job: &str, keyed: bool) -> Result<()> {
    let node = json!({"name": "a", "state": "Pending"});
    let twice = Patch::Merge(json!({"status": {"nodes": [node, node]}}));
    let params = PatchParams::default().dry_run();
    cx.until("the schema is in force", async || {
        match cx.api::<Job>().patch_status(job, &params, &twice).await {
            Err(kube::Error::Api(status)) if status.code == 422 => Ok(keyed),
            result => Ok(result.map(|_| !keyed)?),
        }
    })
    .await
}

/// Server-side apply knows no owner of the items of a list that was applied as a whole.
#[apply(alone_test)]
async fn lists_of_a_status_from_before_they_had_keys_hold_nothing_back(cx: &Test) -> Result<()> {
    let by_code = exit_code_manifest("progressing");
    let by_then = exit_code_manifest("finished");
    let blocked = manifest("blocked").template(json!({"spec": {"nodeSelectr": {}}}));
    let before = async || {
        let job = cx.apply(&blocked).await?;
        until_keyed(cx, "blocked", false).await?;
        let operator = cx.operator().await?;
        job.until_condition(FAILED).await?;
        let job = cx.apply(&by_then).await?;
        job.complete_by_exit_code().await?;
        job.until_stopped().await?;
        let job = cx.apply(&by_code).await?;
        job.until("three nodes listed", |job| listed(job) == 3).await?;
        operator.end().await
    };
    under(cx, without_keys, before).await?;
    until_keyed(cx, "blocked", true).await?;

    // All of it before there is an operator, so that the first thing that it does is to leave something out.
    let (job, [first, ..]) = cx.running(&by_code).await?;
    first.exit(0)?;
    let repaired = cx.apply(&manifest("blocked")).await?;
    let changed = manifest("finished").exit_code().args(["/basetarget/bar"]);
    let again = cx.apply(&changed).await?;

    let _processes = cx.both().await?;
    job.until("one node less", |job| listed(job) == 2).await?;
    let runs = |job: &Job| condition(job, FAILED).is_none() && phase(job) == Some(Phase::Running);
    repaired.until("failed no longer", runs).await?;
    // The end of the old work must not be that of the new: it would delete the Job.
    again.until("no end of the old work", |job| finished(job).is_none()).await?;
    for pod in again.pods().await? {
        ensure!(finished(&again.get().await?).is_none(), "the old condition is back");
        pod.exit(0)?;
    }
    again.until_gone().await
}

fn listed(job: &Job) -> usize {
    job.status.as_ref().map_or(0, |status| status.nodes.len())
}

/// The conditions of a Job are a set by type, of which some are the operator's.
#[apply(shared_test)]
async fn conditions_of_others_stay_and_are_left_alone(cx: &Test) -> Result<()> {
    let (operator, _terminator) = cx.both().await?;
    let (job, pods) = cx.running(&exit_code_manifest("audited")).await?;
    job.until_completed("0/3").await?;
    let audited = json!({
        "apiVersion": "daemonset.darkowlzz.space/v1beta1",
        "kind": "Job",
        "metadata": {"name": "audited"},
        "status": {"conditions": [{
            "type": "Audited", "status": "True", "reason": "Signed", "message": "by two",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        }]},
    });
    let params = PatchParams::apply("an-auditor");
    cx.api::<Job>().patch_status("audited", &params, &Patch::Apply(&audited)).await?;
    operator.until_quiet().await?;
    exit_well(&pods)?;
    let ended = job.until_finished().await?;
    let types = |job: &Job| -> Vec<_> {
        let conditions = job.status.iter().flat_map(|status| &status.conditions);
        conditions.map(|condition| condition.type_.clone()).collect()
    };
    let mut has = types(&ended);
    has.sort_unstable();
    ensure!(has == ["Audited", "Complete", "Failed"], "{has:?}");
    cx.apply(&exit_code_manifest("audited").args(["/basetarget/bar"])).await?;
    let is_anew = |job: &Job| finished(job).is_none() && condition(job, RECONCILING).is_some();
    let anew = job.until("running anew", is_anew).await?;
    ensure!(types(&anew).contains(&"Audited".to_owned()), "{anew:?}");
    Ok(())
}
