//! The commands: each reads, computes, prints, and has an exit code.

mod attend;
mod cancel;
mod check;
mod completion;
mod context;
mod explain;
mod list;
mod logs;
mod report;
mod results;
mod retry;
mod run;
mod status;
mod suspend;
mod version;
mod wait;

use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _, error::ErrorKind};

use self::context::{Context, Exit};
use crate::{
    args::connection::Connection,
    error::{Error, Result},
    screen::Screen,
};

/// Runs, shows, explains and reports Jobs that run once on every node.
#[derive(clap::Parser, Debug)]
#[command(name = "kubectl-dsjob", bin_name = "kubectl dsjob", disable_help_subcommand = true)]
struct Cli {
    #[command(flatten)]
    connection: Connection,

    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand, Debug)]
enum Command {
    Run(Box<run::Args>),
    List(list::Args),
    Status(status::Args),
    Wait(wait::Args),
    Explain(explain::Args),
    Logs(logs::Args),
    Results(results::Args),
    Report(report::Args),
    Retry(retry::Args),
    /// Stop the pods of a Job, and keep its results.
    Suspend(suspend::Args),
    /// Let a suspended Job go on where it is not done.
    Resume(suspend::Args),
    Cancel(cancel::Args),
    Check(check::Args),
    Version(version::Args),
    Completion(completion::Args),
    #[command(name = "__complete", hide = true)]
    Complete(completion::Typed),
}

/// Runs the process from its arguments to its exit code.
pub(crate) fn main() -> ExitCode {
    let parsed = Cli::command().try_get_matches().and_then(|it| Cli::from_arg_matches(&it));
    let cli = match parsed {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    match execute(cli) {
        Ok(exit) => exit.into(),
        Err(error) => fail(&error),
    }
}

/// Prints help, or what is wrong with the arguments.
///
/// As kubectl, it ends with 1: 2 is for timeouts.
fn usage(error: &clap::Error) -> ExitCode {
    // Nobody is left to hear of an error here.
    let _ = error.print();
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}

fn fail(error: &Error) -> ExitCode {
    if error.is_quiet() {
        return ExitCode::SUCCESS;
    }
    // Nobody is left to hear of an error here.
    let _ = Screen::new().note(&error.to_string());
    ExitCode::FAILURE
}

fn execute(cli: Cli) -> Result<Exit> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let context = Context { connection: cli.connection, screen: Screen::new() };
    runtime.block_on(dispatch(cli.command, &context))
}

async fn dispatch(command: Command, cx: &Context) -> Result<Exit> {
    match command {
        Command::Run(args) => run::run(*args, cx).await,
        Command::List(args) => list::run(args, cx).await,
        Command::Status(args) => status::run(args, cx).await,
        Command::Wait(args) => wait::run(args, cx).await,
        Command::Explain(args) => explain::run(args, cx).await,
        Command::Logs(args) => logs::run(args, cx).await,
        Command::Results(args) => results::run(args, cx).await,
        Command::Report(args) => report::run(args, cx).await,
        Command::Retry(args) => retry::run(args, cx).await,
        Command::Suspend(args) => suspend::run(args, true, cx).await,
        Command::Resume(args) => suspend::run(args, false, cx).await,
        Command::Cancel(args) => cancel::run(args, cx).await,
        Command::Check(args) => check::run(args, cx).await,
        Command::Version(args) => version::run(args, cx).await,
        Command::Completion(args) => completion::run(&args, Cli::command(), cx),
        Command::Complete(typed) => completion::complete(&typed, &built(), cx).await,
    }
}

/// The whole command line, with global flags in every command.
pub(crate) fn built() -> clap::Command {
    let mut command = Cli::command();
    command.build();
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_says_what_it_does_in_one_line() {
        for command in built().get_subcommands().filter(|command| !command.is_hide_set()) {
            let about = command.get_about().map(ToString::to_string).unwrap_or_default();
            assert!((10..=100).contains(&about.len()), "{}: {about}", command.get_name());
        }
    }
}
