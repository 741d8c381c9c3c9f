//! `cargo xtask`: builds, tests and runs daemonset-job end to end.
//!
//! This file is the command line only; every subcommand lives in the module of its name. Scenarios and
//! benchmarks are programs of their own, which [`runner`] starts. [`offline`] is for machines that reach
//! no registry.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command-line program talks to its user"
)]

#[cfg(test)]
mod architecture;
mod cargo;
mod codegen;
mod completions;
mod context;
mod digest;
mod doctor;
mod image;
mod offline;
mod provide;
mod release;
mod runner;
mod test;

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};
use harness::command::{self, Verdict};

use crate::context::Context;
use crate::offline::node_image;

/// Builds, tests and runs daemonset-job end to end.
///
/// Exit codes: 0 all is well, 1 a test or scenario failed, 2 the command line is wrong, 3 the infrastructure
/// failed, 130 interrupted.
#[derive(Parser)]
#[command(bin_name = "cargo xtask", version, disable_help_subcommand = true)]
struct Cli {
    /// Change nothing outside the repository: install nothing, start no daemon.
    #[arg(long, global = true)]
    no_provision: bool,

    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Check this machine for the tools that the other commands need; changes nothing.
    Doctor(doctor::Args),
    /// Pull the kind node image, or build it from Go modules and Debian packages.
    NodeImage(node_image::Args),
    /// Build the container images.
    Image(image::Args),
    /// Write the files that are generated: CRD, install.yaml, API reference.
    Codegen(codegen::Args),
    /// Run the main job end to end on a kind cluster of its own.
    E2e(runner::Args),
    /// Measure the delay and the cost of noticing a finished Job on 3 to 5,000 nodes.
    Bench(runner::Args),
    /// Write a release to dist/: images, manifests, checksums, SBOM.
    Release(release::Args),
    /// Run all checks and tests, and the scenarios tagged `ci`.
    ///
    /// The checks are format, lints, generated files and licences.
    Test(test::Args),
    /// Print a script by which a shell completes the command line of `xtask`, an alias of `cargo xtask`.
    Completions(completions::Args),
    /// Provide images and programs to the runners, as JSON.
    #[command(hide = true)]
    Provide(provide::Args),
}

impl Command {
    async fn run(self, cx: &Context) -> anyhow::Result<Verdict> {
        match self {
            Self::Doctor(args) => doctor::run(args, cx).await,
            Self::NodeImage(args) => node_image::run(args, cx).await,
            Self::Image(args) => image::run(args, cx).await,
            Self::Codegen(args) => codegen::run(&args),
            Self::Release(args) => release::run(args, cx).await,
            Self::E2e(args) => runner::SCENARIOS.exec(&args, cx).await,
            Self::Bench(args) => runner::BENCH.exec(&args, cx).await,
            Self::Test(args) => test::run(args, cx).await,
            Self::Completions(args) => completions::run(&args, Cli::command()).await,
            Self::Provide(args) => provide::run(args, cx).await,
        }
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    command::run(async |interrupted| {
        let cx = Context { provision: !cli.no_provision, interrupted };
        match cli.command {
            // It ends its runner in order.
            Command::Test(args) => test::run(args, &cx).await,
            command => command::until_interrupted(&cx.interrupted, command.run(&cx)).await,
        }
    })
    .await
}

#[cfg(test)]
mod tests {
    use harness::pages;

    use super::*;

    #[test]
    fn every_command_of_this_program_on_a_page_is_one_that_it_knows() {
        pages::check_commands("cargo xtask", Cli::try_parse_from).expect("known");
    }

    #[test]
    fn every_command_has_a_row_in_the_table_of_the_page() {
        let page = std::fs::read_to_string(harness::paths::workspace().join("docs/development.md"));
        let page = page.expect("the page");
        let rows: Vec<_> = page.lines().filter(|line| line.starts_with("| `")).collect();
        for command in Cli::command().get_subcommands().filter(|command| !command.is_hide_set()) {
            let name = format!("`{}`", command.get_name());
            let is_its = |row: &&str| row.split(" | ").next().is_some_and(|it| it.contains(&name));
            assert!(rows.iter().any(is_its), "{name} is in no row");
        }
    }

    #[test]
    fn options_of_the_runners_are_left_to_them() {
        let parse = |line: &str| Cli::try_parse_from(line.split(' ')).expect("parsed");
        for line in ["xtask e2e --help", "xtask e2e run --filter x", "xtask e2e --nodes 1"] {
            let Command::E2e(args) = parse(line).command else { panic!("{line}") };
            assert_eq!(args.words(), line.split(' ').skip(2).collect::<Vec<_>>());
        }
        assert!(parse("xtask --no-provision e2e up").no_provision);
    }
}
