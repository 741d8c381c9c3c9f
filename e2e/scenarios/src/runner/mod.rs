//! The runner of the scenarios.
//!
//! This is the command line; [`execute`] is the order of a run, each other action has the module of its name.

mod clean;
mod cluster_lifecycle;
mod context;
mod down;
mod execute;
mod folder;
mod invariants;
mod list;
mod logs;
mod options;
mod plan;
mod prepare;
mod report_writer;
mod rerun;
mod run;
mod selection;
mod up;

use anyhow::Result;
use clap::{Parser, Subcommand};
use harness::command::Verdict;
use tokio_util::sync::CancellationToken;

use self::context::Context;
use self::options::{Build, Options};
use self::selection::Selection;

/// Runs the main job end to end on a kind cluster of its own.
///
/// Exit codes: 0 all is well, 1 a scenario failed, 2 the command line is wrong, 3 the infrastructure failed, 130
/// interrupted.
#[derive(Debug, Parser)]
#[command(bin_name = "cargo xtask e2e", version, disable_help_subcommand = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    action: Option<Action>,

    #[command(flatten)]
    options: Options,

    /// Change nothing on this machine outside the repository: install nothing, start no daemon.
    #[arg(long, global = true)]
    no_provision: bool,
}

#[derive(Clone, Debug, Subcommand)]
enum Action {
    /// Make a cluster with the operator deployed, and leave it running.
    Up,
    /// Run the main job, and then all other scenarios. Without this only the main job runs.
    Run(Selection),
    /// Delete the clusters that `up`, --reuse, --keep or a crash left.
    Down,
    /// List the scenarios with their tags.
    List(list::Args),
    /// Collect and show the logs of the cluster that stays; without one, what the last run collected.
    Logs,
    /// Undo what crashed runs left: faults of nodes, and clusters that nobody uses or asked to keep.
    Clean,
}

impl Cli {
    /// Does what the command line asks for.
    pub(crate) async fn run(self, interrupted: CancellationToken) -> Result<Verdict> {
        let cx = Context { no_provision: self.no_provision, interrupted };
        let mut options = self.options;
        if self.action.is_none() {
            // The main job tells whether all works; what users get is tested by `run`.
            options.profile.get_or_insert(Build::Quick);
        }
        let selection = match self.action {
            Some(Action::Down) => return down::down(options.cluster.as_deref(), &cx).await,
            Some(Action::Up) => return up::up(options, &cx).await,
            Some(Action::List(args)) => return list::run(&args),
            Some(Action::Logs) => return logs::run(&options).await,
            Some(Action::Clean) => return clean::run(&cx).await,
            Some(Action::Run(selection)) => Some(selection),
            None => None,
        };
        let (tally, verdict) = execute::run_scenarios(options, selection, &cx).await?;
        tally.print();
        Ok(verdict)
    }
}

#[cfg(test)]
mod tests {
    use harness::pages;

    use super::*;

    #[test]
    fn every_command_of_this_program_on_a_page_is_one_that_it_knows() {
        let commands = pages::commands_of("cargo xtask e2e").expect("pages");
        assert!(commands.len() > 5, "only {} were found", commands.len());
        for (place, words) in commands {
            let words = std::iter::once("e2e").chain(words.iter().map(String::as_str));
            let parsed = Cli::try_parse_from(words);
            assert!(parsed.is_ok(), "{place}: {}", parsed.expect_err("refused"));
        }
    }
}
