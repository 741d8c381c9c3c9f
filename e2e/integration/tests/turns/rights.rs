//! Rights and requests of Jobs whose nodes take turns, and of those whose do not.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result, ensure};
use api::job::conditions::WAITING;
use harness::job_handle::describe;
use k8s_openapi::api::admissionregistration::v1::ValidatingAdmissionPolicyBinding;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};
use testbed::control_plane::Request;

use super::places::Places;
use super::{apply_in_order, gated, in_turn, patch, until_at_work};
use crate::account::{self, Account};
use crate::admission::{delete_policy, deny};
use crate::cluster::NODES;
use crate::job::{condition, exit_code_manifest};
use crate::processes::Process;
use crate::test::{Test, create, settle, shared_test};

/// Binds the policy of `deploy/` to an account.
async fn confine(cx: &Test, name: &str) -> Result<()> {
    let account = json!({
        "name": name, "namespace": cx.namespace, "parameterNotFoundAction": "Allow",
    });
    let binding = json!({
        "metadata": {"name": cx.namespace},
        "spec": {
            "policyName": "daemonset-job-pods", "paramRef": account, "validationActions": ["Deny"],
        },
    });
    create(&cx.all::<ValidatingAdmissionPolicyBinding>(), binding).await?;
    Ok(())
}

#[apply(shared_test)]
async fn without_the_right_nothing_starts_the_job_says_so_and_goes_on_once_it_is_given(
    cx: &Test,
) -> Result<()> {
    let account = Account::create(cx).await?;
    account.forbid(&[("pods", &["patch"])]).await?;
    let operator = cx.operator_as(account::NAME).await?;
    let _terminator = cx.terminator().await?;
    let places = Places::watch(cx).await?;
    let job = apply_in_order(cx, in_turn("refused", 0), 2).await?;
    let is_told = |job: &api::job::Job| {
        condition(job, WAITING).is_some_and(|waiting| waiting.reason == "ReleaseRefused")
    };
    let told = job.until("that pods may not start", is_told).await?;
    let waiting = condition(&told, WAITING).context("just seen")?;
    let words = "cannot patch resource \"pods\"";
    ensure!(waiting.message.contains(words), "{}", describe(&told));
    // It does not fail open, and does not insist.
    settle().await;
    ensure!(places.started() == 0, "{places:?}");
    let attempts = patches_of_pods(&operator).len();
    ensure!(attempts <= 10, "{attempts} attempts in about a second");
    let still = job.get().await?;
    ensure!(is_told(&still), "{}", describe(&still));
    let words = ["refuses to let their pods start", "cannot patch resource \\\"pods\\\""];
    cx.until_explained("refused", "Waiting", &words).await?;
    let words = ["refuses what the operator writes", words[1]];
    cx.until_explained("refused", "WriteRefused", &words).await?;
    account.allow_all().await?;
    // The policy of `deploy/` does not confine this account yet.
    let is_unconfined = |job: &api::job::Job| {
        let policy = "deploy/25-pod-policy.yaml";
        condition(job, WAITING).is_some_and(|waiting| waiting.message.contains(policy))
    };
    job.until("that a policy is missing", is_unconfined).await?;
    settle().await;
    ensure!(places.started() == 0, "{places:?}");
    confine(cx, account::NAME).await?;
    until_at_work(&job, 2, 1).await?;
    for node in NODES {
        job.pod(node).await?.exit(0)?;
    }
    job.until_all_done().await?;
    ensure!(places.most() == 2, "{places:?}");
    let bindings = cx.all::<ValidatingAdmissionPolicyBinding>();
    bindings.delete(&cx.namespace, &DeleteParams::default()).await?;
    account.delete().await
}

/// The requests of a process that patch a pod itself, and not its status, but for those that only try.
pub(super) fn patches_of_pods(process: &Process) -> Vec<Request> {
    let mut writes = process.writes();
    writes.retain(|request| kind(request) == "PATCH pods" && !request.uri.contains("dryRun=All"));
    writes
}

/// What a request does, without names.
fn kind(request: &Request) -> String {
    let path = request.uri.split('?').next().unwrap_or_default();
    let mut parts = path.split('/').skip_while(|part| *part != "namespaces").skip(2);
    let resource = parts.next().unwrap_or(path);
    let subresource = parts.nth(1).map(|part| format!("/{part}")).unwrap_or_default();
    format!("{} {resource}{subresource}", request.method)
}

/// How many requests of each kind a process has sent.
fn counts(process: &Process) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for request in process.writes() {
        *counts.entry(kind(&request)).or_default() += 1;
    }
    counts
}

#[apply(shared_test)]
async fn job_without_turns_sends_what_it_sent_before_there_were_any(cx: &Test) -> Result<()> {
    let (operator, _terminator) = cx.both().await?;
    let job = cx.apply(&exit_code_manifest("plain")).await?;
    job.complete_by_exit_code().await?;
    job.until_stopped().await?;
    settle().await;
    let counts = counts(&operator);
    let kinds: BTreeSet<&str> = counts.keys().map(String::as_str).collect();
    let before = [
        "DELETE daemonsets",
        "PATCH daemonsets",
        "PATCH jobs/status",
        "PATCH pods/status",
        "POST events",
    ];
    ensure!(kinds == BTreeSet::from(before), "{counts:?}");
    ensure!(counts["PATCH daemonsets"] == 1 && counts["DELETE daemonsets"] == 1, "{counts:?}");
    let status = json!(job.get().await?.status);
    for field in ["waiting", "startedNodes", "stoppingNodes"] {
        ensure!(status[field] == Value::Null, "{status}");
    }
    Ok(())
}

/// Has the API server refuse changes of this one pod.
async fn refuse_changes_of(cx: &Test, pod: &str) -> Result<()> {
    let pods = json!({
        "apiGroups": [""], "apiVersions": ["v1"], "operations": ["UPDATE"], "resources": ["pods"],
    });
    deny(cx, pods, &format!("request.name != '{pod}'"), "not this one").await?;
    let label = Patch::Merge(json!({"metadata": {"labels": {"a": "b"}}}));
    let dry_run = PatchParams::default().dry_run();
    let is_refused = async || Ok(cx.api::<Pod>().patch(pod, &dry_run, &label).await.is_err());
    cx.until("the policy is enforced", is_refused).await
}

#[apply(shared_test)]
async fn pod_that_somebody_elses_policy_refuses_holds_up_no_other(cx: &Test) -> Result<()> {
    let _processes = cx.both().await?;
    let job = cx.apply(&in_turn("one-refused", 0)).await?;
    until_at_work(&job, 0, 3).await?;
    let refused = gated(&job).await?.into_iter().next().context("a pod")?;
    let name = refused.metadata.name.context("a name")?;
    refuse_changes_of(cx, &name).await?;
    patch(&job, json!({"parallelism": 3})).await?;
    until_at_work(&job, 2, 1).await?;
    let told = job.get().await?;
    let waiting = condition(&told, WAITING).context("it does not say why")?;
    let is_told = waiting.reason == "ReleaseRefused" && waiting.message.contains("not this one");
    ensure!(is_told, "{waiting:?}");
    delete_policy(cx).await?;
    job.complete_by_exit_code().await
}
