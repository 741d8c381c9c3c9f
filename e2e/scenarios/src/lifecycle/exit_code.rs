//! Jobs of ordinary images, which are done when they exit with 0.

use anyhow::{Result, ensure};
use futures::future::try_join_all;
use harness::paths;

use crate::support::env::ScenarioEnv;

/// The manifest, in the workspace.
const MANIFEST: &str = "deploy/samples/exit-code.yaml";
/// The Job in it.
const JOB: &str = "clean-var-tmp";
/// What it removes.
const OLD: &str = "/var/tmp/daemonset-job-e2e-old";
/// What it leaves.
const YOUNG: &str = "/var/tmp/daemonset-job-e2e-young";

/// The sample does its work on every node, and deletes itself.
pub(crate) async fn completes_the_job(env: &ScenarioEnv<'_>) -> Result<()> {
    env.on_all_nodes(&["touch", "--date", "8 days ago", OLD]).await?;
    env.on_all_nodes(&["touch", YOUNG]).await?;
    let path = paths::workspace().join(MANIFEST);
    let manifest = fs_err::read_to_string(&path)?;
    let job = env.job(JOB);
    let (life, ()) = job.until_deleted(env.apply(&manifest)).await?;
    let has = |path| try_join_all(env.nodes.iter().map(move |node| node.has(path)));
    let old = has(OLD).await?;
    ensure!(!old.contains(&true), "the Job was deleted while {OLD} was still there: {old:?}");
    let young = has(YOUNG).await?;
    ensure!(!young.contains(&false), "the Job removed {YOUNG}: {young:?}");
    let (wanted, nodes) = (life.status.desired, env.nodes.len());
    ensure!(usize::try_from(wanted)? == nodes, "it ran on {wanted} of {nodes} nodes");
    env.on_all_nodes(&["rm", YOUNG]).await
}
