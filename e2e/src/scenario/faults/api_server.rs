//! The API server fails while Jobs run. Our pods bear it without a restart.

use std::time::Duration;

use anyhow::Result;

use super::work::Work;
use crate::fault::{self, Kind};
use crate::scenario::scene::Scene;

/// How long the API server is away. By then leases are lost, and calls have timed out.
const OUTAGE: Duration = Duration::from_secs(20);

pub(in crate::scenario) async fn killed(scene: &Scene<'_>) -> Result<()> {
    fails(scene, Kind::ApiServerKilled, Duration::ZERO).await
}

pub(in crate::scenario) async fn out(scene: &Scene<'_>) -> Result<()> {
    fails(scene, Kind::ApiServerOut, OUTAGE).await
}

pub(in crate::scenario) async fn hanging(scene: &Scene<'_>) -> Result<()> {
    fails(scene, Kind::ApiServerHanging, OUTAGE).await
}

/// One node is done before, one while nobody can be told, and the rest when all is well again.
async fn fails(scene: &Scene<'_>, fault: Kind, outage: Duration) -> Result<()> {
    let nodes: Vec<_> = scene.nodes.iter().collect();
    let work = Work::start(scene).await?;
    work.until_running_on(&nodes).await?;
    work.open(nodes.get(..1).unwrap_or_default()).await?;
    work.until_done_on(1, nodes.len()).await?;

    let control_plane = scene.cx.cluster.control_plane().await?;
    let inflicted = fault::inflict(fault, &control_plane, scene.cx.cluster).await?;
    let meanwhile = nodes.get(1..2).unwrap_or_default();
    work.open(meanwhile).await?;
    for node in meanwhile {
        work.until_proven_on(node).await?;
    }
    if !outage.is_zero() {
        scene.cx.phase.detail(format_args!("{fault} for {outage:.0?}"));
        tokio::time::sleep(outage).await;
    }
    inflicted.heal().await?;
    if nodes.len() > 2 {
        work.until_done_on(2, nodes.len()).await?;
    }
    work.open(&nodes).await?;
    work.until_gone(&nodes).await
}
