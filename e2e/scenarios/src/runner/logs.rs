//! `cargo xtask e2e logs`: what the operator and the nodes say.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use harness::command::{self, Verdict};
use harness::report::JSON;
use harness::{artifacts, paths};
use testbed::kind::Cluster;

use super::cluster_lifecycle::folder_that_stays;
use super::folder::{OF_CLUSTER, logs_of, runs};
use super::options::Staying;

/// The containers whose logs are shown; the logs of all others are collected.
const SHOWN: [&str; 2] = ["operator", "terminator"];

/// How many lines of each are shown.
const LINES: usize = 100;

/// Of which cluster the logs are collected, and where to.
#[derive(clap::Args, Clone, Debug)]
pub(super) struct Args {
    #[command(flatten)]
    cluster: Staying,

    /// Folder for what is collected, instead of target/e2e/<run>.
    #[arg(long, value_name = "DIR")]
    artifacts: Option<PathBuf>,
}

/// Shows our processes' logs, of the cluster that stays or as they were collected.
pub(super) async fn run(args: &Args) -> Result<Verdict> {
    let logs = logs_of("e2e-logs")?;
    let folder = match Cluster::recorded(&folder_that_stays(args.cluster.name.as_deref()), &logs)? {
        Some(cluster) => {
            let folder = match &args.artifacts {
                Some(folder) => std::path::absolute(folder)?,
                None => runs().join(paths::run_name()).join(OF_CLUSTER),
            };
            eprintln!("collecting from cluster {}", cluster.record().name);
            artifacts::of_cluster(&cluster.probe().await, &folder, &logs).await?;
            folder
        }
        None if args.cluster.name.is_some() => {
            bail!("there is no such cluster; `cargo xtask e2e up` with the same --cluster makes it")
        }
        None => last_run()?,
    };
    let mut text = String::new();
    for file in log_files(&folder, &SHOWN)? {
        text += &format!("==> {}\n", file.display());
        for line in artifacts::tail(&file, LINES) {
            text += &line;
            text.push('\n');
        }
    }
    text += &format!("all that was collected: {}\n", folder.display());
    command::print(&text)?;
    Ok(Verdict::Passed)
}

/// The folder of the last run that wrote a report.
fn last_run() -> Result<PathBuf> {
    let mut runs = paths::entries(runs()).unwrap_or_default().into_iter();
    runs.rfind(|folder| folder.join(JSON).exists())
        .context("no cluster stays, and no run has written a report: `cargo xtask e2e run` does")
}

/// The logs of these containers, wherever they lie in the folder.
fn log_files(folder: &Path, containers: &[&str]) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in paths::entries(folder)? {
        if path.is_dir() {
            files.extend(log_files(&path, containers)?);
        } else if is_log_of(&path, containers) {
            files.push(path);
        }
    }
    Ok(files)
}

/// Pods' logs are called `<namespace>_<pod>_<container>.log`.
fn is_log_of(path: &Path, containers: &[&str]) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let stem = name.strip_suffix(".log").map(|name| name.trim_end_matches(".previous"));
    let container = stem.and_then(|stem| stem.rsplit_once('_'));
    container.is_some_and(|(_, container)| containers.contains(&container))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logs_of_our_processes_are_found_in_every_folder() {
        let folder = tempfile::tempdir().expect("a folder");
        let pods = folder.path().join("scenarios/failed");
        std::fs::create_dir_all(&pods).expect("made");
        let files = ["ns_pod_operator.log", "ns_pod_operator.previous.log", "ns_pod_other.log"];
        for file in files.iter().chain(&["operator.log"]) {
            std::fs::write(pods.join(file), "").expect("written");
        }
        let found = log_files(folder.path(), &SHOWN).expect("read");
        assert_eq!(found, [pods.join(files[0]), pods.join(files[1])]);
    }
}
