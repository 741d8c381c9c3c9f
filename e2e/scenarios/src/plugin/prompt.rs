//! How soon `run --follow` prints what pods say.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result};
use api::labels::JOB_CONTAINER;
use futures::StreamExt as _;
use harness::job_handle::node_of;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt as _;
use kube::api::{ListParams, LogParams};
use kube::runtime::watcher::{self, Event};

use crate::support::env::ScenarioEnv;

/// Time between two looks at what is printed.
const LOOK: Duration = Duration::from_millis(5);

/// A time for each node.
pub(super) type Times = BTreeMap<String, SystemTime>;

/// When the API server says of each node that its job container runs.
pub(super) async fn running(env: &ScenarioEnv<'_>) -> Result<Times> {
    let pods = kube::runtime::watcher(env.api::<Pod>(), watcher::Config::default());
    let mut pods = std::pin::pin!(pods);
    let mut times = Times::new();
    while times.len() < env.nodes.len() {
        let event = pods.next().await.context("the watch of pods has ended")??;
        let (Event::Apply(pod) | Event::InitApply(pod)) = event else { continue };
        if let (Some(node), true) = (node_of(&pod), runs(&pod)) {
            times.entry(node.to_owned()).or_insert_with(SystemTime::now);
        }
    }
    Ok(times)
}

/// Whether the job container runs.
fn runs(pod: &Pod) -> bool {
    let status = pod.status.clone().unwrap_or_default();
    let containers = status.init_container_statuses.into_iter().chain(status.container_statuses);
    let mut own = containers.flatten().filter(|it| it.name == JOB_CONTAINER);
    own.any(|it| it.state.is_some_and(|state| state.running.is_some()))
}

/// When a file has this word of each node.
pub(super) async fn printed(env: &ScenarioEnv<'_>, file: &Path, word: &str) -> Times {
    let mut times = Times::new();
    while times.len() < env.nodes.len() {
        let text = std::fs::read_to_string(file).unwrap_or_default();
        for node in &env.nodes {
            if text.contains(&format!("[{}] {word}\n", node.name())) {
                times.entry(node.name().to_owned()).or_insert_with(SystemTime::now);
            }
        }
        tokio::time::sleep(LOOK).await;
    }
    times
}

/// When the pods said this word, by the time stamps in their logs.
pub(super) async fn said(env: &ScenarioEnv<'_>, job: &str, word: &str) -> Result<Times> {
    let pods = env.api::<Pod>();
    let of_job = ListParams::default().labels(&format!("{}={job}", api::labels::LABEL_JOB));
    let params = LogParams {
        container: Some(JOB_CONTAINER.to_owned()),
        timestamps: true,
        ..LogParams::default()
    };
    let mut times = Times::new();
    for pod in pods.list(&of_job).await? {
        let log = pods.logs(&pod.name_any(), &params).await?;
        let line = log.lines().find_map(|line| line.strip_suffix(word)?.strip_suffix(' '));
        let stamp: Timestamp = line.with_context(|| format!("no {word} in {log}"))?.parse()?;
        times.insert(node_of(&pod).context("a node")?.to_owned(), stamp.into());
    }
    Ok(times)
}

/// The shortest time from one to the other, of all nodes. Other scenarios keep the machine busy.
pub(super) fn shortest(from: &Times, to: &Times) -> Option<Duration> {
    let times = to.iter().filter_map(|(node, to)| {
        Some(to.duration_since(*from.get(node)?).unwrap_or(Duration::ZERO))
    });
    times.min()
}

/// The later of two times for each node.
pub(super) fn later(one: &Times, other: &Times) -> Times {
    one.iter().filter_map(|(node, at)| Some((node.clone(), *at.max(other.get(node)?)))).collect()
}
