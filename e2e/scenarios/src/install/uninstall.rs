//! The operator is uninstalled while Jobs run, and installed again.

use anyhow::{Result, ensure};
use harness::job_handle::status;
use k8s_openapi::api::apps::v1::ControllerRevision;
use testbed::deploy;

use crate::lifecycle::sample_job;
use crate::support::env::ScenarioEnv;
use crate::support::install;

/// Jobs that run when that happens, one of each mode.
const JOBS: [&str; 2] = ["by-word", "by-exit-code"];

/// Nothing is left of it, and nothing hangs; installed anew, it works.
pub(crate) async fn leaves_nothing(env: &ScenarioEnv<'_>) -> Result<()> {
    for name in JOBS {
        let job = env.shell(name, "trap 'exit 143' TERM; while :; do sleep 1; done");
        let job = if name == "by-exit-code" { job.exit_code() } else { job };
        env.apply(&job).await?;
        let nodes = i32::try_from(env.nodes.len())?;
        let running = |job: &_| status(job).active == nodes;
        env.job(name).until("a pod on every node", running).await?;
    }
    let result = uninstall(env).await;
    result.and(install::redeploy(env.cx).await)?;
    let measured = sample_job::run(env.cx).await?;
    env.cx.phase.outcome(format_args!("sample after it: {measured}"));
    Ok(())
}

async fn uninstall(env: &ScenarioEnv<'_>) -> Result<()> {
    env.uninstall().await?;
    let left = ["get", "--filename", deploy::MANIFESTS, "--ignore-not-found", "--output", "name"];
    let left = env.cx.cluster.kubectl(left).run(env.cx.logs).await?.text();
    ensure!(left.is_empty(), "kubectl delete left {left}");
    env.until_stopped().await?;
    env.until_none_of::<ControllerRevision>().await
}
