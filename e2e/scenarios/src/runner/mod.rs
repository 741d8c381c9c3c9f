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
use self::options::{Build, ClusterOptions, Options, Staying};
use self::selection::Selection;

/// Runs the main job end to end on a kind cluster of its own.
///
/// Exit codes: 0 all is well, 1 a scenario failed, 2 the command line is wrong, 3 the infrastructure failed, 130
/// interrupted.
#[derive(Debug, Parser)]
#[command(
    bin_name = "cargo xtask e2e",
    version,
    disable_help_subcommand = true,
    args_conflicts_with_subcommands = true
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    action: Option<Action>,

    #[command(flatten)]
    options: Options,

    /// Change nothing on this machine outside the repository: install nothing, start no daemon.
    #[arg(long, global = true, help_heading = "Machine")]
    no_provision: bool,
}

#[derive(Clone, Debug, Subcommand)]
enum Action {
    /// Make a cluster with the operator deployed, and leave it running.
    Up(ClusterOptions),
    /// Run the main job, and then all other scenarios. Without this only the main job runs.
    Run(RunArgs),
    /// Delete the clusters that `up`, --reuse, --keep or a crash left.
    Down(Staying),
    /// List the scenarios with their tags and what they show.
    List(list::Args),
    /// Collect and show the logs of the cluster that stays; without one, what the last run collected.
    Logs(logs::Args),
    /// Undo what crashed runs left: faults of nodes, and clusters that nobody uses or asked to keep.
    Clean,
}

/// Which scenarios run, and how.
#[derive(clap::Args, Clone, Debug)]
struct RunArgs {
    #[command(flatten)]
    selection: Selection,

    #[command(flatten)]
    options: Options,
}

impl Cli {
    /// Does what the command line asks for.
    pub(crate) async fn run(self, interrupted: CancellationToken) -> Result<Verdict> {
        let cx = Context { no_provision: self.no_provision, interrupted };
        let (options, selection) = match self.action {
            Some(Action::Down(cluster)) => return down::down(cluster.name.as_deref(), &cx).await,
            Some(Action::Up(cluster)) => return up::up(cluster, &cx).await,
            Some(Action::List(args)) => return list::run(&args),
            Some(Action::Logs(args)) => return logs::run(&args).await,
            Some(Action::Clean) => return clean::run(&cx).await,
            Some(Action::Run(RunArgs { selection, options })) => (options, Some(selection)),
            None => {
                let mut options = self.options;
                // The main job tells whether all works; what users get is tested by `run`.
                options.cluster.profile.get_or_insert(Build::Quick);
                (options, None)
            }
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
        pages::check_commands("cargo xtask e2e", Cli::try_parse_from).expect("known");
    }

    #[test]
    fn every_command_has_a_row_in_the_table_of_the_page() {
        let page = harness::paths::workspace().join("docs/development.md");
        let page = fs_err::read_to_string(page).expect("the page");
        for command in <Cli as clap::CommandFactory>::command().get_subcommands() {
            let name = format!("`e2e {}`", command.get_name());
            let mut rows = page.lines().filter(|line| line.starts_with("| `"));
            assert!(rows.any(|row| row.contains(&name)), "{name} is in no row");
        }
    }

    #[test]
    fn options_are_taken_by_the_commands_in_which_they_mean_something() {
        let taken = |line: &str| Cli::try_parse_from(line.split(' ')).is_ok();
        for line in [
            "e2e --nodes 1 --provider podman",
            "e2e run --filter x --nodes 2 --repeat 3 --no-provision",
            "e2e up --nodes 1 --cluster mine",
            "e2e down --cluster mine",
            "e2e logs --cluster mine --artifacts folder",
            "e2e list --tag ci --output json",
            "e2e clean --no-provision",
            "e2e --no-provision",
        ] {
            assert!(taken(line), "{line}");
        }
        for line in [
            "e2e --nodes 1 up",
            "e2e up --repeat 3",
            "e2e up --reuse",
            "e2e down --nodes 3",
            "e2e logs --kubernetes 1.33",
            "e2e list --keep always",
            "e2e clean --cluster mine",
            "e2e --filter x",
        ] {
            assert!(!taken(line), "{line}");
        }
    }

    #[test]
    fn every_option_of_a_run_is_under_a_heading() {
        let command = <Cli as clap::CommandFactory>::command();
        let run = command.find_subcommand("run").expect("there");
        for argument in run.get_arguments() {
            let heading = argument.get_help_heading();
            assert!(heading.is_some(), "{} has no heading", argument.get_id());
        }
    }
}
