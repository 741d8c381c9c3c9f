//! Both processes killed and started again while a Job runs.

use std::time::Instant;

use anyhow::{Context as _, Result};
use testbed::simulated_work::Distribution;

use super::cluster::{Testbed, within};
use super::cost::Cost;
use super::jobs::{self, REST};
use super::report::Recovery;

/// Logs that the terminator follows at the same time, unless an option says otherwise.
const SLOTS: usize = 500;

/// Takes the time that processes killed half-way take to know as much as before.
pub(super) async fn measure(testbed: &Testbed, times: Distribution) -> Result<Recovery> {
    let mut both = testbed.start_both()?;
    both.ready().await?;
    let half = testbed.nodes.len() / 2;
    let last_of_half = testbed.nodes.get(half).context("no nodes")?.clone();
    let (namespace, work) =
        jobs::held(testbed, times, move |node| *node < *last_of_half.as_str()).await?;
    within(work.until(|counts| counts.ended >= half), "half of the pods to end").await?;
    tokio::time::sleep(REST).await;
    both.kill().await?;
    testbed.requests().await?;

    let before = testbed.sim.log_requests(&namespace);
    let wanted = before + (testbed.nodes.len() - half).min(SLOTS);
    let started = Instant::now();
    let mut both = testbed.start_both()?;
    let known = async {
        testbed.sim.until_log_requests(&namespace, wanted).await;
        started.elapsed()
    };
    let (ready, known) = within(async { tokio::join!(both.ready(), known) }, "recovery").await?;
    let ready = ready?;
    let cost = Cost::of(&testbed.requests().await?);
    work.finish();
    testbed.until_job_is_gone(&namespace, jobs::NAME).await?;
    testbed.clear(&namespace).await?;
    both.end().await?;
    Ok(Recovery {
        ready: ready.as_secs_f64(),
        known: known.as_secs_f64().max(ready.as_secs_f64()),
        recorded: u32::try_from(half)?,
        cost,
    })
}
