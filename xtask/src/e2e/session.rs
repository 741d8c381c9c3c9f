//! One run: its folder, its logs, its lock on a cluster, and the end of it all.

use std::fmt::Display;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use e2e::artifacts;
use e2e::cluster::{Cluster, FileLock, Record};
use e2e::paths;
use e2e::process::LogDir;
use e2e::progress::Progress;

use super::{Keep, Options};

/// One run of `cargo xtask e2e`.
pub(super) struct Session {
    pub(super) options: Options,
    /// `target/e2e/<run>/`.
    pub(super) folder: PathBuf,
    /// The folder of the cluster: the run's own, or the one that stays.
    pub(super) cluster_folder: PathBuf,
    pub(super) logs: LogDir,
    pub(super) progress: Progress,
    /// Tells other processes that the cluster is in use.
    _lock: FileLock,
}

/// Where all runs lie.
pub(super) fn runs() -> PathBuf {
    paths::target().join("e2e")
}

/// The folder of the cluster that stays under this name, or without one.
pub(super) fn cluster_folder(name: Option<&str>) -> PathBuf {
    runs().join(name.map_or_else(|| "cluster".to_owned(), |name| format!("cluster-{name}")))
}

/// The lock that the user of a cluster holds, in the cluster's folder.
pub(super) const LOCK: &str = "in-use.lock";

impl Session {
    pub(super) fn start(options: Options) -> Result<Self> {
        let folder = runs().join(paths::run_name());
        let cluster_folder = match options.reuse {
            true => self::cluster_folder(options.cluster.as_deref()),
            false => folder.clone(),
        };
        let logs = LogDir::create(folder.join("logs"))
            .with_context(|| format!("cannot make {}", folder.display()))?;
        std::fs::create_dir_all(&cluster_folder)
            .with_context(|| format!("cannot make {}", cluster_folder.display()))?;
        let lock = FileLock::try_take(&cluster_folder.join(LOCK))?.context(
            "another `cargo xtask e2e` is using the cluster that stays: wait for its end, or run without --reuse",
        )?;
        Ok(Self { options, folder, cluster_folder, logs, progress: Progress::new(), _lock: lock })
    }

    pub(super) fn say(&self, text: impl Display) {
        self.progress.say(text);
    }

    /// Tells what went wrong, and collects the state of the cluster.
    pub(super) async fn report_failure(&self, error: &anyhow::Error) {
        self.say(format_args!("FAILED: {error:#}"));
        self.collect().await;
    }

    /// Collects the state of the cluster, or what there is of one.
    pub(super) async fn collect(&self) {
        let folder = self.folder.join("artifacts");
        let collected = self
            .progress
            .phase("artifacts", async |phase| {
                let Some(cluster) = Cluster::recorded(&self.cluster_folder, &self.logs)? else {
                    phase.outcome("no cluster to collect from");
                    return Ok(());
                };
                artifacts::collect(&cluster, &folder, &self.logs).await?;
                phase.outcome(folder.display());
                anyhow::Ok(())
            })
            .await;
        if let Err(error) = collected {
            self.say(format_args!("artifacts cannot be collected: {error:#}"));
        }
    }

    /// Shows the ends of the logs that were collected from the pods of a namespace.
    pub(super) fn show_pod_logs(&self, namespace: &str) {
        let tails = artifacts::pod_log_tails(&self.folder.join("artifacts"), namespace);
        for (file, lines) in tails {
            self.say(format_args!("{}:", file.display()));
            for line in lines {
                self.say(format_args!("  | {line}"));
            }
        }
    }

    /// Deletes the cluster, or tells how to use it and to delete it later.
    pub(super) async fn clean_up(&self, failed: bool) {
        let keep = match self.options.keep {
            Keep::Never => self.options.reuse,
            Keep::Failure => self.options.reuse || failed,
            Keep::Always => true,
        };
        match Record::load(&self.cluster_folder) {
            Ok(None) => return,
            Ok(Some(record)) if keep => {
                let kubeconfig = self.cluster_folder.join("kubeconfig");
                self.say(format_args!(
                    "cluster {} stays: export KUBECONFIG={}; `cargo xtask e2e down` deletes it",
                    record.name,
                    kubeconfig.display()
                ));
                return;
            }
            Ok(Some(_)) | Err(_) => {}
        }
        let deleted = self
            .progress
            .phase("tear down", async |_| Cluster::delete(&self.cluster_folder, &self.logs).await)
            .await;
        if let Err(error) = deleted {
            self.say(format_args!(
                "the cluster cannot be deleted, try `cargo xtask e2e down`: {error:#}"
            ));
        }
    }
}
