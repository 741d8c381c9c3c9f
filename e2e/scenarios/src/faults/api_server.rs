//! The API server fails while Jobs run. Our pods tolerate it without a restart.

use std::time::Duration;

use anyhow::Result;
use testbed::faults::{self, Fault};

use crate::support::env::ScenarioEnv;
use crate::support::work::Work;

/// How long the API server is away. By then leases are lost, and calls have timed out.
const OUTAGE: Duration = Duration::from_secs(20);

pub(crate) async fn out(env: &ScenarioEnv<'_>) -> Result<()> {
    fails(env, Fault::ApiServerOut).await
}

pub(crate) async fn hanging(env: &ScenarioEnv<'_>) -> Result<()> {
    fails(env, Fault::ApiServerHanging).await
}

/// One node is done before, one while nobody can be told, and the rest when all is well again.
async fn fails(env: &ScenarioEnv<'_>, fault: Fault) -> Result<()> {
    let nodes: Vec<_> = env.nodes.iter().collect();
    let work = Work::start(env).await?;
    work.until_running_on(&nodes).await?;
    work.open(nodes.get(..1).unwrap_or_default()).await?;
    work.until_done_on(1, nodes.len()).await?;

    let control_plane = env.cx.cluster.control_plane().await?;
    let inflicted = faults::inflict(fault, &control_plane, env.cx.cluster).await?;
    let meanwhile = nodes.get(1..2).unwrap_or_default();
    work.open(meanwhile).await?;
    for node in meanwhile {
        work.until_proven_on(node).await?;
    }
    env.cx.phase.detail(format_args!("{fault} for {OUTAGE:.0?}"));
    tokio::time::sleep(OUTAGE).await;
    inflicted.heal().await?;
    if nodes.len() > 2 {
        work.until_done_on(2, nodes.len()).await?;
    }
    work.open(&nodes).await?;
    work.until_gone(&nodes).await
}
