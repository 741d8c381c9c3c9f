//! An image that cannot be pulled.

use anyhow::{Result, ensure};
use api::v1beta1::{NodeState, NodeStatus, Phase};
use serde_json::json;

use super::scene::Scene;
use super::{job, manifest};

const JOB: &str = "without-an-image";

/// Its registry does not exist: <https://www.rfc-editor.org/rfc/rfc6761#section-6.4>.
const IMAGE: &str = "registry.invalid/none:1";

/// With which reasons the kubelet says that it cannot pull.
const REASONS: [&str; 2] = ["ErrImagePull", "ImagePullBackOff"];

/// While its pods cannot start, a Job waits and names the nodes and the reason; with the image mended
/// it completes.
pub(super) async fn is_told_of_every_node(scene: &Scene<'_>) -> Result<()> {
    let script = "trap 'exit 0' TERM; echo done; while :; do sleep 1; done";
    let good = manifest::shell(scene, JOB, script);
    let mut bad = good.clone();
    bad["spec"]["image"] = json!(IMAGE);
    scene.apply(&bad.to_string()).await?;
    let job = scene.job(JOB);
    job.until("every node and that its image cannot be pulled", |job| {
        let nodes = job::status(job).nodes;
        nodes.len() == scene.nodes.len() && nodes.iter().all(tells)
    })
    .await?;
    scene.settle().await;
    let waiting = job.get().await?;
    ensure!(
        job::finished(&waiting).is_none() && job::status(&waiting).phase == Some(Phase::Running),
        "it did not wait: {}",
        job::describe(&waiting)
    );
    job.until_deleted(scene.apply(&good.to_string())).await?;
    Ok(())
}

/// Whether a node is said to wait for its image.
fn tells(node: &NodeStatus) -> bool {
    let text = node.message.as_deref().unwrap_or_default();
    let is_reason = REASONS.iter().any(|reason| text.starts_with(reason));
    is_reason && node.state == NodeState::Pending && node.restarts == 0
}
