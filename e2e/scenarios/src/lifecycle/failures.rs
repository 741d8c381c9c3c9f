//! A container that fails on one node only.

use anyhow::{Context as _, Result, ensure};
use api::job::{NodeState, Phase};
use harness::job_handle::{describe, find_node, finished, status};

use crate::support::env::ScenarioEnv;

const JOB: &str = "fails-on-one-node";

/// Every other node runs to its end. The kubelet restarts the container that fails, and the Job quotes what it
/// logged last.
pub(crate) async fn keep_no_other_node_from_its_end(env: &ScenarioEnv<'_>) -> Result<()> {
    let (failing, others) = env.special_node()?;
    let failing = failing.name();
    let script = format!(
        r#"
        trap 'exit 143' TERM
        if [ "$NODE" = {failing} ]; then
            echo "no space left" >&2
            exit 3
        fi
        until [ -e /basetarget/go ]; do sleep 0.2; done
        touch /basetarget/ran
        "#
    );
    // The first run is forgiven.
    let manifest = env.shell(JOB, &script).exit_code().backoff_limit(1).with_node_name();
    env.apply(&manifest).await?;
    let job = env.job(JOB);
    let running = job
        .until("one node failed, the others running", |job| {
            let nodes = status(job).nodes;
            let running = nodes.iter().filter(|node| node.state == NodeState::Running).count();
            status(job).failed == 1 && running == others.len()
        })
        .await?;
    ensure!(status(&running).phase == Some(Phase::Running), "{}", describe(&running));
    env.settle().await;
    ensure!(finished(&job.get().await?).is_none(), "it did not wait for the others");

    env.touch(others, "go").await?;
    let message =
        format!("done on {} of {} nodes, failed on: {failing}", others.len(), env.nodes.len());
    let failed = job.until_ended("NodesFailed", &message).await?;
    let status = status(&failed);
    ensure!(status.phase == Some(Phase::Failed), "{}", describe(&failed));
    ensure!(usize::try_from(status.succeeded)? == others.len(), "{status:?}");
    let node = find_node(&failed, failing).context("the failed node is not listed")?;
    // The kubelet goes on trying until the Job has ended.
    ensure!(node.state == NodeState::Failed && node.restarts >= 1, "{node:?}");
    ensure!(node.exit_code == Some(3), "{node:?}");
    let text = node.message.as_deref().unwrap_or_default();
    ensure!(text.contains("no space left"), "the message of the container is lost: {node:?}");
    env.only_these_have("ran", others).await?;
    env.stays_when_stopped(&job).await
}
