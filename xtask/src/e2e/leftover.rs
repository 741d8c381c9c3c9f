//! `cargo xtask e2e down`: deletes clusters that nobody uses any more, also when the kind that made
//! them is gone.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use e2e::cluster::{Cluster, FileLock, Record};
use e2e::progress::Progress;

use super::session::{LOCK, cluster_folder, runs};
use crate::context::{Context, Verdict};
use crate::provision::{self, Provision};

/// Deletes the cluster that stays under this name, or without one every cluster that has a record
/// under `target/e2e/`; none that a process uses.
pub(super) async fn down(cluster: Option<&str>, cx: &Context) -> Result<Verdict> {
    let only = cluster.map(|name| cluster_folder(Some(name)));
    let logs = cx.logs("e2e-down")?;
    let progress = Progress::new();
    let mut found = false;
    let provision = Provision::new(cx, &logs, &progress);
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
                usable_kind(&mut record, &folder, &provision).await?;
                Cluster::delete(&folder, &logs).await
            })
            .await?;
    }
    if !found {
        progress.say("there is no cluster to delete");
    }
    Ok(Verdict::Passed)
}

/// Sees that the record names a kind that is there: the one that made the cluster may be gone.
pub(super) async fn usable_kind(
    record: &mut Record,
    folder: &Path,
    provision: &Provision,
) -> Result<()> {
    if !record.kind.exists() {
        record.kind = provision::KIND.ensure(provision).await?;
        record.save(folder)?;
    }
    Ok(())
}

/// The folders with a record of a cluster.
pub(super) fn recorded() -> Result<Vec<(PathBuf, Record)>> {
    let runs = runs();
    let entries = match std::fs::read_dir(&runs) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.with_context(|| format!("cannot read {}", runs.display()))?,
    };
    let mut recorded = Vec::new();
    for entry in entries {
        let folder = entry?.path();
        if folder.is_dir()
            && let Some(record) = Record::load(&folder)?
        {
            recorded.push((folder, record));
        }
    }
    Ok(recorded)
}
