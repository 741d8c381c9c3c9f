//! Our own processes end in the midst of their work.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Result;
use k8s_openapi::api::core::v1::Pod;
use kube::runtime::watcher;
use kube::{Api, ResourceExt as _};

use super::work::Work;
use crate::cluster::Node;
use crate::fault::strike;
use crate::scenario::scene::{Scene, describe, is_running};
use crate::wait::{Objects, State};

/// How often they are killed.
const KILLS: usize = 20;

/// The kill with which the first gate opens. Before that pods are created.
const FIRST_GATE: usize = 6;

/// The longest time from the opening of a gate to a kill. In the middle of it the work is done, and the
/// word of it is on its way.
const LONGEST_WAY: Duration = Duration::from_millis(600);

pub(in crate::scenario) async fn operator_killed(scene: &Scene<'_>) -> Result<()> {
    killed_again_and_again(scene, &["operator"]).await
}

pub(in crate::scenario) async fn terminator_killed(scene: &Scene<'_>) -> Result<()> {
    killed_again_and_again(scene, &["terminator"]).await
}

pub(in crate::scenario) async fn both_killed(scene: &Scene<'_>) -> Result<()> {
    killed_again_and_again(scene, &["operator", "terminator"]).await
}

/// Kills containers of our pod while four Jobs are created, work, complete, and go. The pod is replaced
/// after every second kill: the kubelet would keep the third one waiting.
async fn killed_again_and_again(scene: &Scene<'_>, containers: &[&str]) -> Result<()> {
    let work = Work::start_pairs(scene, 2).await?;
    let mut gates = gates(scene, &work).into_iter();
    let mut killed = BTreeSet::new();
    for kill in 0..KILLS {
        let pod = until_running(scene, containers, &killed).await?;
        if kill >= FIRST_GATE
            && let Some((job, node)) = gates.next()
        {
            work.open_gate(&job, &[node]).await?;
            tokio::time::sleep(LONGEST_WAY * u32::try_from(kill % 4)? / 3).await;
        }
        strike::kill(scene.cx.cluster, &pod, containers).await?;
        for name in containers {
            killed.insert(strike::container_id(&pod, name)?.to_owned());
        }
        if kill % 2 == 1 {
            strike::delete_pod(scene.cx.client, &pod).await?;
        }
    }
    finish(scene, work).await
}

/// Replaces our pod while Jobs run, in turn gently and at once.
pub(in crate::scenario) async fn pod_deleted(scene: &Scene<'_>) -> Result<()> {
    let work = Work::start_pairs(scene, 1).await?;
    let nodes: Vec<_> = scene.nodes.iter().collect();
    work.until_running_on(&nodes).await?;
    for (turn, (job, node)) in gates(scene, &work).into_iter().enumerate() {
        let pod = until_running(scene, &[], &BTreeSet::new()).await?;
        work.open_gate(&job, &[node]).await?;
        if turn % 2 == 0 {
            let pods: Api<Pod> =
                Api::namespaced(scene.cx.client.clone(), &scene.cx.deployed.namespace);
            pods.delete(&pod.name_any(), &Default::default()).await?;
        } else {
            strike::delete_pod(scene.cx.client, &pod).await?;
        }
    }
    finish(scene, work).await
}

async fn finish(scene: &Scene<'_>, work: Work<'_>) -> Result<()> {
    let nodes: Vec<_> = scene.nodes.iter().collect();
    work.open(&nodes).await?;
    work.until_gone(&nodes).await
}

/// A gate for each Job and node, those of one Job after those of another.
fn gates<'a>(scene: &'a Scene<'_>, work: &Work<'_>) -> Vec<(String, &'a Node)> {
    let of_job = |job: &String| scene.nodes.iter().map(|node| (job.clone(), node)).collect();
    work.jobs().iter().flat_map(|job| -> Vec<_> { of_job(job) }).collect()
}

/// Waits until our pod runs, these containers of it with other ids than before.
async fn until_running(
    scene: &Scene<'_>,
    containers: &[&str],
    before: &BTreeSet<String>,
) -> Result<Pod> {
    let pods: Api<Pod> = Api::namespaced(scene.cx.client.clone(), &scene.cx.deployed.namespace);
    scene
        .wait
        .watch(pods, watcher::Config::default(), "our pod running again", |pods: &Objects<Pod>| {
            let is_other = |pod: &Pod| {
                let mut ids = containers.iter().map(|name| strike::container_id(pod, name));
                ids.all(|id| id.is_ok_and(|id| !before.contains(id)))
            };
            match pods.values().find(|pod| is_running(pod) && is_other(pod)) {
                Some(pod) => State::Reached(pod.clone()),
                None => State::Waiting(pods.values().map(describe).collect()),
            }
        })
        .await
}
