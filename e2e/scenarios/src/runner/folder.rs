//! The folders of runs and of clusters, and the artifacts in them.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use harness::paths::if_there;
use harness::process::LogDir;
use harness::report::{JSON, JUNIT};
use harness::{artifacts, paths};
use testbed::kind::Cluster;

/// The artifacts of the whole cluster, in the folder of the artifacts.
pub(super) const OF_CLUSTER: &str = "cluster";

/// The folders of the scenarios that failed, in the folder of the artifacts.
const OF_SCENARIOS: &str = "scenarios";

/// The folder of all runs.
pub(super) fn runs() -> PathBuf {
    paths::target().join("e2e")
}

/// A fresh folder for the logs of an action that is no run.
pub(super) fn logs_of(action: &str) -> Result<LogDir> {
    let path = paths::target().join("xtask").join(action).join(paths::run_name());
    Ok(LogDir::create(path)?)
}

/// The folders of one run.
pub(super) struct RunFolder {
    /// The name of the run.
    pub(super) name: String,
    /// The run's own.
    pub(super) path: PathBuf,
    /// That of the reports and of what is collected at failures.
    pub(super) artifacts: PathBuf,
    pub(super) logs: LogDir,
}

impl RunFolder {
    /// Makes the folders of a run that starts now, with its artifacts where the user wants them.
    pub(super) fn create(artifacts: Option<&Path>) -> Result<Self> {
        let name = paths::run_name();
        let path = runs().join(&name);
        let artifacts = match artifacts {
            Some(artifacts) => {
                let artifacts = std::path::absolute(artifacts)?;
                remove_earlier(&artifacts)
                    .with_context(|| format!("cannot use {}", artifacts.display()))?;
                artifacts
            }
            None => path.clone(),
        };
        let logs = LogDir::create(path.join("logs"))?;
        Ok(Self { name, path, artifacts, logs })
    }

    /// Collects the state of the whole cluster, and returns the folder of it.
    pub(super) async fn collect_cluster(&self, cluster: &Cluster) -> Result<PathBuf> {
        let folder = self.artifacts.join(OF_CLUSTER);
        artifacts::of_cluster(&cluster.probe().await, &folder, &self.logs).await?;
        Ok(folder)
    }

    /// Collects what a scenario that has just failed concerns, and returns the folder.
    pub(super) async fn collect_scenario(
        &self,
        label: &str,
        (name, namespaces): (&str, &[&str]),
        error: &str,
        cluster: &Cluster,
    ) -> (PathBuf, Result<()>) {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '-';
        let label: String = label.chars().map(|c| if is_plain(c) { c } else { '-' }).collect();
        let folder = self.artifacts.join(OF_SCENARIOS).join(label.trim_end_matches('-'));
        let collect = async {
            std::fs::create_dir_all(&folder)?;
            std::fs::write(folder.join("error.txt"), format!("{error}\n"))?;
            let probe = cluster.probe().await;
            artifacts::of_scenario(&probe, name, namespaces, &folder, &self.logs).await
        };
        let collected = collect.await;
        (folder, collected)
    }
}

/// Makes the folder that the user named, without what an earlier run left there.
fn remove_earlier(artifacts: &Path) -> std::io::Result<()> {
    fs_err::create_dir_all(artifacts)?;
    for file in [JSON, JUNIT] {
        if_there(fs_err::remove_file(artifacts.join(file)))?;
    }
    for folder in [OF_CLUSTER, OF_SCENARIOS] {
        if_there(fs_err::remove_dir_all(artifacts.join(folder)))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

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
