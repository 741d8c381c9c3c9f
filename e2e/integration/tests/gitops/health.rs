//! Live Jobs of every phase, as tools see them that wait for their end.

use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use api::job::conditions::{FAILED, READY, SUSPENDED, WAITING};
use api::job::{CompletionPolicy, Job, Phase};
use harness::job_handle::{finished, status};
use harness::process::{Cmd, LogDir};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{docs, retained};
use crate::cluster::artifacts;
use crate::job::{TestJob, condition, exit_well, phase};
use crate::test::{Test, hold, shared_test};
use crate::turns::patch;

/// The program that runs the three; `cargo xtask test` sets this to the one that it has built.
const PROGRAM: &str = "GITOPS";

/// What the three say of a Job, in the order of the question: kstatus, Flux, Argo CD.
#[derive(Debug, Deserialize)]
struct Rated {
    kstatus: Rating,
    flux: Rating,
    argo: Rating,
}

#[derive(Debug, Deserialize)]
struct Rating {
    status: String,
    message: String,
}

/// A finalizer by which a Job stays while it is being deleted.
const HOLD: &str = "tests.daemonset.darkowlzz.space/hold";

const UNFINISHED: [&str; 3] = ["InProgress", "InProgress", "Progressing"];
const SUCCEEDED: [&str; 3] = ["Current", "Current", "Healthy"];
const IN_VAIN: [&str; 3] = ["Failed", "Failed", "Degraded"];
/// The expressions take a suspended Job for one that is as its spec wants it, and kstatus does not.
const HELD_BACK: [&str; 3] = ["InProgress", "Current", "Suspended"];

/// What the three say of an object.
async fn rate(cx: &Test, object: &Value) -> Result<Rated> {
    let program = std::env::var_os(PROGRAM).map(PathBuf::from);
    let program = program
        .context("GITOPS is not set: run these tests with `cargo xtask test`, which builds it")?;
    let expressions = docs::expressions()?;
    let question = json!({
        "object": object, "expressions": expressions[0], "script": docs::script()?,
    });
    let logs = LogDir::create(artifacts().join(&cx.namespace))?;
    let answer = Cmd::new(program).stdin(question.to_string()).run(&logs).await?;
    Ok(serde_json::from_str(&answer.text())?)
}

/// The Job as the API server shows it.
async fn live(cx: &Test, job: &TestJob<'_>) -> Result<Value> {
    let group = "/apis/daemonset.darkowlzz.space/v1beta1";
    cx.get(&format!("{group}/namespaces/{}/jobs/{}", job.namespace(), job.name)).await
}

/// Sees that the three rate a Job as expected, and that kstatus and Argo CD say this.
async fn check(cx: &Test, job: &TestJob<'_>, expected: [&str; 3], said: &str) -> Result<()> {
    let object = live(cx, job).await?;
    let rated = rate(cx, &object).await?;
    let Rated { kstatus, flux, argo } = &rated;
    let is_so = [&*kstatus.status, &*flux.status, &*argo.status] == expected
        && [kstatus, argo].into_iter().any(|it| it.message.contains(said));
    ensure!(is_so, "{}: {rated:#?}\n{:#}", job.name, object["status"]);
    Ok(())
}

#[apply(shared_test)]
async fn job_that_runs_or_waits_is_in_progress_for_every_tool(cx: &Test) -> Result<()> {
    let unseen = cx.apply(&retained("unseen")).await?;
    check(cx, &unseen, UNFINISHED, "the operator has not looked at it yet").await?;

    let _processes = cx.both().await?;
    let refused = json!({"spec": {"serviceAccountName": "missing"}});
    let pending = cx.apply(&retained("pending").template(refused)).await?;
    let is_pending = |job: &Job| phase(job) == Some(Phase::Pending) && status(job).desired == 3;
    pending.until("pending", is_pending).await?;
    check(cx, &pending, UNFINISHED, "0 of 3 nodes done").await?;

    let (running, _) = cx.running_with_one_done(&retained("running")).await?;
    check(cx, &running, UNFINISHED, "1 of 3 nodes done").await?;

    let one = |name| retained(name).set(|spec| spec.parallelism = Some(IntOrString::Int(1)));
    let waiting = cx.apply(&one("waiting")).await?;
    // The pods come one by one, and the first one starts when the second may not be there.
    let is_waiting = |job: &Job| {
        let says = condition(job, WAITING).is_some_and(|it| it.message.contains("1 of 1 places"));
        says && status(job).desired == 3
    };
    waiting.until("waiting", is_waiting).await?;
    check(cx, &waiting, UNFINISHED, "0 of 3 nodes done; 1 of 1 places in use").await?;

    let suspended = cx.apply(&retained("suspended").set(|it| it.suspend = Some(true))).await?;
    suspended.until_condition(SUSPENDED).await?;
    check(cx, &suspended, HELD_BACK, "the Job is suspended").await
}

#[apply(shared_test)]
async fn job_that_has_ended_is_seen_by_every_tool_as_it_has_ended(cx: &Test) -> Result<()> {
    let (operator, _terminator) = cx.both().await?;
    let complete = cx.apply(&retained("complete")).await?;
    complete.complete_by_exit_code().await?;
    check(cx, &complete, SUCCEEDED, "done on 3 of 3 nodes").await?;

    let nowhere = cx.apply(&retained("nowhere").node_selector("no-such", "label")).await?;
    nowhere.until_finished().await?;
    check(cx, &nowhere, SUCCEEDED, "no node matches").await?;

    let failed = cx.apply(&retained("failed").backoff_limit(0)).await?;
    failed.fail_on_worker_1(3, "no space").await?;
    check(cx, &failed, IN_VAIN, "failed on: worker-1").await?;

    let misspelled = json!({"spec": {"nodeSelectr": {}}});
    let blocked = cx.apply(&retained("blocked").template(misspelled)).await?;
    blocked.until_condition(FAILED).await?;
    check(cx, &blocked, IN_VAIN, "spec.template.spec.nodeSelectr").await?;

    // A suspended Job that has failed stays failed until it is resumed.
    patch(&failed, json!({"suspend": true})).await?;
    failed.until_condition(SUSPENDED).await?;
    ensure!(finished(&failed.get().await?).is_some());
    let rated = rate(cx, &live(cx, &failed).await?).await?;
    ensure!((&*rated.kstatus.status, &*rated.argo.status) == ("Failed", "Degraded"), "{rated:?}");

    let jobs = nowhere.api::<Job>();
    hold(&jobs, &nowhere.name, &[HOLD]).await?;
    nowhere.delete().await?;
    let rated = rate(cx, &live(cx, &nowhere).await?).await?;
    ensure!(rated.kstatus.status == "Terminating", "{rated:?}");
    hold(&jobs, &nowhere.name, &[]).await?;

    // An edit that nobody has seen is work to do.
    operator.end().await?;
    patch(&complete, json!({"args": ["/basetarget/bar"]})).await?;
    check(cx, &complete, UNFINISHED, "the operator has not looked at it yet").await
}

#[apply(shared_test)]
async fn job_that_never_completes_is_current_while_all_its_nodes_are_done(cx: &Test) -> Result<()> {
    let _processes = cx.both().await?;
    let never = CompletionPolicy::Never;
    let job = retained("for-ever").set(|spec| spec.completion_policy = never);
    let (job, pods) = cx.running(&job).await?;
    job.until_completed("0/3").await?;
    check(cx, &job, UNFINISHED, "0 of 3 nodes done").await?;
    exit_well(&pods)?;
    job.until_condition(READY).await?;
    check(cx, &job, SUCCEEDED, "every wanted node is done").await
}
