//! Two replicas, of which one works: leaders are lost, end, and are upgraded while Jobs run.

mod leases;

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use api::names::OPERATOR;
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, ResourceExt as _};

use self::leases::{Leaders, Leases};
use super::faults::work::Work;
use super::scene::Scene;
use super::{install, rights, upgrade};
use crate::cluster::Node;
use crate::fault::{self, Kind, strike};

/// What is installed.
const HA: &str = "deploy/kustomize/ha";

/// How long a lost leader may take to be replaced by one that writes.
const REPLACED: Duration = Duration::from_secs(15);

/// How long a leader that ends may take to hand over.
const HANDED_OVER: Duration = Duration::from_secs(2);

/// Leaders whose processes are killed, and then whose pods are deleted at once.
pub(super) async fn killed_leaders_are_replaced(scene: &Scene<'_>) -> Result<()> {
    install::with(scene, Path::new(HA), async |_| {
        let leases = Leases::watch(scene);
        let leaders = leases.until_led(&Leaders::new()).await?;
        let nodes: Vec<_> = scene.nodes.iter().collect();
        let work = Work::start(scene).await?;
        work.until_running_on(&nodes).await?;

        let struck = Instant::now();
        for (lease, leader) in &leaders {
            strike::kill(scene.cx.cluster, &pod(scene, leader).await?, &[container(lease)?])
                .await?;
        }
        let killed = written(scene, &work, 1, struck).await?;

        let leaders = leases.until_led(&Leaders::new()).await?;
        let leader = pod(scene, leader_of(&leaders)?).await?;
        let struck = Instant::now();
        strike::delete_pod(scene.cx.client, &leader).await?;
        let deleted = written(scene, &work, 2, struck).await?;

        work.open(&nodes).await?;
        work.until_gone(&nodes).await?;
        scene.cx.phase.outcome(format_args!(
            "written {killed:.1?} after both were killed, {deleted:.1?} after their pods were deleted"
        ));
        leases.judge()
    })
    .await
}

/// A leader whose node stands still, and comes back when another one leads.
pub(super) async fn frozen_leader_is_replaced(scene: &Scene<'_>) -> Result<()> {
    lost_leader_is_replaced(scene, Kind::NodeFrozen).await
}

/// A leader that is killed where no kubelet starts it again.
pub(super) async fn dead_leader_is_replaced(scene: &Scene<'_>) -> Result<()> {
    lost_leader_is_replaced(scene, Kind::KubeletFrozen).await
}

async fn lost_leader_is_replaced(scene: &Scene<'_>, fault: Kind) -> Result<()> {
    install::with(scene, Path::new(HA), async |_| {
        let leases = Leases::watch(scene);
        let leaders = leases.until_led(&Leaders::new()).await?;
        let operator = pod(scene, leader_of(&leaders)?).await?;
        let name = operator.spec.as_ref().and_then(|spec| spec.node_name.as_deref());
        let is_its = |node: &&Node| Some(node.name()) == name;
        let (lost, others): (Vec<_>, Vec<_>) = scene.nodes.iter().partition(is_its);
        let lost = lost.first().copied().context("the leader is on no node")?;
        let all: Vec<_> = scene.nodes.iter().collect();
        let work = Work::start(scene).await?;
        work.until_running_on(&all).await?;

        let inflicted = fault::inflict(fault, lost, scene.cx.cluster).await?;
        let struck = Instant::now();
        if fault == Kind::KubeletFrozen {
            strike::kill(scene.cx.cluster, &operator, &["operator", "terminator"]).await?;
        }
        work.open(&others).await?;
        work.until_done_on(others.len(), all.len()).await?;
        let written = struck.elapsed();
        let claimed = leases.taken_over(OPERATOR, &operator.name_any(), struck)?;
        inflicted.heal().await?;
        // It sees that it leads no more.
        work.none_ends().await?;

        work.open(&all).await?;
        work.until_gone(&all).await?;
        scene.cx.phase.outcome(format_args!("claimed after {claimed:.1?}, written {written:.1?}"));
        leases.judge()?;
        ensure!(written <= REPLACED, "written {written:.1?} after the leader was lost");
        Ok(())
    })
    .await
}

/// Leaders whose pods are told to end. Replicas have the rights to elect and no more than one alone.
pub(super) async fn ending_leaders_hand_over(scene: &Scene<'_>) -> Result<()> {
    install::with(scene, Path::new(HA), async |_| {
        rights::of_replicas(scene).await?;
        let leases = Leases::watch(scene);
        let nodes: Vec<_> = scene.nodes.iter().collect();
        let work = Work::start(scene).await?;
        work.until_running_on(&nodes).await?;
        let mut measured = Vec::new();
        for done in 1..nodes.len() {
            scene.cx.deployed.wait_until_available(scene.cx.client, &scene.wait).await?;
            let mut leaders = leases.until_led(&Leaders::new()).await?;
            let leader = leader_of(&leaders)?.to_owned();
            leaders.retain(|_, holder| *holder == leader);
            let told = Instant::now();
            pods(scene).delete(&leader, &Default::default()).await?;
            work.open(&nodes[..done]).await?;
            leases.until_led(&leaders).await?;
            work.until_done_on(done, nodes.len()).await?;
            let gap = leases.longest_gap(told)?;
            ensure!(gap <= HANDED_OVER, "handed over {gap:.1?} after a lease was given back");
            for lease in leaders.keys() {
                measured.push((gap, leases.taken_over(lease, &leader, told)?));
            }
        }
        work.open(&nodes).await?;
        work.until_gone(&nodes).await?;
        scene.cx.phase.outcome(format_args!(
            "(after it was given back, after the pod was told): {measured:.1?}"
        ));
        leases.judge()
    })
    .await
}

/// A rolling upgrade.
pub(super) async fn upgrade_loses_no_job(scene: &Scene<'_>) -> Result<()> {
    let upgraded = install::with(scene, Path::new(HA), async |_| {
        let leases = Leases::watch(scene);
        leases.until_led(&Leaders::new()).await?;
        upgrade::run(scene).await?;
        leases.judge()
    });
    let result = upgraded.await;
    result.and(upgrade::clean_up(scene).await)
}

/// Lets the Jobs be done on so many nodes, and returns how long after `since` all of that was recorded.
async fn written(
    scene: &Scene<'_>,
    work: &Work<'_>,
    done: usize,
    since: Instant,
) -> Result<Duration> {
    let nodes: Vec<_> = scene.nodes.iter().take(done).collect();
    work.open(&nodes).await?;
    work.until_done_on(done, scene.nodes.len()).await?;
    let written = since.elapsed();
    ensure!(written <= REPLACED, "written {written:.1?} after the leaders were lost");
    Ok(written)
}

fn pods(scene: &Scene<'_>) -> Api<Pod> {
    Api::namespaced(scene.cx.client.clone(), &scene.cx.deployed.namespace)
}

async fn pod(scene: &Scene<'_>, name: &str) -> Result<Pod> {
    Ok(pods(scene).get(name).await?)
}

/// The pod whose operator leads.
fn leader_of(leaders: &Leaders) -> Result<&str> {
    leaders.get(OPERATOR).map(String::as_str).context("no operator leads")
}

/// The container whose process takes part in an election.
fn container(lease: &str) -> Result<&'static str> {
    let containers = ["operator", "terminator"];
    let found = containers.into_iter().find(|name| lease.ends_with(name));
    found.with_context(|| format!("lease {lease} is of no container"))
}
