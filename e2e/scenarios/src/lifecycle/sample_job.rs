//! The main job: the sample manifest removes a directory entry from every node, and then itself.

use std::fmt;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, Result, ensure};
use api::job::Job;
use futures::future::try_join_all;
use harness::deadline::Deadline;
use harness::job_handle::JobHandle;
use harness::kubectl;
use harness::wait::Waiter;
use kube::ResourceExt as _;
use testbed::kind::Node;

use crate::support::context::Context;
use crate::support::leftovers;

/// The manifest, in the workspace.
const MANIFEST: &str = "deploy/samples/job.yaml";
/// The Job in it.
const JOB: &str = "job-sample";
/// The namespace that it is applied to.
const NAMESPACE: &str = "default";
/// What the Job removes on every node.
const TARGET: &str = "/tmp/foo";
/// What it must leave alone. `/tmp` is a tmpfs on a kind node, so a node that merely restarted has
/// lost [`TARGET`] too; this file beside it shows the difference.
const CANARY: &str = "/tmp/daemonset-job-canary";

/// How long the whole may take. A busy kubelet takes twenty seconds for a pod.
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

/// Runs the sample once, and asserts its result.
pub async fn run(cx: Context<'_>) -> Result<Measured> {
    let deadline = Deadline::after(LIMIT);
    let wait = Waiter::new(cx.client, cx.phase, NAMESPACE, deadline);
    let job = JobHandle::new(JOB, NAMESPACE, wait);
    remove_earlier(&job).await?;
    let nodes = cx.cluster.nodes().await?;
    try_join_all(nodes.iter().map(|node| node.touch(&[TARGET, CANARY]))).await?;
    let restarts = cx.deployed.restarts(cx.client).await?;

    let apply = async {
        let start = Start::now();
        let apply = cx
            .cluster
            .kubectl(["apply", "--namespace", NAMESPACE, "--filename", MANIFEST])
            .name("kubectl-apply-sample");
        kubectl::without_warning(apply, cx.logs).await?;
        Ok(start)
    };
    let deletion = async {
        let (life, start) = job.until_deleted(apply).await?;
        never_early(&nodes).await?;
        ensure!(life.status.desired == i32::try_from(nodes.len())?, "{:?}", life.status);
        Ok((life, start))
    };
    let files = try_join_all(nodes.iter().map(|node| node.wait_gone(TARGET, deadline)));
    let daemon_set = job.daemon_set();
    let ((life, start), files, daemon_set) = tokio::try_join!(deletion, files, daemon_set)?;

    until_gone(&job, &[life.uid, daemon_set.uid().unwrap_or_default()]).await?;
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
async fn remove_earlier(job: &JobHandle<'_>) -> Result<()> {
    if let Some(earlier) = job.api::<Job>().get_opt(JOB).await? {
        job.delete().await?;
        until_gone(job, &[earlier.uid().context("the Job has no UID")?]).await?;
    }
    Ok(())
}

/// Waits until nothing is left of the Job, nor of its `owners` (UIDs).
async fn until_gone(job: &JobHandle<'_>, owners: &[String]) -> Result<()> {
    let is_meant = |meta: &_| leftovers::belongs(meta, JOB, owners);
    leftovers::until_gone(job.waiter(), NAMESPACE, is_meant).await
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
