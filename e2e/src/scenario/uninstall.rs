//! The operator is uninstalled while Jobs run, and installed again.

use anyhow::{Result, ensure};
use k8s_openapi::api::apps::v1::ControllerRevision;

use super::scene::Scene;
use super::{manifest, sample_job};
use crate::deploy;

/// Jobs that run when that happens, one of each mode.
const JOBS: [&str; 2] = ["by-word", "by-exit-code"];

/// Nothing is left of it, and nothing hangs; installed anew, it works.
pub(super) async fn leaves_nothing(scene: &Scene<'_>) -> Result<()> {
    for name in JOBS {
        let mut job =
            manifest::shell(scene, name, "trap 'exit 143' TERM; while :; do sleep 1; done");
        if name == "by-exit-code" {
            job["spec"]["completionMode"] = "ExitCode".into();
        }
        scene.apply(&job.to_string()).await?;
        let nodes = i32::try_from(scene.nodes.len())?;
        let running = |job: &_| super::job::status(job).active == nodes;
        scene.job(name).until("a pod on every node", running).await?;
    }
    let result = uninstall(scene).await;
    result.and(scene.redeploy().await)?;
    let measured = sample_job::run(scene.cx).await?;
    scene.cx.phase.outcome(format_args!("sample after it: {measured}"));
    Ok(())
}

async fn uninstall(scene: &Scene<'_>) -> Result<()> {
    scene.uninstall().await?;
    let left = ["get", "--filename", deploy::MANIFESTS, "--ignore-not-found", "--output", "name"];
    let left = scene.cx.cluster.kubectl(left).run(scene.cx.logs).await?.text();
    ensure!(left.is_empty(), "kubectl delete left {left}");
    scene.until_stopped().await?;
    scene.until_none_of::<ControllerRevision>().await
}
