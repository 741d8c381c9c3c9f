//! Alerts about the processes themselves.

use anyhow::Result;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::api::DeleteParams;
use serde_json::json;
use testbed::manifests;

use super::Recording;
use crate::metrics::until;
use crate::program::Program;
use crate::test::{Test, shared_test};

/// The Role that allows an election in the namespace of a test, and its binding.
const ELECTION: &str = "election";

#[apply(shared_test)]
async fn absent_and_two_leaders_fire_while_a_process_is_gone_or_doubled(cx: &Test) -> Result<()> {
    let mut recording = Recording::of(&["DaemonsetJobAbsent", "DaemonsetJobTwoLeaders"])?;
    let [operator, terminator] = cx.programs(&[]).await?;
    recording.quiet(&[("a", &operator), ("a", &terminator)]).await?;
    drop(terminator);
    let kubeconfig = cx.kubeconfig().await?;
    let second = started(cx, "operator", &kubeconfig).await?;
    let leads = leads(std::slice::from_ref(&second), 1.0);
    recording.during(&[("a", &operator), ("b", &second)], leads).await?;
    drop(second);
    let terminator = started(cx, "terminator", &kubeconfig).await?;
    recording.quiet(&[("a", &operator), ("b", &terminator)]).await?;
    let doubled = json!({"namespace": "n", "process": "operator"});
    let gone = json!({"process": "terminator"});
    recording.verify(&[("DaemonsetJobAbsent", gone), ("DaemonsetJobTwoLeaders", doubled)]).await
}

#[apply(shared_test)]
async fn no_leader_fires_while_the_election_is_forbidden(cx: &Test) -> Result<()> {
    let mut recording = Recording::of(&["DaemonsetJobNoLeader"])?;
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
    let of = |process: &str| json!({"namespace": "n", "process": process});
    let both = ["operator", "terminator"].map(|process| ("DaemonsetJobNoLeader", of(process)));
    recording.verify(&both).await
}

async fn allow_election(cx: &Test) -> Result<()> {
    let account = &cx.cluster.service_account;
    let (namespace, name) = (&account.namespace, &account.name);
    let binding = manifests::binding(ELECTION, "Role", ELECTION, namespace, name);
    cx.create::<RoleBinding>(binding).await.map(drop)
}

async fn leads(programs: &[Program], wanted: f64) -> Result<()> {
    for program in programs {
        until(program, "daemonset_job_leader", &[], wanted).await?;
    }
    Ok(())
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
