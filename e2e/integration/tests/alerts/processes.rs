//! Alerts about the processes themselves.

use anyhow::Result;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::api::DeleteParams;
use serde_json::{Value, json};
use testbed::manifests;

use super::account::Account;
use super::{Recording, at_least, exactly};
use crate::job::exit_code_manifest;
use crate::program::Program;
use crate::test::{Test, shared_test};

/// The Role that allows an election in the namespace of a test, and its binding.
const ELECTION: &str = "election";

/// The alerts of both processes.
fn of_both() -> [Value; 2] {
    ["operator", "terminator"].map(|process| json!({"namespace": "n", "process": process}))
}

#[apply(shared_test)]
async fn absent_fires_while_a_process_is_gone(cx: &Test) -> Result<()> {
    let mut recording = Recording::of("DaemonsetJobAbsent")?;
    let [operator, terminator] = cx.programs(&[]).await?;
    recording.quiet(&[("a", &operator), ("a", &terminator)]).await?;
    drop(terminator);
    recording.during(&[("a", &operator)], async { Ok(()) }).await?;
    let [_, terminator] = cx.programs(&[]).await?;
    recording.quiet(&[("a", &operator), ("b", &terminator)]).await?;
    recording.verify(&[json!({"process": "terminator"})]).await
}

#[apply(shared_test)]
async fn no_leader_fires_while_the_election_is_forbidden(cx: &Test) -> Result<()> {
    let mut recording = Recording::of("DaemonsetJobNoLeader")?;
    let rules = json!([{
        "apiGroups": ["coordination.k8s.io"],
        "resources": ["leases"],
        "verbs": ["get", "update", "create"],
    }]);
    cx.create::<Role>(json!({"metadata": {"name": ELECTION}, "rules": rules})).await?;
    allow_election(cx).await?;
    let env = [("POD_NAME", "a"), ("POD_NAMESPACE", cx.namespace.as_str())];
    let programs = &cx.programs(&env).await?;
    let targets = &programs.each_ref().map(|program| ("a", program));
    leads(programs, 1.0).await?;
    recording.quiet(targets).await?;
    cx.api::<RoleBinding>().delete(ELECTION, &DeleteParams::default()).await?;
    recording.during(targets, leads(programs, 0.0)).await?;
    allow_election(cx).await?;
    leads(programs, 1.0).await?;
    recording.quiet(targets).await?;
    recording.verify(&of_both()).await
}

async fn allow_election(cx: &Test) -> Result<()> {
    let account = &cx.cluster.service_account;
    let (namespace, name) = (&account.namespace, &account.name);
    let binding = manifests::binding(ELECTION, "Role", ELECTION, namespace, name);
    cx.create::<RoleBinding>(binding).await.map(drop)
}

async fn leads(programs: &[Program], wanted: f64) -> Result<()> {
    for program in programs {
        exactly(program, "daemonset_job_leader", &[], wanted).await?;
    }
    Ok(())
}

#[apply(shared_test)]
async fn two_leaders_fires_while_replicas_elect_none(cx: &Test) -> Result<()> {
    let mut recording = Recording::of("DaemonsetJobTwoLeaders")?;
    let first = &cx.programs(&[]).await?;
    let alone = &first.each_ref().map(|program| ("a", program));
    recording.quiet(alone).await?;
    let second = cx.programs(&[]).await?;
    let beside = second.each_ref().map(|program| ("b", program));
    recording.during(&[&alone[..], &beside[..]].concat(), leads(&second, 1.0)).await?;
    drop(second);
    recording.quiet(alone).await?;
    recording.verify(&of_both()).await
}

#[apply(shared_test)]
async fn watch_broken_fires_while_a_watch_is_forbidden(cx: &Test) -> Result<()> {
    let mut recording = Recording::of("DaemonsetJobWatchBroken")?;
    let account = Account::create(cx).await?;
    let kubeconfig = account.kubeconfig().await?;
    let operator = started(cx, "operator", &kubeconfig).await?;
    is_synced(&operator, 1).await?;
    recording.quiet(&[("a", &operator)]).await?;
    // A watch that runs outlives the right to it, and so it is missed after the next start.
    drop(operator);
    account.forbid("nodes", &["list", "watch"]).await?;
    let operator = started(cx, "operator", &kubeconfig).await?;
    let targets = &[("b", &operator)];
    let nodes = [("resource", "nodes")];
    let errors = at_least(&operator, "daemonset_job_watch_errors_total", &nodes, 5.0);
    recording.during(targets, errors).await?;
    account.allow_all().await?;
    is_synced(&operator, 2).await?;
    recording.quiet(targets).await?;
    account.delete().await?;
    let labels = json!({"namespace": "n", "process": "operator", "resource": "nodes"});
    recording.verify(&[labels]).await
}

/// Starts a program, and waits until it can be scraped.
pub(super) async fn started(cx: &Test, name: &'static str, kubeconfig: &str) -> Result<Program> {
    let program = cx.program(name, kubeconfig, &[])?;
    cx.until("it can be scraped", async || Ok(program.code("/metrics").await == Some(200))).await?;
    Ok(program)
}

/// Waits until programs of this log have so often said that their caches are complete.
pub(super) async fn is_synced(program: &Program, times: usize) -> Result<()> {
    program.until_log(|log| log.matches("caches are synced").count() >= times).await
}

#[apply(shared_test)]
async fn reconcile_errors_fires_while_a_write_is_forbidden(cx: &Test) -> Result<()> {
    let mut recording = Recording::of("DaemonsetJobReconcileErrors")?;
    let account = Account::create(cx).await?;
    let operator = started(cx, "operator", &account.kubeconfig().await?).await?;
    is_synced(&operator, 1).await?;
    let targets = &[("a", &operator)];
    recording.quiet(targets).await?;
    account.forbid("jobs/status", &["patch"]).await?;
    let job = cx.apply(&exit_code_manifest("unwritten")).await?;
    let kind = [("kind", "forbidden")];
    let errors = at_least(&operator, "daemonset_job_reconcile_errors_total", &kind, 4.0);
    recording.during(targets, errors).await?;
    account.allow_all().await?;
    job.until_observed().await?;
    recording.quiet(targets).await?;
    account.delete().await?;
    let labels = json!({"namespace": "n", "process": "operator", "kind": "forbidden"});
    recording.verify(&[labels]).await
}
