//! Each shipped alert fires by its real cause, and stops when that is gone.

mod account;
mod jobs;
mod logs;
mod processes;
mod recording;

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Result, ensure};

use self::recording::{Recording, shipped};
use crate::metrics::scrape;
use crate::program::Program;

/// How long a number may take to come about: backoffs take seconds.
const LIMIT: Duration = Duration::from_secs(60);

/// Waits until a metric has at least this value.
async fn at_least(
    program: &Program,
    name: &str,
    labels: &[(&str, &str)],
    wanted: f64,
) -> Result<()> {
    let is_so = |value: f64| value >= wanted;
    until(program, name, labels, &format!("at least {wanted}"), is_so).await
}

/// Waits until a metric has this value.
async fn exactly(
    program: &Program,
    name: &str,
    labels: &[(&str, &str)],
    wanted: f64,
) -> Result<()> {
    let is_so = |value: f64| (value - wanted).abs() < 0.1;
    until(program, name, labels, &wanted.to_string(), is_so).await
}

async fn until(
    program: &Program,
    name: &str,
    labels: &[(&str, &str)],
    wanted: &str,
    is_so: impl Fn(f64) -> bool,
) -> Result<()> {
    let deadline = tokio::time::Instant::now() + LIMIT;
    loop {
        let value = scrape(program).await?.1.value(name, labels)?;
        if is_so(value) {
            return Ok(());
        }
        let in_time = tokio::time::Instant::now() < deadline;
        ensure!(in_time, "{name} {labels:?} is {value}, not {wanted}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[test]
fn every_shipped_alert_is_made_to_fire() -> Result<()> {
    let sources = [include_str!("alerts/jobs.rs"), include_str!("alerts/logs.rs")];
    let sources = [&sources[..], &[include_str!("alerts/processes.rs")]].concat().concat();
    let is_recorded = |alert: &&String| !sources.contains(&format!("Recording::of(\"{alert}\")"));
    let missing: BTreeSet<_> = shipped()?.into_iter().collect();
    let missing: Vec<_> = missing.iter().filter(is_recorded).collect();
    ensure!(missing.is_empty(), "{missing:?}");
    Ok(())
}
