//! Jobs whose nodes take turns.

mod edits;
mod limit;
mod places;
mod rights;

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use api::job::conditions::WAITING;
use api::job::{Job, JobSpec};
use api::labels::{self, TURN_GATE};
use harness::job_builder::JobBuilder;
use harness::job_handle::{describe, status};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use serde_json::{Value, json};

use self::places::Places;
use self::rights::patches_of_pods;
use crate::cluster::NODES;
use crate::job::{TestJob, condition, exit_code_manifest};
use crate::test::{Test, merge, settle, shared_test};

/// A Job that lets so many nodes start at once.
pub(crate) fn in_turn(name: &str, parallelism: i32) -> JobBuilder {
    let parallelism = Some(IntOrString::Int(parallelism));
    exit_code_manifest(name).set(|spec| spec.parallelism = parallelism)
}

/// Applies a Job that is paused, and lets so many nodes start at once when all pods are there: by name then.
async fn apply_in_order(cx: &Test, paused: JobBuilder, parallelism: i32) -> Result<TestJob<'_>> {
    let job = cx.apply(&paused).await?;
    until_at_work(&job, 0, 3).await?;
    patch(&job, json!({"parallelism": parallelism})).await?;
    Ok(job)
}

/// Edits the spec of a Job as `kubectl patch` does.
pub(crate) async fn patch(job: &TestJob<'_>, spec: Value) -> Result<()> {
    merge(&job.api::<Job>(), &job.name, json!({"spec": spec})).await.map(drop)
}

/// Whether the pod waits for its node's turn.
fn is_gated(pod: &Pod) -> bool {
    let gates = pod.spec.as_ref().and_then(|spec| spec.scheduling_gates.as_ref());
    gates.into_iter().flatten().any(|gate| gate.name == TURN_GATE)
}

/// The pods of a Job that wait for their turn.
pub(crate) async fn gated(job: &TestJob<'_>) -> Result<Vec<Pod>> {
    let pods = job.api::<Pod>().list(&ListParams::default()).await?;
    Ok(pods.items.into_iter().filter(is_gated).collect())
}

/// Waits until so many nodes of a Job are at work and so many wait, and sees that it stays so.
pub(crate) async fn until_at_work(job: &TestJob<'_>, active: i32, waiting: i32) -> Result<Job> {
    let is_so = |job: &Job| (status(job).active, status(job).waiting) == (active, waiting);
    let what = format!("{active} nodes at work, {waiting} waiting");
    job.until(&what, is_so).await?;
    settle().await;
    let now = job.get().await?;
    ensure!(is_so(&now), "{}", describe(&now));
    Ok(now)
}

#[apply(shared_test)]
async fn nodes_take_turns_by_name_and_the_status_says_what_they_wait_for(cx: &Test) -> Result<()> {
    let (operator, _terminator) = cx.both().await?;
    let job = apply_in_order(cx, in_turn("one-by-one", 0), 1).await?;
    let mut done = Vec::new();
    for (number, node) in NODES.into_iter().enumerate() {
        let pod = job.another_pod(&done).await?;
        ensure!(pod.node().as_deref() == Some(node), "{:?} before {node}", pod.node());
        let left = i32::try_from(NODES.len() - number - 1)?;
        let now = until_at_work(&job, 1, left).await?;
        let waiting = condition(&now, WAITING);
        ensure!(waiting.is_some() == (left > 0), "{}", describe(&now));
        if let Some(waiting) = waiting {
            ensure!(waiting.reason == "PlacesInUse", "{waiting:?}");
            ensure!(waiting.message.contains("1 of 1 places in use"), "{waiting:?}");
        }
        pod.exit(0)?;
        done.push(pod);
    }
    job.until_all_done().await?;
    let ended = job.get().await?;
    ensure!(condition(&ended, WAITING).is_none(), "{}", describe(&ended));
    // One release a node, and none is doubled.
    let releases = patches_of_pods(&operator);
    let uris: BTreeSet<_> = releases.iter().map(|request| &request.uri).collect();
    ensure!((releases.len(), uris.len()) == (NODES.len(), NODES.len()), "{releases:?}");
    Ok(())
}

#[apply(shared_test)]
async fn canary_that_fails_holds_the_rest_and_one_that_succeeds_does_not(cx: &Test) -> Result<()> {
    let _processes = cx.both().await?;
    let canary = |spec: &mut JobSpec| {
        let labels = [("kubernetes.io/hostname".to_owned(), "worker-1".to_owned())];
        let match_labels = Some(labels.into());
        spec.order = vec![LabelSelector { match_labels, ..LabelSelector::default() }];
    };
    let manifest = exit_code_manifest("canary").backoff_limit(0).set(canary);
    let job = cx.apply(&manifest).await?;
    let pod = job.another_pod(&[]).await?;
    ensure!(pod.node().as_deref() == Some("worker-1"), "{:?}", pod.node());
    pod.exit(1)?;
    pod.restart()?;
    let failed = |job: &Job| status(job).failed == 1;
    job.until("a failed node", failed).await?;
    let now = until_at_work(&job, 0, 2).await?;
    let waiting = condition(&now, WAITING).map(|waiting| waiting.message.clone());
    ensure!(waiting.is_some_and(|why| why.contains("worker-1")), "{}", describe(&now));
    ensure!(gated(&job).await?.len() == 2);
    job.delete().await?;
    job.until_gone().await?;

    let job = cx.apply(&manifest).await?;
    let pod = job.another_pod(&[]).await?;
    pod.exit(0)?;
    // Without a limit all others start at once.
    for node in ["control-plane", "worker-2"] {
        job.pod(node).await?.exit(0)?;
    }
    job.until_all_done().await
}

#[apply(shared_test)]
async fn done_node_is_never_started_again_whatever_becomes_of_its_pod(cx: &Test) -> Result<()> {
    let _processes = cx.both().await?;
    let job = cx.apply(&in_turn("once", 1)).await?;
    let first = job.another_pod(&[]).await?;
    first.exit(0)?;
    job.until_completed("1/3").await?;
    let second = job.another_pod(std::slice::from_ref(&first)).await?;
    job.api::<Pod>().delete(&first.name(), &DeleteParams::default()).await?;
    let is_back = async || Ok(gated(&job).await?.len() == 2);
    cx.until("a new pod of the done node, which waits", is_back).await?;
    settle().await;
    let now = job.get().await?;
    ensure!((status(&now).succeeded, status(&now).active) == (1, 1), "{}", describe(&now));
    second.exit(0)?;
    job.another_pod(&[first, second]).await?.exit(0)?;
    job.until_all_done().await
}

#[apply(shared_test)]
async fn new_operator_goes_on_where_the_one_before_was_killed(cx: &Test) -> Result<()> {
    let places = Places::watch(cx).await?;
    let _terminator = cx.terminator().await?;
    let mut operator = cx.operator().await?;
    let job = cx.apply(&in_turn("killed", 1)).await?;
    let mut done = Vec::new();
    for _ in NODES {
        let pod = job.another_pod(&done).await?;
        operator.kill();
        pod.exit(0)?;
        operator = cx.operator().await?;
        done.push(pod);
    }
    job.until_all_done().await?;
    ensure!(places.most() == 1, "{places:?}");
    operator.end().await
}

/// The operator relies on this before it releases pods of a status that it has not just written.
#[apply(shared_test)]
async fn status_that_is_applied_again_changes_nothing_and_only_in_its_own_version(
    cx: &Test,
) -> Result<()> {
    let operator = cx.operator().await?;
    let job = cx.apply(&in_turn("confirmed", 0)).await?;
    let before = until_at_work(&job, 0, 3).await?;
    operator.kill();
    let params = PatchParams::apply(labels::OPERATOR).force();
    let confirm = async |of: &Job| {
        let metadata = json!({
            "name": job.name, "uid": of.metadata.uid,
            "resourceVersion": of.metadata.resource_version,
        });
        let patch = json!({
            "apiVersion": "daemonset.darkowlzz.space/v1beta1", "kind": "Job",
            "metadata": metadata, "status": before.status,
        });
        job.api::<Job>().patch_status(&job.name, &params, &Patch::Apply(patch)).await
    };
    let label = json!({"metadata": {"labels": {"a": "b"}}});
    let after = merge(&job.api::<Job>(), &job.name, label).await?;
    let stale = confirm(&before).await.err();
    ensure!(stale.as_ref().is_some_and(runtime::client::is_conflict), "{stale:?}");
    let confirmed = confirm(&after).await?;
    ensure!(confirmed.metadata.resource_version == after.metadata.resource_version);
    Ok(())
}
