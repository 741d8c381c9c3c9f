//! Other people's hands on the DaemonSet of a Job.

pub(crate) mod admission;
mod restarts;

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use api::job::conditions::{COMPLETE, DAEMON_SET_EDITED, FAILED};
use k8s_openapi::api::apps::v1::{ControllerRevision, DaemonSet};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use serde_json::{Value, json};
use testbed::simulation::SimPod;

use crate::job::{TestJob, condition, exit_code_manifest, exit_well};
use crate::processes::Process;
use crate::test::{Test, merge, settle, shared_test};

/// An image that is not the work's.
const OTHER: &str = "example.org/other:1";

/// Patches the DaemonSet of a Job as a tool of that name does.
async fn patch(job: &TestJob<'_>, manager: &str, spec: Value) -> Result<DaemonSet> {
    let params = PatchParams { field_manager: Some(manager.to_owned()), ..PatchParams::default() };
    let patch = Patch::Strategic(json!({"spec": spec}));
    Ok(job.api::<DaemonSet>().patch(&job.daemon_set_name(), &params, &patch).await?)
}

/// Sets another image for the work, as `kubectl set image` does.
async fn set_image(job: &TestJob<'_>, manager: &str, image: &str) -> Result<DaemonSet> {
    let image = json!({"name": "job-container", "image": image});
    patch(job, manager, json!({"template": {"spec": {"initContainers": [image]}}})).await
}

/// The pod template as JSON.
fn template(daemon_set: &DaemonSet) -> Value {
    json!(daemon_set.spec.as_ref().map(|spec| &spec.template))
}

/// Waits until the DaemonSet of a Job is as expected.
async fn until(
    job: &TestJob<'_>,
    what: &str,
    mut is_so: impl FnMut(&DaemonSet) -> bool,
) -> Result<DaemonSet> {
    let name = job.daemon_set_name();
    job.waiter().object(job.api::<DaemonSet>(), &name, what, |it| is_so(it)).await
}

fn worker(daemon_set: &DaemonSet) -> Value {
    let pod = &template(daemon_set)["spec"];
    let mut containers = ["initContainers", "containers"]
        .iter()
        .flat_map(|list| pod[*list].as_array().cloned().unwrap_or_default());
    containers.find(|it| it["name"] == "job-container").unwrap_or_default()
}

/// Waits until the work has our image again.
async fn until_ours(job: &TestJob<'_>) -> Result<DaemonSet> {
    until(job, "our image", |it| worker(it)["image"] != OTHER).await
}

async fn runs_on(job: &TestJob<'_>) -> Result<()> {
    let now = job.get().await?;
    ensure!(condition(&now, COMPLETE).is_none() && condition(&now, FAILED).is_none(), "{now:?}");
    Ok(())
}

/// Lets the pods succeed that run now on the nodes of these, which may have been replaced.
async fn succeed_on(job: &TestJob<'_>, pods: &[SimPod]) -> Result<()> {
    for pod in pods {
        let node = pod.node().context("a node")?;
        job.pod(&node).await?.exit(0)?;
    }
    job.until_all_done().await
}

#[apply(shared_test)]
async fn f08_selector_that_a_downscaler_sets_is_put_back_and_no_job_ends(cx: &Test) -> Result<()> {
    let _processes = cx.both().await?;
    let job = cx.apply(&exit_code_manifest("asleep")).await?;
    job.pods().await?;
    let asleep = json!({"template": {"spec": {"nodeSelector": {"asleep": "yes"}}}});
    patch(&job, "downscaler", asleep).await?;
    until(&job, "our selector alone", |it| {
        template(it)["spec"]["nodeSelector"] == json!({"kubernetes.io/os": "linux"})
    })
    .await?;
    let edited = job.until_condition(DAEMON_SET_EDITED).await?;
    ensure!(edited.message.contains("downscaler"), "{edited:?}");
    let words = ["downscaler", "have that tool leave the DaemonSet alone"];
    cx.until_explained("asleep", "DaemonSetEdited", &words).await?;
    settle().await;
    runs_on(&job).await?;
    let events = cx.events(DAEMON_SET_EDITED).await?;
    ensure!(events.len() == 1 && events[0].type_.as_deref() == Some("Warning"), "{events:?}");
    // The controller replaced them, or came too late for that.
    job.complete_by_exit_code().await
}

#[apply(shared_test)]
async fn f09_work_that_was_rolled_back_is_put_back_and_completes(cx: &Test) -> Result<()> {
    let _processes = cx.both().await?;
    let work = |word: &str| exit_code_manifest("rolled-back").command(["echo", word]);
    let (job, first) = cx.running(&work("one")).await?;
    cx.apply(&work("two")).await?;
    job.pods_other_than(&first).await?;
    let revisions = job.api::<ControllerRevision>().list(&ListParams::default()).await?;
    let earlier = revisions.iter().min_by_key(|it| it.revision).context("a revision")?;
    let spec = json!(earlier.data)["spec"].clone();
    patch(&job, "kubectl-rollout", spec).await?;
    until(&job, "the current work", |it| worker(it)["command"] == json!(["echo", "two"])).await?;
    settle().await;
    runs_on(&job).await?;
    // The controller replaced them, or came too late for that.
    for node in crate::cluster::NODES {
        let pod = job.pod(node).await?;
        let is_current = json!(pod.object().spec).to_string().contains("two");
        ensure!(is_current, "{:?}", pod.object().spec);
        pod.exit(0)?;
    }
    job.until_all_done().await
}

#[apply(shared_test)]
async fn image_that_was_set_while_nobody_looked_counts_for_nothing(cx: &Test) -> Result<()> {
    let (operator, _terminator) = cx.both().await?;
    let (job, ours) = cx.running(&exit_code_manifest("other-image")).await?;
    operator.kill();
    set_image(&job, "kubectl-set", OTHER).await?;
    let foreign = job.pods_other_than(&ours).await?;
    exit_well(&foreign)?;
    let _operator = cx.operator().await?;
    until_ours(&job).await?;
    let anew = job.pods_other_than(&foreign).await?;
    settle().await;
    runs_on(&job).await?;
    job.until_completed("0/3").await?;
    exit_well(&anew)?;
    job.until_all_done().await
}

#[apply(shared_test)]
async fn what_others_edit_in_the_daemon_set_is_put_back_and_results_stay(cx: &Test) -> Result<()> {
    let _processes = cx.both().await?;
    let (job, pods) = cx.running_with_one_done(&exit_code_manifest("edited")).await?;

    let metadata = json!({
        "labels": {"daemonset-job": null, "team": "b"}, "annotations": {"note": "c"},
        "ownerReferences": null,
    });
    let strategy = json!({"type": "OnDelete", "rollingUpdate": null});
    let edit = json!({"metadata": metadata, "spec": {"updateStrategy": strategy}});
    merge(&job.api::<DaemonSet>(), &job.daemon_set_name(), edit).await?;
    let back = until(&job, "our labels, owner and strategy", |it| {
        it.labels().get("daemonset-job").is_some_and(|value| value == "true")
            && it.owner_references().iter().any(|owner| owner.controller == Some(true))
            && json!(it.spec)["updateStrategy"]["rollingUpdate"]["maxUnavailable"] == "100%"
    })
    .await?;
    ensure!(back.labels().get("team").is_some_and(|value| value == "b"), "{back:?}");
    ensure!(back.annotations().contains_key("note"), "{back:?}");

    // As `kubectl rollout restart` does.
    let key = "kubectl.kubernetes.io/restartedAt";
    let metadata = json!({"annotations": {key: "2026-01-01T00:00:00Z"}});
    patch(&job, "kubectl-rollout", json!({"template": {"metadata": metadata}})).await?;
    until(&job, "our annotations", |it| template(it)["metadata"]["annotations"][key].is_null())
        .await?;

    let container = json!({
        "name": "job-container", "env": [{"name": "A", "value": "b"}], "command": ["true"],
    });
    let pod = json!({
        "initContainers": [container],
        // Beside our hostPath this is invalid: a volume has one source.
        "volumes": [{"name": "basetarget", "hostPath": null, "emptyDir": {}}],
        "affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []}},
        "hostNetwork": true,
    });
    patch(&job, "kubectl-edit", json!({"template": {"spec": pod}, "minReadySeconds": 5})).await?;
    let put_back = until(&job, "our template", |it| {
        let pod = &template(it)["spec"];
        worker(it)["env"].is_null()
            && worker(it)["command"].is_null()
            && pod["hostNetwork"].is_null()
            && pod["affinity"].is_null()
            && !pod["volumes"][0]["hostPath"].is_null()
    })
    .await?;
    ensure!(template(&put_back)["spec"]["volumes"][0]["emptyDir"].is_null());

    job.until_completed("1/3").await?;
    settle().await;
    runs_on(&job).await?;
    // The controller replaced them, or came too late for that.
    succeed_on(&job, &pods[1..]).await
}

#[apply(shared_test)]
async fn deleted_daemon_set_comes_back_and_results_stay(cx: &Test) -> Result<()> {
    let _processes = cx.both().await?;
    for (name, params) in
        [("deleted", DeleteParams::background()), ("orphaned", DeleteParams::orphan())]
    {
        let (job, pods) = cx.running_with_one_done(&exit_code_manifest(name)).await?;
        let before = job.daemon_set().await?.uid();
        job.api::<DaemonSet>().delete(&job.daemon_set_name(), &params).await?;
        until(&job, "another one", |it| it.uid() != before).await?;
        settle().await;
        job.until_completed("1/3").await?;
        succeed_on(&job, &pods[1..]).await?;
    }
    Ok(())
}

/// Requests of the operator that change DaemonSets.
fn daemon_set_writes(operator: &Process) -> usize {
    operator.writes().iter().filter(|it| it.uri.contains("/daemonsets/")).count()
}

#[apply(shared_test)]
async fn controller_that_fights_makes_no_hot_loop_and_is_reported_once(cx: &Test) -> Result<()> {
    let (operator, _terminator) = cx.both().await?;
    let job = cx.apply(&exit_code_manifest("fought-over")).await?;
    job.pods().await?;
    let fight = async {
        loop {
            set_image(&job, "a-fighter", OTHER).await?;
            until_ours(&job).await?;
        }
    };
    let before = daemon_set_writes(&operator);
    let fought: Result<Result<()>, _> = tokio::time::timeout(Duration::from_secs(10), fight).await;
    ensure!(fought.is_err(), "{fought:?}");
    let writes = daemon_set_writes(&operator) - before;
    // At once, and after 1, 2 and 4 s; each may take two writes.
    ensure!((1..=10).contains(&writes), "{writes} writes in 10 s");
    let edited = job.until_condition(DAEMON_SET_EDITED).await?;
    ensure!(edited.message.contains("a-fighter"), "{edited:?}");
    runs_on(&job).await?;
    until_ours(&job).await?;
    settle().await;
    ensure!(cx.events(DAEMON_SET_EDITED).await?.len() == 1);
    for pod in job.pods().await? {
        let is_ours = !json!(pod.object().spec).to_string().contains(OTHER);
        ensure!(is_ours, "{:?}", pod.object().spec);
        pod.exit(0)?;
    }
    job.until_all_done().await
}

#[apply(shared_test)]
async fn label_and_sidecar_of_another_manager_stay_and_the_job_completes(cx: &Test) -> Result<()> {
    let (operator, _terminator) = cx.both().await?;
    let (job, old) = cx.running(&exit_code_manifest("shared-with")).await?;
    let added = json!({
        "apiVersion": "apps/v1", "kind": "DaemonSet",
        "metadata": {"labels": {"team": "b"}},
        "spec": {"template": {
            "metadata": {"labels": {"team": "b"}, "annotations": {"note": "c"}},
            "spec": {"containers": [{"name": "sidecar", "image": "example.org/sidecar:1"}]},
        }},
    });
    let params = PatchParams::apply("a-platform");
    let name = job.daemon_set_name();
    job.api::<DaemonSet>().patch(&name, &params, &Patch::Apply(added)).await?;
    let anew = job.pods_other_than(&old).await?;
    operator.until_quiet().await?;
    let now = template(&job.daemon_set().await?);
    ensure!(now["metadata"]["labels"]["team"] == "b", "{now}");
    ensure!(now["spec"]["containers"].as_array().is_some_and(|all| all.len() == 2), "{now}");
    exit_well(anew)?;
    job.until_all_done().await
}

#[apply(shared_test)]
async fn f21_labels_and_annotations_reach_the_daemon_set_and_run_nothing(cx: &Test) -> Result<()> {
    let _processes = cx.both().await?;
    let labelled = |team: &str| {
        let metadata = json!({"labels": {"of-pods": "yes"}, "annotations": {"also": "pods"}});
        exit_code_manifest("labels")
            .label("team", team)
            .annotation("downscaler/exclude", "true")
            .template(json!({"metadata": metadata}))
    };
    let (job, pods) = cx.running(&labelled("a")).await?;
    let daemon_set = job.daemon_set().await?;
    ensure!(daemon_set.labels().get("team").is_some_and(|team| team == "a"));
    ensure!(daemon_set.annotations().contains_key("downscaler/exclude"));
    let pod: Pod = pods[0].object();
    ensure!(pod.labels().contains_key("of-pods") && pod.annotations().contains_key("also"));
    cx.apply(&labelled("b")).await?;
    let after =
        until(&job, "the new label", |it| it.labels().get("team").is_some_and(|it| it == "b"))
            .await?;
    ensure!(after.metadata.generation == daemon_set.metadata.generation, "{after:?}");
    settle().await;
    let now = job.get().await?;
    ensure!(condition(&now, DAEMON_SET_EDITED).is_none(), "{now:?}");
    exit_well(pods)?;
    job.until_all_done().await
}
