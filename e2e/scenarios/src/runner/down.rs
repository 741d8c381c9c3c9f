//! `cargo xtask e2e down`: deletes clusters that nobody uses any more.

use std::path::Path;

use anyhow::Result;
use harness::command::Verdict;
use harness::file_lock::FileLock;
use harness::process::LogDir;
use harness::progress::{Phase, Progress};
use harness::provide::Provider;
use testbed::kind::{Cluster, Record};

use super::cluster_lifecycle::{LOCK, folder_that_stays, recorded};
use super::context::Context;
use super::folder::logs_of;

/// Deletes the cluster of this name, or all under `target/e2e/` that are not in use.
pub(super) async fn down(cluster: Option<&str>, cx: &Context) -> Result<Verdict> {
    let only = cluster.map(|name| folder_that_stays(Some(name)));
    let logs = logs_of("e2e-down")?;
    let progress = Progress::new();
    let mut found = false;
    let provider = cx.provider(&logs)?;
    for (folder, mut record) in recorded()? {
        if only.as_ref().is_some_and(|only| *only != folder) {
            continue;
        }
        found = true;
        let Some(_lock) = FileLock::try_take(&folder.join(LOCK))? else {
            progress.say(format_args!("{} is in use, it stays", record.name));
            continue;
        };
        progress
            .phase("tear down", async |phase| {
                phase.outcome(&record.name);
                delete(&mut record, &folder, &provider, &logs, phase).await
            })
            .await?;
    }
    if !found {
        progress.say("there is no cluster to delete");
    }
    Ok(Verdict::Passed)
}

/// Deletes a cluster, also when the kind that made it is gone.
pub(super) async fn delete(
    record: &mut Record,
    folder: &Path,
    provider: &Provider,
    logs: &LogDir,
    phase: &Phase,
) -> Result<()> {
    if !record.kind.exists() {
        record.kind = provider.kind(phase).await?;
        record.save(folder)?;
    }
    Cluster::delete(folder, logs).await
}
