//! Two replicas, of which one works: leaders are lost, end, and are upgraded while Jobs run.

mod leases;

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use api::labels::OPERATOR;
use harness::job_handle::node_of;
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, ResourceExt as _};
use testbed::faults::{self, Fault, kill};
use testbed::kind::Node;

use self::leases::{Leaders, Leases};
use crate::rights;
use crate::rollout::upgrade;
use crate::support::env::ScenarioEnv;
use crate::support::install;
use crate::support::work::Work;

/// The install of these scenarios.
pub(crate) const INSTALL: &str = "deploy/kustomize/ha";

/// How long a lost leader may take to be replaced by one that writes.
const REPLACED: Duration = Duration::from_secs(15);

/// How long a leader that ends may take to hand over.
const HANDED_OVER: Duration = Duration::from_secs(2);

/// Leaders whose processes are killed, and then whose pods are deleted at once.
///
/// Replicas have the rights to elect, and beside these only those of a single one.
pub(crate) async fn killed_leaders_are_replaced(env: &ScenarioEnv<'_>) -> Result<()> {
    rights::are_those_that_are_listed(env).await?;
    let leases = Leases::watch(env);
    let leaders = leases.until_led(&Leaders::new()).await?;
    let nodes: Vec<_> = env.nodes.iter().collect();
    let work = Work::start(env).await?;
    work.until_running_on(&nodes).await?;

    let lost = Instant::now();
    for (lease, leader) in &leaders {
        let leader = pod(env, leader).await?;
        kill::containers(env.cx.cluster, &leader, &[container(lease)?]).await?;
    }
    let killed = written(env, &work, 1, lost).await?;

    let leaders = leases.until_led(&Leaders::new()).await?;
    let leader = pod(env, leader_of(&leaders)?).await?;
    let lost = Instant::now();
    kill::delete_pod(env.cx.client, &leader).await?;
    let deleted = written(env, &work, 2, lost).await?;

    work.open(&nodes).await?;
    work.until_gone(&nodes).await?;
    env.cx.phase.outcome(format_args!(
        "written {killed:.1?} after both were killed, {deleted:.1?} after their pods were deleted"
    ));
    leases.verify()
}

/// The plain install with a second replica: one works, and hands over when it ends.
pub(crate) async fn scaled_install_has_one_leader(env: &ScenarioEnv<'_>) -> Result<()> {
    let result = scaled(env).await;
    result.and(install::redeploy(env.cx).await)
}

async fn scaled(env: &ScenarioEnv<'_>) -> Result<()> {
    let leases = Leases::watch(env);
    let all: Vec<_> = env.nodes.iter().collect();
    let work = Work::start(env).await?;
    work.until_running_on(&all).await?;
    env.kubectl_ours(&["scale", "deployment", &env.cx.deployed.name, "--replicas=2"]).await?;
    env.cx.deployed.wait_until_available(env.cx.client, &env.wait).await?;
    let leaders = leases.until_led(&Leaders::new()).await?;
    let ended = Instant::now();
    env.kubectl_ours(&["delete", "pod", leader_of(&leaders)?, "--wait=false"]).await?;
    leases.until_led(&leaders).await?;
    let gap = leases.longest_gap(ended)?;
    ensure!(gap <= HANDED_OVER, "handed over {gap:.1?} after a lease was given back");
    work.open(&all).await?;
    work.until_gone(&all).await?;
    leases.verify()
}

/// A leader whose node stands still, and comes back when another one leads.
pub(crate) async fn frozen_leader_is_replaced(env: &ScenarioEnv<'_>) -> Result<()> {
    let leases = Leases::watch(env);
    let leaders = leases.until_led(&Leaders::new()).await?;
    let operator = pod(env, leader_of(&leaders)?).await?;
    let is_its = |node: &&Node| Some(node.name()) == node_of(&operator);
    let (frozen, others): (Vec<_>, Vec<_>) = env.nodes.iter().partition(is_its);
    let frozen = frozen.first().copied().context("the leader is on no node")?;
    let all: Vec<_> = env.nodes.iter().collect();
    let work = Work::start(env).await?;
    work.until_running_on(&all).await?;

    let inflicted = faults::inflict(Fault::NodeFrozen, frozen, env.cx.cluster).await?;
    let lost = Instant::now();
    work.open(&others).await?;
    work.until_done_on(others.len(), all.len()).await?;
    let written = lost.elapsed();
    let claimed = leases.taken_over(OPERATOR, &operator.name_any(), lost)?;
    inflicted.heal().await?;
    // It sees that it leads no more.
    work.none_ends().await?;

    work.open(&all).await?;
    work.until_gone(&all).await?;
    env.cx.phase.outcome(format_args!("claimed after {claimed:.1?}, written {written:.1?}"));
    leases.verify()?;
    ensure!(written <= REPLACED, "written {written:.1?} after the leader was lost");
    Ok(())
}

/// A rolling upgrade. Leaders that are asked to end hand over at once.
pub(crate) async fn upgrade_loses_no_job(env: &ScenarioEnv<'_>) -> Result<()> {
    let leases = Leases::watch(env);
    leases.until_led(&Leaders::new()).await?;
    let begun = Instant::now();
    let result = upgrade::run(env).await;
    result.and(upgrade::clean_up(env).await)?;
    let gap = leases.longest_gap(begun)?;
    ensure!(gap <= HANDED_OVER, "handed over {gap:.1?} after a lease was given back");
    env.cx.phase.outcome(format_args!("handed over within {gap:.1?}"));
    leases.verify()
}

/// Lets the Jobs be done on so many nodes, and returns how long after `since` all of that was recorded.
async fn written(
    env: &ScenarioEnv<'_>,
    work: &Work<'_>,
    done: usize,
    since: Instant,
) -> Result<Duration> {
    let nodes: Vec<_> = env.nodes.iter().take(done).collect();
    work.open(&nodes).await?;
    work.until_done_on(done, env.nodes.len()).await?;
    let written = since.elapsed();
    ensure!(written <= REPLACED, "written {written:.1?} after the leaders were lost");
    Ok(written)
}

fn pods(env: &ScenarioEnv<'_>) -> Api<Pod> {
    Api::namespaced(env.cx.client.clone(), &env.cx.deployed.namespace)
}

async fn pod(env: &ScenarioEnv<'_>, name: &str) -> Result<Pod> {
    Ok(pods(env).get(name).await?)
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
