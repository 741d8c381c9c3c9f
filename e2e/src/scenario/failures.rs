//! A container that fails on one node only, under different limits.

use anyhow::{Result, ensure};
use api::conditions::FAILED;
use api::v1beta1::{JobStatus, NodeState, Phase};

use super::job::{self, WatchedJob};
use super::scene::Scene;
use crate::cluster::Node;
use crate::images::BUSYBOX;

const JOB: &str = "fails-on-one-node";

/// A Job whose container fails on one node, and waits on the others for the file `go`. `limits` are
/// further lines of its spec.
fn manifest(scene: &Scene<'_>, failing: &str, limits: &str) -> String {
    let folder = scene.folder();
    format!(
        r#"
apiVersion: daemonset.darkowlzz.space/v1beta1
kind: Job
metadata:
  name: {JOB}
spec:
  completionMode: ExitCode
  image: {BUSYBOX}
  mountPath: {folder}
  {limits}
  command: [sh, -c]
  args:
    - |
      trap 'exit 143' TERM
      if [ "$NODE" = {failing} ]; then
        echo "no space left" >&2
        exit 3
      fi
      until [ -e /basetarget/go ]; do sleep 0.2; done
      touch /basetarget/ran
  template:
    spec:
      containers:
        - name: job-container
          env:
            - name: NODE
              valueFrom:
                fieldRef:
                  fieldPath: spec.nodeName
"#
    )
}

/// Without a limit, every other node runs to its end.
pub(super) async fn keep_no_other_node_from_its_end(scene: &Scene<'_>) -> Result<()> {
    // The first run is forgiven.
    let restarts = 1;
    finishes_after_the_others(scene, restarts, "backoffLimitPerNode: 1").await
}

/// A limit that is not passed changes nothing about that.
pub(super) async fn within_the_limit_let_the_rest_finish(scene: &Scene<'_>) -> Result<()> {
    let limits = "backoffLimitPerNode: 0\n  maxFailedNodes: 1";
    finishes_after_the_others(scene, 0, limits).await
}

async fn finishes_after_the_others(scene: &Scene<'_>, restarts: i32, limits: &str) -> Result<()> {
    let (failing, others) = scene.special_node()?;
    let failing = failing.name();
    scene.apply(&manifest(scene, failing, limits)).await?;
    let job = scene.job(JOB);
    let running = job
        .until("one node failed, the others running", |job| {
            let nodes = job::status(job).nodes;
            let running = nodes.iter().filter(|node| node.state == NodeState::Running).count();
            job::status(job).failed == 1 && running == others.len()
        })
        .await?;
    ensure!(job::status(&running).phase == Some(Phase::Running), "{}", job::describe(&running));
    scene.settle().await;
    ensure!(job::finished(&job.get().await?).is_none(), "it did not wait for the others");

    scene.touch(others, "go").await?;
    let message =
        format!("done on {} of {} nodes, failed on: {failing}", others.len(), scene.nodes.len());
    let status = has_failed(job, "NodesFailed", &message).await?;
    ensure!(usize::try_from(status.succeeded)? == others.len(), "{status:?}");
    let node = job::node(&status, failing)?;
    // The kubelet goes on trying until the Job has ended.
    ensure!(node.state == NodeState::Failed && node.restarts >= restarts, "{node:?}");
    ensure!(node.exit_code == Some(3), "{node:?}");
    let text = node.message.as_deref().unwrap_or_default();
    ensure!(text.contains("no space left"), "the message of the container is lost: {node:?}");
    let ran = scene.nodes_with("ran").await?;
    ensure!(ran == others.iter().map(Node::name).collect::<Vec<_>>(), "ran on {ran:?}");
    stays_when_all_is_stopped(scene, job).await
}

/// Where none is borne, the first failed node stops the others.
pub(super) async fn end_a_job_that_bears_none(scene: &Scene<'_>) -> Result<()> {
    let (failing, _) = scene.special_node()?;
    let limits = "backoffLimitPerNode: 0\n  maxFailedNodes: 0";
    scene.apply(&manifest(scene, failing.name(), limits)).await?;
    let job = scene.job(JOB);
    let message =
        format!("1 node failed, more than the 0 of spec.maxFailedNodes: {}", failing.name());
    let status = has_failed(job, "MaxFailedNodesExceeded", &message).await?;
    ensure!((status.succeeded, status.failed) == (0, 1), "{status:?}");
    stays_when_all_is_stopped(scene, job).await?;
    let ran = scene.nodes_with("ran").await?;
    ensure!(ran.is_empty(), "ran to the end on {ran:?}");
    Ok(())
}

/// Waits until the Job is finished, which must be for this reason.
pub(super) async fn has_failed(
    job: WatchedJob<'_>,
    reason: &str,
    message: &str,
) -> Result<JobStatus> {
    let (job, condition) = job.until_finished().await?;
    ensure!(
        (condition.type_.as_str(), condition.reason.as_str()) == (FAILED, reason)
            && condition.message == message,
        "expected {reason}: {message}\n  but the Job says {}",
        job::describe(&job)
    );
    let status = job::status(&job);
    ensure!(status.phase == Some(Phase::Failed), "{}", job::describe(&job));
    Ok(status)
}

/// Waits until the Job's pods are gone, and sees that the Job itself stays as it was.
pub(super) async fn stays_when_all_is_stopped(
    scene: &Scene<'_>,
    job: WatchedJob<'_>,
) -> Result<()> {
    let before = job.get().await?;
    scene.until_stopped().await?;
    let after = job.get().await?;
    ensure!(
        before.status == after.status,
        "the status changed as the pods went: {:?} became {:?}",
        before.status,
        after.status
    );
    Ok(())
}
