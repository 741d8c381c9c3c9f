//! The main job: the sample manifest removes a directory entry from every node, and then itself.

mod leftovers;

use std::fmt;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, Result, ensure};
use api::names;
use api::v1beta1::{Job, Phase as JobPhase};
use futures::future::try_join_all;
use k8s_openapi::api::apps::v1::DaemonSet;
use kube::api::DeleteParams;
use kube::runtime::watcher;
use kube::{Api, ResourceExt as _};
use tokio::sync::oneshot;

use super::Context;
use crate::cluster::Node;
use crate::wait::{Deadline, Objects, State, Waiter};

/// The manifest, in the workspace.
const MANIFEST: &str = "deploy/samples/job.yaml";
/// The Job in it.
const JOB: &str = "job-sample";
/// The namespace that it is applied to.
const NAMESPACE: &str = "default";
/// What the Job removes on every node.
const TARGET: &str = "/tmp/foo";
/// What it must leave alone. `/tmp` is a tmpfs on a kind node, so a node that merely restarted has
/// lost [`TARGET`] too; this file beside it tells the difference.
const CANARY: &str = "/tmp/daemonset-job-canary";

/// How long the whole scenario may take. The slowest part is the kubelet, which may take a good ten
/// seconds to remove a pod and twice that on a busy machine.
const LIMIT: Duration = Duration::from_secs(180);

/// What was measured.
#[derive(Clone, Copy, Debug)]
pub struct Measured {
    /// From the start of `kubectl apply` until the Job's deletion was requested.
    pub deletion: Duration,
    /// The part of it that came after the API server had the Job.
    pub deletion_after_creation: Duration,
    /// From the start of `kubectl apply` until the last node's file was gone.
    pub files_gone: Duration,
    /// From the start of `kubectl apply` until nothing of the Job was left.
    pub all_gone: Duration,
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "files gone {:.1?}, deletion requested {:.1?} ({:.1?} after creation), all gone {:.1?}",
            self.files_gone, self.deletion, self.deletion_after_creation, self.all_gone
        )
    }
}

/// Runs the sample once, and asserts what it promises.
///
/// # Errors
/// When a promise is broken or the cluster does not answer.
pub async fn run(cx: Context<'_>) -> Result<Measured> {
    let deadline = Deadline::after(LIMIT);
    let wait = Waiter::new(cx.client, cx.phase, NAMESPACE, deadline);
    remove_earlier_job(cx, &wait).await?;
    let nodes = cx.cluster.nodes().await?;
    try_join_all(nodes.iter().map(|node| node.touch(&[TARGET, CANARY]))).await?;
    let restarts = cx.deployed.restarts(cx.client).await?;

    let (watching, started_watching) = oneshot::channel();
    let apply = async {
        started_watching.await.context("the watch of the Job ended early")?;
        let start = Start::now();
        cx.cluster
            .kubectl(["apply", "--namespace", NAMESPACE, "--filename", MANIFEST])
            .name("kubectl-apply-sample")
            .run(cx.logs)
            .await?;
        Ok::<_, anyhow::Error>(start)
    };
    let deletion = async {
        let life = watch_job(cx, &wait, nodes.len(), watching).await?;
        never_early(&nodes).await?;
        Ok(life)
    };
    let files = try_join_all(nodes.iter().map(|node| node.wait_gone(TARGET, deadline)));
    let daemon_set = watch_daemon_set(cx, &wait);
    let (start, life, files, daemon_set) = tokio::try_join!(apply, deletion, files, daemon_set)?;

    leftovers::wait_until_gone(cx, &wait, &[life.uid, daemon_set]).await?;
    let all_gone = start.instant.elapsed();
    for node in &nodes {
        ensure!(
            node.has(CANARY).await?,
            "{CANARY} is gone from {}: the node restarted or the Job removed too much",
            node.name()
        );
    }
    let after = cx.deployed.restarts(cx.client).await?;
    ensure!(after == restarts, "operator or terminator restarted: {restarts:?} became {after:?}");
    try_join_all(nodes.iter().map(|node| node.remove(&[CANARY]))).await?;
    Ok(Measured {
        deletion: life.deletion.duration_since(start.instant),
        deletion_after_creation: life.deletion.duration_since(life.creation),
        files_gone: start.until(files.into_iter().fold(0.0, f64::max)),
        all_gone,
    })
}

/// When the Job was applied, by both clocks.
struct Start {
    instant: Instant,
    time: SystemTime,
}

impl Start {
    fn now() -> Self {
        let (instant, time) = (Instant::now(), SystemTime::now());
        Self { instant, time }
    }

    /// How long after the start a time, in seconds since 1970, was.
    fn until(&self, seconds: f64) -> Duration {
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs_f64(seconds);
        time.duration_since(self.time).unwrap_or_default()
    }
}

/// A cluster that is used again may hold a Job that an interrupted run left.
async fn remove_earlier_job(cx: Context<'_>, wait: &Waiter<'_>) -> Result<()> {
    let jobs: Api<Job> = Api::namespaced(cx.client.clone(), NAMESPACE);
    if let Some(job) = jobs.get_opt(JOB).await? {
        jobs.delete(JOB, &DeleteParams::default()).await?;
        let uid = job.uid().unwrap_or_default();
        leftovers::wait_until_gone(cx, wait, &[uid]).await?;
    }
    Ok(())
}

/// What a watch saw of the Job.
struct Life {
    uid: String,
    creation: Instant,
    deletion: Instant,
}

/// Follows the Job from its creation to the request of its deletion.
async fn watch_job(
    cx: Context<'_>,
    wait: &Waiter<'_>,
    nodes: usize,
    watching: oneshot::Sender<()>,
) -> Result<Life> {
    let jobs: Api<Job> = Api::namespaced(cx.client.clone(), NAMESPACE);
    let config = watcher::Config::default().fields(&format!("metadata.name={JOB}"));
    let mut watching = Some(watching);
    let mut last: Option<(Job, Instant)> = None;
    let (job, creation) = wait
        .watch(jobs, config, "the Job deletes itself", |jobs: &Objects<Job>| {
            if let Some(watching) = watching.take() {
                // Nobody listens any more only when the scenario has failed already.
                let _ = watching.send(());
            }
            let job = jobs.values().next();
            if let Some(job) = job {
                let creation = last.take().map_or_else(Instant::now, |(_, creation)| creation);
                last = Some((job.clone(), creation));
            }
            let ending = job.is_none_or(|job| job.metadata.deletion_timestamp.is_some());
            match &last {
                Some(last) if ending => State::Reached(last.clone()),
                Some((job, _)) => State::Waiting(describe(job)),
                None => State::Waiting("no Job".to_owned()),
            }
        })
        .await?;
    let deletion = Instant::now();
    let status = job.status.clone().unwrap_or_default();
    let all = format!("{nodes}/{nodes}");
    ensure!(
        status.phase == Some(JobPhase::Completed) && status.completed.as_deref() == Some(&all),
        "the Job was deleted before its status said Completed, {all}: {}",
        describe(&job)
    );
    Ok(Life { uid: job.uid().context("the Job has no UID")?, creation, deletion })
}

fn describe(job: &Job) -> String {
    let status = job.status.clone().unwrap_or_default();
    let mut text = match (status.phase, status.completed) {
        (Some(phase), Some(completed)) => format!("{phase:?} {completed}"),
        (Some(phase), None) => format!("{phase:?}"),
        (None, _) => "no status yet".to_owned(),
    };
    for condition in status.conditions {
        let (kind, reason, message) = (condition.type_, condition.reason, condition.message);
        text += &format!("; {kind}={} {reason}: {message}", condition.status);
    }
    text
}

/// The moment a Job goes, its work must be done everywhere.
async fn never_early(nodes: &[Node]) -> Result<()> {
    for node in nodes {
        ensure!(
            !node.has(TARGET).await?,
            "the Job was deleted while {TARGET} was still on {}",
            node.name()
        );
    }
    Ok(())
}

/// Waits for the Job's DaemonSet to appear and returns its UID.
async fn watch_daemon_set(cx: Context<'_>, wait: &Waiter<'_>) -> Result<String> {
    let sets: Api<DaemonSet> = Api::namespaced(cx.client.clone(), NAMESPACE);
    let name = names::daemon_set(JOB);
    let config = watcher::Config::default().fields(&format!("metadata.name={name}"));
    let expected = format!("DaemonSet {name}");
    wait.watch(sets, config, &expected, |sets| match sets.values().find_map(|set| set.uid()) {
        Some(uid) => State::Reached(uid),
        None => State::Waiting("no such DaemonSet".to_owned()),
    })
    .await
}
