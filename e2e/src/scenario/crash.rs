//! A container that does not do its work at the first attempt.

use anyhow::{Result, ensure};
use api::v1beta1::NodeState;

use super::scene::Scene;
use super::{job, manifest};

const JOB: &str = "does-not-start-well";

/// A container crashes on one node before it logs the word. Its next run counts, and the Job tells of
/// both.
pub(super) async fn before_the_word_is_made_good_by_the_next_run(scene: &Scene<'_>) -> Result<()> {
    let (crashing, _) = scene.special_node()?;
    let crashing = crashing.name();
    let script = format!(
        r#"
        trap 'exit 0' TERM
        if [ "$NODE" = {crashing} ] && [ ! -e /basetarget/crashed ]; then
            touch /basetarget/crashed
            echo "no space left" >&2
            exit 3
        fi
        until [ -e /basetarget/go ]; do sleep 0.2; done
        touch /basetarget/ran
        echo done
        while :; do sleep 1; done
        "#
    );
    let mut manifest = manifest::shell(scene, JOB, &script);
    manifest["spec"]["template"] = manifest::node_name();
    scene.apply(&manifest.to_string()).await?;
    let job = scene.job(JOB);
    // A kubelet that is short of time may tell of the new run before it tells how the one before it ended, or
    // start a container twice until one runs: neither is said of the Job, so neither is ruled out here.
    let running = job
        .until(&format!("a run on {crashing} after one that ended with 3"), |job| {
            job::node(&job::status(job), crashing).is_ok_and(|node| {
                node.restarts >= 1 && node.exit_code == Some(3) && node.state == NodeState::Running
            })
        })
        .await?;
    let status = job::status(&running);
    let node = job::node(&status, crashing)?;
    let text = node.message.as_deref().unwrap_or_default();
    ensure!(text.contains("no space left"), "{node:?}");
    ensure!(status.failed == 0, "a crash that is forgiven failed the node: {status:?}");
    let (life, ()) = job.until_deleted(scene.touch(&scene.nodes, "go")).await?;
    ensure!(life.status.failed == 0, "{:?}", life.status);
    let ran = scene.nodes_with("ran").await?;
    ensure!(ran.len() == scene.nodes.len(), "the Job was deleted when it had run on {ran:?}");
    Ok(())
}
