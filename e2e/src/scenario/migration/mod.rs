//! From the first implementation to this one, in place, while its Jobs run.

use std::time::Duration;

use anyhow::{Result, bail, ensure};
use api::names;
use api::v1beta1::Job;
use futures::future::try_join_all;
use k8s_openapi::api::apps::v1::DaemonSet;
use kube::api::PostParams;
use kube::{Api, Resource as _, ResourceExt as _};
use serde_json::{Value, json};

use super::scene::Scene;
use crate::images::BUSYBOX;

/// What the first implementation registered.
const CRD: &str = include_str!("first-crd.yaml");

/// The API that its custom resource was defined by, until Kubernetes 1.22.
const GROUP: &str = "apiextensions.k8s.io";
const VERSION: &str = "apiextensions.k8s.io/v1beta1";

/// What takes its place.
const OUR_CRD: &str = "deploy/10-crd.yaml";

/// Why that cannot be applied over it: an object of the old API keeps unknown fields unless told not to.
const REFUSAL: &str = "spec.preserveUnknownFields";

/// A Job whose containers are at work.
const WORKING: &str = "working";
/// A Job whose containers have logged the word on all nodes that it was given.
const DONE: &str = "done";
/// A Job that has no DaemonSet yet.
const NEW: &str = "new";
const JOBS: [&str; 3] = [WORKING, DONE, NEW];

/// Jobs that the first implementation left are done by this one, on every node; where they had run
/// already, they run a second time.
pub(super) async fn ends_the_jobs_of_the_first_implementation(scene: &Scene<'_>) -> Result<()> {
    let groups = scene.cx.client.list_api_groups().await?.groups;
    let versions = groups.iter().filter(|group| group.name == GROUP);
    let mut versions = versions.flat_map(|group| &group.versions);
    if !versions.any(|version| version.group_version == VERSION) {
        return cannot_exist(scene).await;
    }
    let result = migrate(scene).await;
    // Whatever came of it, the cluster is to have the plain install.
    result.and(scene.redeploy().await)
}

/// Where there is no such API, there is nothing to migrate from.
async fn cannot_exist(scene: &Scene<'_>) -> Result<()> {
    let apply = ["apply", "--filename", "-"];
    let applied = scene.cx.cluster.kubectl(apply).stdin(CRD).run(scene.cx.logs).await;
    ensure!(applied.is_err(), "{VERSION} is not served, but what needs it was accepted");
    scene.cx.phase.outcome(format_args!(
        "nothing to migrate from: this Kubernetes has no {VERSION}, so the first implementation cannot be here"
    ));
    Ok(())
}

async fn migrate(scene: &Scene<'_>) -> Result<()> {
    scene.uninstall().await?;
    scene.kubectl(&["apply", "--filename", "-"], CRD).await?;
    let served = ["wait", "--for=condition=Established", "crd/jobs.daemonset.darkowlzz.space"];
    scene.kubectl(&served, "").await?;
    for name in JOBS {
        scene.apply(&job(scene, name).to_string()).await?;
    }
    let done = format!("go-{DONE}");
    scene.touch(&scene.nodes, &done).await?;
    for name in [WORKING, DONE] {
        create_daemon_set(scene, name).await?;
    }
    // No pod of the first implementation tolerated the taint of a control plane.
    let workers = scene.nodes.len() - 1;
    scene.until_pods_run(2 * workers).await?;
    until_runs(scene, 2 * workers).await?;
    // Whoever begins anew is not to be done at once.
    let done = format!("{}/{done}", scene.folder());
    scene.on_all_nodes(&["rm", &done]).await?;

    replace_crd(scene).await?;
    scene.redeploy().await?;
    for name in JOBS {
        let running = |job: &Job| super::job::status(job).active == count(scene.nodes.len());
        scene.job(name).until("a pod on every node", running).await?;
    }
    until_runs(scene, JOBS.len() * scene.nodes.len() + 2 * workers).await?;
    scene.settle().await;
    for name in JOBS {
        let go = async { scene.touch(&scene.nodes, &format!("go-{name}")).await };
        scene.job(name).until_deleted(go).await?;
    }
    for name in JOBS {
        let done = scene.nodes_with(&format!("ran-{name}")).await?;
        ensure!(done.len() == scene.nodes.len(), "{name} has run on {done:?}");
    }
    let mut runs = runs(scene).await?;
    runs.sort_unstable();
    scene.cx.phase.outcome(format_args!("runs of three Jobs by node: {runs:?}"));
    // Each once on every node, and two of them on workers before.
    let mut expected = vec![5; workers];
    expected.insert(0, 3);
    ensure!(runs == expected, "runs by node: {runs:?}, expected {expected:?}");
    scene.until_stopped().await
}

/// Replaces the definition and keeps the Jobs, as the page on the migration tells: applying would be
/// refused.
async fn replace_crd(scene: &Scene<'_>) -> Result<()> {
    let kubectl = |args: &[&str]| scene.cx.cluster.kubectl(args).run(scene.cx.logs);
    match kubectl(&["apply", "--filename", OUR_CRD]).await {
        Ok(_) => bail!("it can be applied: the page on the migration says otherwise"),
        Err(error) => {
            let is_known = error.tail.iter().any(|line| line.contains(REFUSAL));
            ensure!(is_known, "refused for another reason: {error}");
        }
    }
    kubectl(&["replace", "--save-config", "--filename", OUR_CRD]).await?;
    Ok(())
}

/// Waits until the Jobs have begun so often, on all nodes together.
async fn until_runs(scene: &Scene<'_>, wanted: usize) -> Result<()> {
    loop {
        let begun: usize = runs(scene).await?.iter().sum();
        if begun == wanted {
            return Ok(());
        }
        let left = scene.wait.deadline().remaining();
        ensure!(begun < wanted && !left.is_zero(), "{begun} runs have begun, not {wanted}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// How often any of the Jobs has begun, by node.
async fn runs(scene: &Scene<'_>) -> Result<Vec<usize>> {
    let file = format!("{}/runs", scene.folder());
    let cat = ["sh", "-c", "cat \"$1\" 2>/dev/null || true", "sh", &file];
    let runs = try_join_all(scene.nodes.iter().map(|node| node.exec(cat).run(scene.cx.logs)));
    Ok(runs.await?.iter().map(|output| output.text().lines().count()).collect())
}

fn count(nodes: usize) -> i32 {
    i32::try_from(nodes).unwrap_or(i32::MAX)
}

/// A Job with the fields that the first implementation knew.
fn job(scene: &Scene<'_>, name: &str) -> Value {
    let script = format!(
        "trap 'exit 0' TERM\n\
         echo {name} >> /basetarget/runs\n\
         until [ -e /basetarget/go-{name} ]; do sleep 0.2; done\n\
         touch /basetarget/ran-{name}\n\
         echo done\n\
         while :; do sleep 1; done\n"
    );
    json!({
        "apiVersion": Job::api_version(&()),
        "kind": Job::kind(&()),
        "metadata": {"name": name},
        "spec": {"image": BUSYBOX, "args": ["sh", "-c", script], "mountPath": scene.folder()},
    })
}

/// Makes the DaemonSet of a Job as the first implementation did.
async fn create_daemon_set(scene: &Scene<'_>, name: &str) -> Result<()> {
    let job: Job = scene.job(name).get().await?;
    let set = format!("{name}-daemonset-job");
    let labels = json!({"daemonset": set, "job": name, "daemonset-job": "true"});
    let set = json!({
        "metadata": {"name": set, "ownerReferences": [job.controller_owner_ref(&())]},
        "spec": {
            "selector": {"matchLabels": {"daemonset": set}},
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "containers": [{
                        "name": names::JOB_CONTAINER,
                        "image": job.spec.image,
                        "args": job.spec.args,
                        "volumeMounts": [{"name": "basetarget", "mountPath": "/basetarget"}],
                    }],
                    "volumes": [{
                        "name": "basetarget",
                        "hostPath": {"path": scene.folder()},
                    }],
                },
            },
        },
    });
    let sets: Api<DaemonSet> = scene.api();
    let set = sets.create(&PostParams::default(), &serde_json::from_value(set)?).await?;
    ensure!(set.name_any().starts_with(name), "{set:?}");
    Ok(())
}
