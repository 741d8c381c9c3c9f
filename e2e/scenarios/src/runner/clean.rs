//! `cargo xtask e2e clean`: undoes what runs left that did not end well.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::Result;
use harness::command::Verdict;
use harness::file_lock::FileLock;
use harness::process::LogDir;
use harness::progress::Progress;
use harness::provide;
use testbed::faults;
use testbed::kind::{self, Provider, Record};

use super::cluster_lifecycle::{LOCK, is_to_stay, names_of_this_checkout, recorded};
use super::context::Context;
use super::down;
use super::folder::logs_of;

/// Heals the faults on record and deletes the clusters that nobody uses or asked to keep.
pub(super) async fn run(cx: &Context) -> Result<Verdict> {
    let logs = logs_of("e2e-clean")?;
    let progress = Progress::new();
    if let Err(error) = Provider::Docker.cmd().arg("version").run(&logs).await {
        // Without it no node runs, and nothing could be healed or deleted.
        let said = error.tail.last().cloned().unwrap_or_else(|| error.cause.to_string());
        progress.say(format_args!("no Docker daemon answers: {said}; nothing was done"));
        return Ok(Verdict::Broken);
    }
    let cleaning = Cleaning { provider: cx.provider(&logs)?, logs, progress };
    let mut all_well = true;
    // Before the records: a cluster has its record before it has a node.
    let mut nodes = Vec::new();
    for provider in providers() {
        let all = kind::all_nodes(provider, &cleaning.logs).await?;
        nodes.extend(all.into_iter().map(|(node, of)| (provider, node, of)));
    }
    let mut known = BTreeSet::new();
    for (folder, record) in recorded()? {
        known.insert(record.name.clone());
        if let Err(error) = cleaning.folder(&folder, record).await {
            cleaning.progress.say(format_args!("{error:#}"));
            all_well = false;
        }
    }
    all_well &= cleaning.orphans(nodes, &known).await;
    cleaning.progress.say("clean");
    Ok(if all_well { Verdict::Passed } else { Verdict::Broken })
}

struct Cleaning {
    provider: provide::Provider,
    logs: LogDir,
    progress: Progress,
}

impl Cleaning {
    /// Heals what is on record in a cluster's folder, or deletes the cluster.
    async fn folder(&self, folder: &Path, mut record: Record) -> Result<()> {
        let name = record.name.clone();
        let Some(_lock) = FileLock::try_take(&folder.join(LOCK))? else {
            self.progress.say(format_args!("{name} is in use, it stays"));
            return Ok(());
        };
        if record.kept || is_to_stay(folder) {
            for fault in faults::heal_recorded(folder, &self.logs).await? {
                self.progress.say(format_args!("{name}: healed {fault}"));
            }
            self.progress
                .say(format_args!("{name} was to stay; `cargo xtask e2e down` deletes it"));
            return Ok(());
        }
        self.progress
            .phase("delete", async |phase| {
                phase.outcome(&name);
                down::delete(&mut record, folder, &self.provider, &self.logs, phase).await
            })
            .await
    }

    /// Removes those of these nodes that are of clusters that this checkout made and has no record of.
    async fn orphans(
        &self,
        nodes: Vec<(Provider, String, String)>,
        known: &BTreeSet<String>,
    ) -> bool {
        let mut all_well = true;
        for (provider, node, cluster) in nodes {
            if known.contains(&cluster) || !cluster.starts_with(&names_of_this_checkout()) {
                continue;
            }
            // By force, which is no error when the run that made it has removed it meanwhile.
            let remove = provider.cmd().args(["rm", "--force", "--volumes", &node]);
            match remove.run(&self.logs).await {
                Ok(_) => self.progress.say(format_args!("{cluster} had no record, removed {node}")),
                Err(error) => {
                    self.progress.say(format_args!("{error}"));
                    all_well = false;
                }
            }
        }
        all_well
    }
}

/// What may run nodes on this machine.
fn providers() -> impl Iterator<Item = Provider> {
    let podman = which::which("podman").is_ok().then_some(Provider::Podman);
    std::iter::once(Provider::Docker).chain(podman)
}
