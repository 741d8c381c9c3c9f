//! One run: its folders, its logs, its report, its lock on a cluster, and the end of it all.

use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, Result};
use e2e::cluster::{Cluster, FileLock, Record};
use e2e::process::LogDir;
use e2e::progress::Progress;
use e2e::report::{Ending, Handle, JSON, JUNIT, Report};
use e2e::{artifacts, fault, paths};

use super::options::{Keep, Options};

/// What was collected from the whole cluster, in the folder of the artifacts.
pub(super) const OF_CLUSTER: &str = "cluster";

/// The folders of the scenarios that failed, in the folder of the artifacts.
const OF_SCENARIOS: &str = "scenarios";

/// One run of `cargo xtask e2e`.
pub(super) struct Session {
    pub(super) options: Options,
    /// The folder of the reports and of what is collected at failures.
    pub(super) artifacts: PathBuf,
    /// The folder of the cluster: the run's own, or the one that stays.
    pub(super) cluster_folder: PathBuf,
    pub(super) logs: LogDir,
    pub(super) progress: Progress,
    report: Mutex<Report>,
    /// Whether this run began to make the cluster and did not come to the end, so that it is of no use.
    is_half_made: AtomicBool,
    /// Tells other processes that the cluster is in use.
    _lock: FileLock,
}

/// Where all runs lie.
pub(super) fn runs() -> PathBuf {
    paths::target().join("e2e")
}

/// The folder of the cluster that stays under this name, or without one.
pub(super) fn cluster_folder(name: Option<&str>) -> PathBuf {
    runs().join(name.map_or_else(|| STAYS.to_owned(), |name| format!("{STAYS}-{name}")))
}

/// Whether a cluster with this folder stays until somebody asks for its end.
pub(super) fn is_to_stay(folder: &Path) -> bool {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    name.strip_prefix(STAYS).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}

/// What the names of such folders begin with.
const STAYS: &str = "cluster";

/// The lock that the user of a cluster holds, in the cluster's folder.
pub(super) const LOCK: &str = "in-use.lock";

impl Session {
    pub(super) fn start(options: Options) -> Result<Self> {
        let run = paths::run_name();
        let folder = runs().join(&run);
        let cluster_folder = match options.reuse {
            true => self::cluster_folder(options.cluster.as_deref()),
            false => folder.clone(),
        };
        let artifacts = match &options.artifacts {
            Some(artifacts) => {
                let artifacts = std::path::absolute(artifacts)?;
                remove_earlier(&artifacts)
                    .with_context(|| format!("cannot use {}", artifacts.display()))?;
                artifacts
            }
            None => folder.clone(),
        };
        let logs = LogDir::create(folder.join("logs"))
            .with_context(|| format!("cannot make {}", folder.display()))?;
        std::fs::create_dir_all(&cluster_folder)
            .with_context(|| format!("cannot make {}", cluster_folder.display()))?;
        let lock = FileLock::try_take(&cluster_folder.join(LOCK))?.context(
            "another `cargo xtask e2e` is using the cluster that stays: wait for its end, or run without --reuse",
        )?;
        let session = Self {
            options,
            artifacts,
            cluster_folder,
            logs,
            progress: Progress::new(),
            report: Mutex::new(Report::start(&run, std::env::args().collect())),
            is_half_made: AtomicBool::new(false),
            _lock: lock,
        };
        session.report(|report| {
            report.versions.insert("daemonset-job".to_owned(), e2e::images::VERSION.to_owned());
        });
        Ok(session)
    }

    pub(super) fn say(&self, text: impl Display) {
        self.progress.say(text);
    }

    /// Changes the report, and writes it. One that cannot be written is no reason to stop.
    pub(super) fn report<T>(&self, change: impl FnOnce(&mut Report) -> T) -> T {
        let mut report = self.report.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = change(&mut report);
        let mut phases = self.progress.timings();
        phases.retain(|phase| !report.results.iter().any(|entry| entry.label() == phase.name));
        report.phases = phases;
        if let Err(error) = report.write(&self.artifacts, &self.options.formats()) {
            self.say(format_args!("{error:#}"));
        }
        changed
    }

    /// Tells that the making of the cluster begins, or has come to its end.
    pub(super) fn cluster_is_half_made(&self, is_half_made: bool) {
        self.is_half_made.store(is_half_made, Ordering::Relaxed);
    }

    /// Tells what broke, and collects the state of the cluster.
    pub(super) async fn report_broken(&self, error: &anyhow::Error) {
        self.say(format_args!("FAILED: {error:#}"));
        self.report(|report| report.error = Some(format!("{error:#}")));
        self.collect().await;
    }

    /// Collects the state of the cluster, or what there is of one.
    pub(super) async fn collect(&self) {
        let folder = self.artifacts.join(OF_CLUSTER);
        let collected = self
            .progress
            .phase("artifacts", async |phase| {
                let Some(cluster) = Cluster::recorded(&self.cluster_folder, &self.logs)? else {
                    phase.outcome("no cluster to collect from");
                    return Ok(());
                };
                artifacts::of_cluster(&cluster, &folder, &self.logs).await?;
                phase.outcome(folder.display());
                anyhow::Ok(())
            })
            .await;
        self.tell("artifacts cannot be collected", collected);
    }

    /// Collects what a scenario that just failed concerns: its own namespaces and these.
    pub(super) async fn collect_scenario(
        &self,
        handle: Handle,
        label: &str,
        (name, namespaces): (&str, &[&str]),
        error: &str,
    ) {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '-';
        let label: String = label.chars().map(|c| if is_plain(c) { c } else { '-' }).collect();
        let folder = self.artifacts.join(OF_SCENARIOS).join(label.trim_end_matches('-'));
        let collect = async {
            std::fs::create_dir_all(&folder)?;
            std::fs::write(folder.join("error.txt"), format!("{error}\n"))?;
            if let Some(cluster) = Cluster::recorded(&self.cluster_folder, &self.logs)? {
                artifacts::of_scenario(&cluster, name, namespaces, &folder, &self.logs).await?;
            }
            anyhow::Ok(())
        };
        let collected = collect.await;
        self.report(|report| report.collected(handle, &folder));
        self.tell("artifacts cannot be collected", collected);
    }

    /// Undoes what scenarios did to the nodes and did not undo themselves.
    pub(super) async fn heal(&self) {
        match fault::heal_recorded(&self.cluster_folder, &self.logs).await {
            Ok(healed) => {
                for fault in healed {
                    self.say(format_args!("healed: {fault}"));
                }
            }
            Err(error) => self.say(format_args!("{error:#}; `cargo xtask e2e clean` tries again")),
        }
    }

    /// Deletes the cluster, or tells how to use it and to delete it later.
    pub(super) async fn clean_up(&self, ending: Ending) {
        let Ok(Some(mut record)) = Record::load(&self.cluster_folder) else { return };
        let failed = matches!(ending, Ending::Failed | Ending::Broken);
        let is_kept = match self.options.keep {
            Keep::Never => false,
            Keep::Failure => failed,
            Keep::Always => true,
        };
        // One that was only begun is of no use to the next run.
        let stays = self.options.reuse && !self.is_half_made.load(Ordering::Relaxed);
        if is_kept || stays {
            record.kept = true;
            self.tell("the cluster's record cannot be changed", record.save(&self.cluster_folder));
            self.heal().await;
            let kubeconfig = self.cluster_folder.join("kubeconfig");
            self.say(format_args!(
                "cluster {} stays: export KUBECONFIG={}; `cargo xtask e2e down` deletes it",
                record.name,
                kubeconfig.display()
            ));
            return;
        }
        let deleted = self
            .progress
            .phase("tear down", async |_| Cluster::delete(&self.cluster_folder, &self.logs).await)
            .await;
        self.tell("the cluster cannot be deleted, try `cargo xtask e2e down`", deleted);
    }

    fn tell(&self, trouble: &str, result: Result<()>) {
        if let Err(error) = result {
            self.say(format_args!("{trouble}: {error:#}"));
        }
    }
}

/// Makes the folder that the user named; what an earlier run left there would be taken for this one's.
fn remove_earlier(artifacts: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(artifacts)?;
    for file in [JSON, JUNIT] {
        ignore_absent(std::fs::remove_file(artifacts.join(file)))?;
    }
    for folder in [OF_CLUSTER, OF_SCENARIOS] {
        ignore_absent(std::fs::remove_dir_all(artifacts.join(folder)))?;
    }
    Ok(())
}

fn ignore_absent(result: std::io::Result<()>) -> std::io::Result<()> {
    match result {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cluster_that_stays_is_told_by_its_folder() {
        for folder in [cluster_folder(None), cluster_folder(Some("mine"))] {
            assert!(is_to_stay(&folder), "{}", folder.display());
        }
        for other in ["20260131-142536-4711", "clusters"] {
            assert!(!is_to_stay(&runs().join(other)), "{other}");
        }
    }

    #[test]
    fn folder_of_artifacts_keeps_what_is_not_ours() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("artifacts");
        remove_earlier(&path).expect("made");
        std::fs::create_dir(path.join(OF_SCENARIOS)).expect("made");
        for file in [JSON, "notes.txt"] {
            std::fs::write(path.join(file), "").expect("written");
        }
        remove_earlier(&path).expect("removed");
        let left: Vec<_> = std::fs::read_dir(&path)
            .expect("read")
            .map(|entry| entry.expect("an entry").file_name())
            .collect();
        assert_eq!(left, ["notes.txt"]);
    }
}
