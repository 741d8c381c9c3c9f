//! An image that cannot be pulled.

use anyhow::{Result, ensure};
use api::job::{NodeState, NodeStatus, Phase};
use harness::job_handle::{describe, finished, status};

use crate::support::env::ScenarioEnv;

const JOB: &str = "without-an-image";

/// Its registry does not exist: <https://www.rfc-editor.org/rfc/rfc6761#section-6.4>.
const IMAGE: &str = "registry.invalid/none:1";

/// With which reasons the kubelet says that it cannot pull.
const REASONS: [&str; 2] = ["ErrImagePull", "ImagePullBackOff"];

/// While its pods cannot start, a Job waits and names the nodes and the reason; with the image fixed
/// it completes.
pub(crate) async fn is_told_of_every_node(env: &ScenarioEnv<'_>) -> Result<()> {
    let script = "trap 'exit 0' TERM; echo done; while :; do sleep 1; done";
    let good = env.shell(JOB, script);
    env.apply(&good.clone().image(IMAGE)).await?;
    let job = env.job(JOB);
    job.until("every node and that its image cannot be pulled", |job| {
        let nodes = status(job).nodes;
        nodes.len() == env.nodes.len() && nodes.iter().all(reports_image)
    })
    .await?;
    env.settle().await;
    let waiting = job.get().await?;
    ensure!(
        finished(&waiting).is_none() && status(&waiting).phase == Some(Phase::Running),
        "it did not wait: {}",
        describe(&waiting)
    );
    job.until_deleted(env.apply(&good)).await?;
    Ok(())
}

/// Whether a node is said to wait for its image.
fn reports_image(node: &NodeStatus) -> bool {
    let text = node.message.as_deref().unwrap_or_default();
    let is_reason = REASONS.iter().any(|reason| text.starts_with(reason));
    is_reason && node.state == NodeState::Pending && node.restarts == 0
}
