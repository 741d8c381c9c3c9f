//! Our own processes end in the midst of their work.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use anyhow::Result;
use harness::wait::{Objects, State};
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::runtime::watcher;
use testbed::faults::kill;

use crate::support::env::{ScenarioEnv, describe, is_running};
use crate::support::work::Work;

/// How often they are killed.
const KILLS: usize = 20;

/// The containers of our pod.
const CONTAINERS: [&str; 2] = ["operator", "terminator"];

/// The kill with which the first work is released. Before that pods are created.
const FIRST_RELEASE: usize = 6;

/// The longest time from a release to a kill: the word is on its way then.
const LONGEST_WAY: Duration = Duration::from_millis(600);

/// Kills both containers of our pod while four Jobs are created, work, complete, and go. The pod is replaced
/// after every second kill: the kubelet would keep the third one waiting.
pub(crate) async fn both_killed(env: &ScenarioEnv<'_>) -> Result<()> {
    let work = Work::start_pairs(env, 2).await?;
    let mut releases = VecDeque::new();
    for job in work.jobs() {
        releases.extend(env.nodes.iter().map(|node| (job.clone(), node)));
    }
    let mut killed = BTreeSet::new();
    for kill in 0..KILLS {
        let pod = until_running(env, &killed).await?;
        if kill >= FIRST_RELEASE
            && let Some((job, node)) = releases.pop_front()
        {
            work.release(&job, &[node]).await?;
            tokio::time::sleep(LONGEST_WAY * u32::try_from(kill % 4)? / 3).await;
        }
        kill::containers(env.cx.cluster, &pod, &CONTAINERS).await?;
        for name in CONTAINERS {
            killed.insert(kill::container_id(&pod, name)?.to_owned());
        }
        if kill % 2 == 1 {
            kill::delete_pod(env.cx.client, &pod).await?;
        }
    }
    let nodes: Vec<_> = env.nodes.iter().collect();
    work.open(&nodes).await?;
    work.until_gone(&nodes).await
}

/// Waits until our pod runs, with other containers than these.
pub(crate) async fn until_running(env: &ScenarioEnv<'_>, before: &BTreeSet<String>) -> Result<Pod> {
    let pods: Api<Pod> = Api::namespaced(env.cx.client.clone(), &env.cx.deployed.namespace);
    env.wait
        .watch(pods, watcher::Config::default(), "our pod running again", |pods: &Objects<Pod>| {
            let is_other = |pod: &Pod| {
                let mut ids = CONTAINERS.iter().map(|name| kill::container_id(pod, name));
                ids.all(|id| id.is_ok_and(|id| !before.contains(id)))
            };
            let running = pods.values().find(|pod| is_running(pod) && is_other(pod));
            State::of(running.cloned(), || pods.values().map(describe).collect())
        })
        .await
}
