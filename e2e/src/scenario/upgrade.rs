//! An upgrade of the operator while Jobs run.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, ensure};
use futures::future::try_join_all;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::events::v1::Event;
use kube::ResourceExt as _;
use serde_json::{Value, json};

use super::scene::Scene;
use super::{job, manifest};
use crate::images;

/// The Jobs that run meanwhile.
const JOBS: [&str; 4] = ["by-word-1", "by-word-2", "by-exit-code-1", "by-exit-code-2"];

/// The Job that is made while nobody is there to see it.
const LATE: &str = "made-meanwhile";

/// What handles the images of a node.
const CTR: [&str; 4] = ["ctr", "--namespace", "k8s.io", "images"];

/// The tag of the image that is upgraded to: the same program under another name.
const TAG: &str = "upgraded";

/// Rollouts by a restart, a changed variable and a changed image lose no Job, end none early, restart
/// no pod and tell nothing twice.
pub(super) async fn loses_no_job(scene: &Scene<'_>) -> Result<()> {
    let result = run(scene).await.and(scene.redeploy().await);
    result.and(clean_up(scene).await)
}

/// Forgets the image of [`run`], which nothing runs any more.
pub(super) async fn clean_up(scene: &Scene<'_>) -> Result<()> {
    let name = format!("docker.io/{}/{}:{TAG}", images::REGISTRY, images::OPERATOR);
    scene.on_all_nodes(&[&CTR[..], &["remove", &name]].concat()).await
}

/// The same, of whatever is installed; it stays upgraded.
pub(super) async fn run(scene: &Scene<'_>) -> Result<()> {
    for name in JOBS {
        scene.apply(&manifest(scene, name).to_string()).await?;
    }
    let nodes = i32::try_from(scene.nodes.len())?;
    for name in JOBS {
        let running = |job: &_| job::status(job).active == nodes;
        scene.job(name).until("a pod on every node", running).await?;
    }
    let lives = try_join_all(JOBS.map(|name| completes(scene, name, async { Ok(()) })));
    tokio::try_join!(lives, upgrade(scene))?;
    nothing_was_told_twice(scene).await
}

/// Upgrades thrice; meanwhile the Jobs are done on one node, and at the end on the others.
async fn upgrade(scene: &Scene<'_>) -> Result<()> {
    let (first, others) = scene.special_node()?;
    let before = pods(scene).await?;
    roll_out(scene, &["rollout", "restart"], &[], async { scene.touch([first], "go").await })
        .await?;
    let late = manifest(scene, LATE).to_string();
    let variable = ["--containers=terminator", "TICKER_DURATION=11"];
    roll_out(scene, &["set", "env"], &variable, scene.apply(&late)).await?;
    let image = format!("operator={}", name_image(scene).await?);
    roll_out(scene, &["set", "image"], &[&image], async { Ok(()) }).await?;
    scene.settle().await;
    for name in JOBS {
        let job = scene.job(name).get().await?;
        let done = job::status(&job).completed;
        ensure!(done == Some(scene.of_all(1)), "{name}: {}", job::describe(&job));
    }
    let after = pods(scene).await?;
    ensure!(after.is_superset(&before), "pods were replaced: {before:?} became {after:?}");
    completes(scene, LATE, scene.touch(others, "go")).await
}

/// Changes the Deployment, does `work` at once, and waits until the new pods are there, all as users do.
async fn roll_out(
    scene: &Scene<'_>,
    verb: &[&str],
    change: &[&str],
    work: impl Future<Output = Result<()>>,
) -> Result<()> {
    let deployment = format!("deployment/{}", scene.cx.deployed.name);
    let before = scene.cx.deployed.pods(scene.cx.client).await?;
    scene.kubectl_ours(&[verb, &[&deployment], change].concat()).await?;
    work.await?;
    scene.kubectl_ours(&["rollout", "status", &deployment]).await?;
    let after = scene.cx.deployed.pods(scene.cx.client).await?;
    let stays = |pod: &Pod| before.iter().any(|before| before.uid() == pod.uid());
    ensure!(!after.iter().any(stays), "kubectl {verb:?} {change:?} replaced no pod");
    Ok(())
}

/// Gives the operator's image another name on every node, and returns it.
async fn name_image(scene: &Scene<'_>) -> Result<String> {
    let name = format!("docker.io/{}/{}", images::REGISTRY, images::OPERATOR);
    let upgraded = format!("{name}:{TAG}");
    let old = format!("{name}:{}", images::VERSION);
    scene.on_all_nodes(&[&CTR[..], &["tag", "--force", &old, &upgraded]].concat()).await?;
    Ok(upgraded)
}

/// The Job goes when it has run on every node, not before.
async fn completes(
    scene: &Scene<'_>,
    name: &str,
    work: impl Future<Output = Result<()>>,
) -> Result<()> {
    scene.job(name).until_deleted(work).await?;
    let ran = scene.nodes_with(name).await?;
    ensure!(ran.len() == scene.nodes.len(), "{name} was deleted when it had run on {ran:?}");
    Ok(())
}

/// Of each Job it was told once that its DaemonSet was created, and once that it completed.
async fn nothing_was_told_twice(scene: &Scene<'_>) -> Result<()> {
    let events = scene.api::<Event>().list(&Default::default()).await?.items;
    let told = events.iter().filter_map(|event| {
        let regarding =
            event.regarding.as_ref().filter(|object| object.kind.as_deref() == Some("Job"))?;
        let times = event.series.as_ref().map_or(1, |series| series.count);
        Some(((regarding.name.clone()?, event.reason.clone()?), times))
    });
    let mut counts: BTreeMap<(String, String), i32> = BTreeMap::new();
    for (what, times) in told {
        *counts.entry(what).or_default() += times;
    }
    let expected = JOBS.iter().chain([&LATE]).flat_map(|name| {
        ["Completed", "SuccessfulCreate"].map(|reason| (((*name).to_owned(), reason.to_owned()), 1))
    });
    ensure!(counts == expected.collect(), "events by Job and reason: {counts:?}");
    Ok(())
}

/// The UIDs of the pods.
async fn pods(scene: &Scene<'_>) -> Result<BTreeSet<String>> {
    let pods = scene.api::<Pod>().list(&Default::default()).await?;
    Ok(pods.items.iter().filter_map(|pod| pod.uid()).collect())
}

fn manifest(scene: &Scene<'_>, name: &str) -> Value {
    let work = format!(
        r"
        trap 'exit 143' TERM
        until [ -e /basetarget/go ]; do sleep 0.2; done
        touch /basetarget/{name}
        "
    );
    if name.contains("exit-code") {
        let mut job = manifest::shell(scene, name, &work);
        job["spec"]["completionMode"] = json!("ExitCode");
        return job;
    }
    manifest::shell(scene, name, &format!("{work}\necho done\nwhile :; do sleep 1; done"))
}
