//! An upgrade of the operator while Jobs run.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use futures::future::try_join_all;
use harness::images;
use harness::job_builder::JobBuilder;
use harness::job_handle::{describe, status};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::events::v1::Event;
use kube::ResourceExt as _;

use crate::support::env::ScenarioEnv;
use crate::support::install;

/// The Jobs that run meanwhile.
const JOBS: [&str; 4] = ["by-word-1", "by-word-2", "by-exit-code-1", "by-exit-code-2"];

/// The Job that is made while nobody is there to see it.
const LATE: &str = "made-meanwhile";

/// What handles the images of a node.
const CTR: [&str; 4] = ["ctr", "--namespace", "k8s.io", "images"];

/// The tag of the image that is upgraded to: the same program under another name.
const TAG: &str = "upgraded";

/// Rollouts by a restart, a changed variable and a changed image lose no Job, end none early, restart
/// no pod and report nothing twice.
pub(crate) async fn loses_no_job(env: &ScenarioEnv<'_>) -> Result<()> {
    let result = run(env).await.and(install::redeploy(env.cx).await);
    result.and(clean_up(env).await)
}

/// Forgets the image of [`run`], which nothing runs any more.
pub(crate) async fn clean_up(env: &ScenarioEnv<'_>) -> Result<()> {
    let name = format!("docker.io/{}/{}:{TAG}", images::REGISTRY, images::OPERATOR);
    env.on_all_nodes(&[&CTR[..], &["remove", &name]].concat()).await
}

/// The same, of whatever is installed; it stays upgraded.
pub(crate) async fn run(env: &ScenarioEnv<'_>) -> Result<()> {
    for name in JOBS {
        env.apply(&manifest(env, name)).await?;
    }
    let nodes = i32::try_from(env.nodes.len())?;
    for name in JOBS {
        let running = |job: &_| status(job).active == nodes;
        env.job(name).until("a pod on every node", running).await?;
    }
    let lives = try_join_all(JOBS.map(|name| completes(env, name, async { Ok(()) })));
    tokio::try_join!(lives, upgrade(env))?;
    nothing_was_told_twice(env).await
}

/// Upgrades thrice; meanwhile the Jobs are done on one node, and at the end on the others.
async fn upgrade(env: &ScenarioEnv<'_>) -> Result<()> {
    let (first, others) = env.special_node()?;
    let before = env.pod_uids().await?;
    roll_out(env, &["rollout", "restart"], &[], async { env.touch([first], "go").await }).await?;
    let late = manifest(env, LATE);
    let variable = ["--containers=terminator", "TICKER_DURATION=11"];
    roll_out(env, &["set", "env"], &variable, env.apply(&late)).await?;
    let image = format!("operator={}", name_image(env).await?);
    roll_out(env, &["set", "image"], &[&image], async { Ok(()) }).await?;
    env.settle().await;
    for name in JOBS {
        let job = env.job(name).get().await?;
        let done = status(&job).completed;
        ensure!(done == Some(env.of_all(1)), "{name}: {}", describe(&job));
    }
    let after = env.pod_uids().await?;
    ensure!(after.is_superset(&before), "pods were replaced: {before:?} became {after:?}");
    completes(env, LATE, env.touch(others, "go")).await
}

/// Changes the Deployment, does `work` at once, and waits until the new pods are there, all as users do.
async fn roll_out(
    env: &ScenarioEnv<'_>,
    verb: &[&str],
    change: &[&str],
    work: impl Future<Output = Result<()>>,
) -> Result<()> {
    let deployment = format!("deployment/{}", env.cx.deployed.name);
    let before = env.cx.deployed.pods(env.cx.client).await?;
    env.kubectl_ours(&[verb, &[&deployment], change].concat()).await?;
    work.await?;
    env.kubectl_ours(&["rollout", "status", &deployment]).await?;
    let after = env.cx.deployed.pods(env.cx.client).await?;
    let stays = |pod: &Pod| before.iter().any(|before| before.uid() == pod.uid());
    ensure!(!after.iter().any(stays), "kubectl {verb:?} {change:?} replaced no pod");
    Ok(())
}

/// Gives the operator's image another name on every node, and returns it.
async fn name_image(env: &ScenarioEnv<'_>) -> Result<String> {
    let name = format!("docker.io/{}/{}", images::REGISTRY, images::OPERATOR);
    let upgraded = format!("{name}:{TAG}");
    let old = format!("{name}:{}", images::VERSION);
    env.on_all_nodes(&[&CTR[..], &["tag", "--force", &old, &upgraded]].concat()).await?;
    Ok(upgraded)
}

/// The Job goes when it has run on every node, not before.
async fn completes(
    env: &ScenarioEnv<'_>,
    name: &str,
    work: impl Future<Output = Result<()>>,
) -> Result<()> {
    env.job(name).until_deleted(work).await?;
    let ran = env.nodes_with(name).await?;
    ensure!(ran.len() == env.nodes.len(), "{name} was deleted when it had run on {ran:?}");
    Ok(())
}

/// Each Job had one event of its DaemonSet, and one of its completion.
async fn nothing_was_told_twice(env: &ScenarioEnv<'_>) -> Result<()> {
    let events = env.api::<Event>().list(&Default::default()).await?.items;
    let reported = events.iter().filter_map(|event| {
        let regarding =
            event.regarding.as_ref().filter(|object| object.kind.as_deref() == Some("Job"))?;
        let times = event.series.as_ref().map_or(1, |series| series.count);
        Some(((regarding.name.clone()?, event.reason.clone()?), times))
    });
    let mut counts: BTreeMap<(String, String), i32> = BTreeMap::new();
    for (what, times) in reported {
        *counts.entry(what).or_default() += times;
    }
    let expected = JOBS.iter().chain([&LATE]).flat_map(|name| {
        ["Completed", "SuccessfulCreate"].map(|reason| (((*name).to_owned(), reason.to_owned()), 1))
    });
    ensure!(counts == expected.collect(), "events by Job and reason: {counts:?}");
    Ok(())
}

fn manifest(env: &ScenarioEnv<'_>, name: &str) -> JobBuilder {
    let work = format!(
        r"
        trap 'exit 143' TERM
        until [ -e /basetarget/go ]; do sleep 0.2; done
        touch /basetarget/{name}
        "
    );
    match name.contains("exit-code") {
        true => env.shell(name, &work).exit_code(),
        false => env.shell(name, &format!("{work}\necho done\nwhile :; do sleep 1; done")),
    }
}
