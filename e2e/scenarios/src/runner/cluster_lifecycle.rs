//! The life of a run's cluster: its folder, its lock, faults in it, and its end.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context as _, Result};
use harness::file_lock::FileLock;
use harness::paths::{self, if_there};
use harness::process::LogDir;
use harness::progress::Progress;
use harness::report::Ending;
use sha2::{Digest as _, Sha256};
use testbed::faults;
use testbed::kind::{Cluster, Record};

use super::folder::runs;
use super::options::{Keep, Options};

/// The lock that the user of a cluster holds, in the cluster's folder.
pub(super) const LOCK: &str = "in-use.lock";

/// The beginning of the names of folders of clusters that stay.
const STAYS: &str = "cluster";

/// The folder of the cluster that stays under this name, or without one.
pub(super) fn folder_that_stays(name: Option<&str>) -> PathBuf {
    runs().join(name.map_or_else(|| STAYS.to_owned(), |name| format!("{STAYS}-{name}")))
}

/// Whether a cluster with this folder stays until somebody asks for its end.
pub(super) fn is_to_stay(folder: &Path) -> bool {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    name.strip_prefix(STAYS).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}

/// The beginning of the names of clusters that this checkout makes: another one has its own.
pub(super) fn names_of_this_checkout() -> String {
    let path = paths::workspace();
    let digest = Sha256::digest(path.as_os_str().as_encoded_bytes());
    let tag: String = digest.iter().take(2).map(|byte| format!("{byte:02x}")).collect();
    format!("dsjob-{tag}-")
}

/// The folders with a record of a cluster.
pub(super) fn recorded() -> Result<Vec<(PathBuf, Record)>> {
    let mut recorded = Vec::new();
    for folder in if_there(paths::entries(runs()))?.unwrap_or_default() {
        if folder.is_dir()
            && let Some(record) = Record::load(&folder)?
        {
            recorded.push((folder, record));
        }
    }
    Ok(recorded)
}

/// The cluster of a run, from before it is made until it is deleted or stays.
pub(super) struct ClusterLifecycle {
    /// The folder of the cluster: the run's own, or that of the one that stays.
    pub(super) folder: PathBuf,
    keep: Keep,
    reuse: bool,
    /// Whether this run began to make the cluster and has not come to the end of that.
    is_half_made: AtomicBool,
    /// Keeps other processes from using the cluster.
    _lock: FileLock,
    logs: LogDir,
    progress: Progress,
}

impl ClusterLifecycle {
    /// Takes the lock on the cluster that a run with these options uses.
    pub(super) fn claim(
        options: &Options,
        run: &Path,
        logs: &LogDir,
        progress: &Progress,
    ) -> Result<Self> {
        let folder = match options.reuse {
            true => folder_that_stays(options.cluster.stays.name.as_deref()),
            false => run.to_owned(),
        };
        fs_err::create_dir_all(&folder)?;
        let lock = FileLock::try_take(&folder.join(LOCK))?.context(
            "another `cargo xtask e2e` is using the cluster that stays: wait for its end, or run without --reuse",
        )?;
        Ok(Self {
            folder,
            keep: options.keep,
            reuse: options.reuse,
            is_half_made: AtomicBool::new(false),
            _lock: lock,
            logs: logs.clone(),
            progress: progress.clone(),
        })
    }

    /// The cluster that stays, if it can be used.
    pub(super) async fn open(&self) -> Result<Option<Cluster>> {
        match self.reuse {
            true => Cluster::open(&self.folder, &self.logs).await,
            false => Ok(None),
        }
    }

    /// The cluster that is on record, whatever state it is in.
    pub(super) fn recorded(&self) -> Result<Option<Cluster>> {
        Cluster::recorded(&self.folder, &self.logs)
    }

    /// Makes the cluster by `work`. One that is not finished is of no use to the next run.
    pub(super) async fn make(
        &self,
        work: impl Future<Output = Result<Cluster>>,
    ) -> Result<Cluster> {
        let _creating = FileLock::take(&runs().join("create.lock")).await?;
        self.is_half_made.store(true, Ordering::Relaxed);
        // The rest of a cluster that stopped is of no use.
        Cluster::delete(&self.folder, &self.logs).await?;
        let cluster = work.await?;
        self.is_half_made.store(false, Ordering::Relaxed);
        Ok(cluster)
    }

    /// Undoes the faults that scenarios inflicted and did not heal themselves.
    pub(super) async fn heal(&self) {
        match faults::heal_recorded(&self.folder, &self.logs).await {
            Ok(healed) => {
                for fault in healed {
                    self.progress.say(format_args!("healed: {fault}"));
                }
            }
            Err(error) => {
                self.progress.say(format_args!("{error:#}; `cargo xtask e2e clean` tries again"));
            }
        }
    }

    /// Deletes the cluster, or says how to use it and to delete it later.
    pub(super) async fn end(&self, ending: Ending) {
        let Ok(Some(mut record)) = Record::load(&self.folder) else { return };
        let failed = matches!(ending, Ending::Failed | Ending::Broken);
        let is_kept = match self.keep {
            Keep::Never => false,
            Keep::Failure => failed,
            Keep::Always => true,
        };
        let stays = self.reuse && !self.is_half_made.load(Ordering::Relaxed);
        if is_kept || stays {
            record.kept = true;
            if let Err(error) = record.save(&self.folder) {
                self.progress
                    .say(format_args!("the cluster's record cannot be changed: {error:#}"));
            }
            self.heal().await;
            let kubeconfig = self.folder.join("kubeconfig");
            self.progress.say(format_args!(
                "cluster {} stays: export KUBECONFIG={}; `cargo xtask e2e down` deletes it",
                record.name,
                kubeconfig.display()
            ));
            return;
        }
        let delete = async |_: &_| Cluster::delete(&self.folder, &self.logs).await;
        if let Err(error) = self.progress.phase("tear down", delete).await {
            self.progress.say(format_args!(
                "the cluster cannot be deleted, try `cargo xtask e2e down`: {error:#}"
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cluster_that_stays_is_told_by_its_folder() {
        for folder in [folder_that_stays(None), folder_that_stays(Some("mine"))] {
            assert!(is_to_stay(&folder), "{}", folder.display());
        }
        for other in ["20260131-142536-4711", "clusters"] {
            assert!(!is_to_stay(&runs().join(other)), "{other}");
        }
    }
}
