//! Each shipped alert fires by its real cause, and stops when that is gone.

mod jobs;
mod logs;
mod processes;
mod recording;

use anyhow::{Context as _, Result, ensure};

use self::recording::{Recording, shipped};

#[test]
fn every_shipped_alert_is_made_to_fire() -> Result<()> {
    let sources = [include_str!("alerts/jobs.rs"), include_str!("alerts/logs.rs")];
    let sources = [&sources[..], &[include_str!("alerts/processes.rs")]].concat().concat();
    for rule in shipped()? {
        let alert = rule["alert"].as_str().context("a rule without a name")?;
        ensure!(sources.contains(&format!("\"{alert}\"")), "nothing makes {alert} fire");
    }
    Ok(())
}
