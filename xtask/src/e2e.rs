//! `cargo xtask e2e`: the operator on a real cluster, from nothing to torn down.
//!
//! This is the command line; [`run`] is what happens in which order, each action else has the module of
//! its name.

mod afterwards;
mod again;
mod clean;
mod leftover;
mod list;
mod logs;
mod options;
mod prepare;
mod run;
mod scenarios;
mod selection;
mod session;
mod up;

use anyhow::Result;
use clap::Subcommand;

pub(crate) use self::options::Options;
pub(crate) use self::run::run_scenarios;
use self::selection::Choice;
pub(crate) use self::selection::Selection;
use crate::context::{Context, Verdict};

#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Option<Action>,

    #[command(flatten)]
    options: Options,
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
    List(Choice),
    /// Collect and show the logs of the cluster that stays; without one, what the last run collected.
    Logs,
    /// Undo what crashed runs left: faults of nodes, and clusters that nobody uses or asked to keep.
    Clean,
}

pub(crate) async fn run(args: Args, cx: &Context) -> Result<Verdict> {
    let options = args.options;
    let selection = match args.action {
        Some(Action::Down) => return leftover::down(options.cluster.as_deref(), cx).await,
        Some(Action::Up) => return up::up(options, cx).await,
        Some(Action::List(choice)) => return list::run(&choice),
        Some(Action::Logs) => return logs::run(&options, cx).await,
        Some(Action::Clean) => return clean::run(cx).await,
        Some(Action::Run(selection)) => Some(selection),
        None => None,
    };
    let (tally, verdict) = run_scenarios(options, selection, cx).await?;
    tally.print();
    Ok(verdict)
}
