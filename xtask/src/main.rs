//! `cargo xtask`: builds, tests and runs daemonset-job end to end.
//!
//! This file is the command line only; every subcommand lives in the module of its name.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command-line program talks to its user"
)]

mod bench;
mod capabilities;
mod cargo;
mod codegen;
mod context;
mod control_plane;
mod digest;
mod doctor;
mod e2e;
mod image;
mod node_image;
mod output;
#[cfg(test)]
mod pages;
mod provision;
mod release;
mod test;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::context::{Context, Verdict};

/// A scenario or a test failed.
const EXIT_FAILED: u8 = 1;
/// Something that the work needs is missing or broken: Docker, the network, the cluster.
const EXIT_INFRASTRUCTURE: u8 = 2;
/// Ended by Ctrl-C or SIGTERM, as a shell would report it.
const EXIT_INTERRUPTED: u8 = 130;

/// Builds, tests and runs daemonset-job end to end.
///
/// Exit codes: 0 all is well, 1 a test or scenario failed, 2 the infrastructure failed, 130
/// interrupted.
#[derive(Parser)]
#[command(bin_name = "cargo xtask", disable_help_subcommand = true)]
struct Cli {
    /// Change nothing on this machine outside the repository: install nothing, start no daemon.
    #[arg(long, global = true)]
    no_provision: bool,

    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Check what this machine has of what the other commands need; changes nothing.
    Doctor(doctor::Args),
    /// Provide the image of a kind node: pull the official one, or build one from Debian packages.
    NodeImage(node_image::Args),
    /// Build the container images.
    Image(image::Args),
    /// Write the manifests that are derived from the code.
    Codegen(codegen::Args),
    /// Run the main job end to end on a kind cluster of its own.
    E2e(e2e::Args),
    /// Measure how fast a finished Job is noticed and what that costs, from 3 to 5,000 nodes.
    Bench(bench::Args),
    /// Make everything that users of a version get, in dist/.
    Release(release::Args),
    /// Run the checks (format, lints, generated files, licences), the unit and integration tests, and the
    /// scenarios tagged `ci`.
    Test(test::Args),
}

impl Command {
    async fn run(self, cx: &Context) -> anyhow::Result<Verdict> {
        match self {
            Self::Doctor(args) => until_interrupted(cx, doctor::run(args, cx)).await,
            Self::NodeImage(args) => until_interrupted(cx, node_image::run(args, cx)).await,
            Self::Image(args) => until_interrupted(cx, image::run(args, cx)).await,
            Self::Codegen(args) => codegen::run(&args),
            Self::Release(args) => until_interrupted(cx, release::run(args, cx)).await,
            // These clean up after themselves, so they mind interrupts themselves.
            Self::E2e(args) => e2e::run(args, cx).await,
            Self::Bench(args) => bench::run(args, cx).await,
            Self::Test(args) => test::run(args, cx).await,
        }
    }
}

/// Drops the work, and with it every child process, at the first interrupt.
async fn until_interrupted(
    cx: &Context,
    work: impl Future<Output = anyhow::Result<Verdict>>,
) -> anyhow::Result<Verdict> {
    tokio::select! {
        result = work => result,
        () = cx.interrupted.cancelled() => anyhow::bail!("interrupted"),
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let cx = Context { provision: !cli.no_provision, interrupted: CancellationToken::new() };
    if let Err(error) = listen(cx.interrupted.clone()) {
        eprintln!("error: cannot listen for signals: {error}");
        return ExitCode::from(EXIT_INFRASTRUCTURE);
    }
    let result = cli.command.run(&cx).await;
    if let Err(error) = &result {
        eprintln!("error: {error:#}");
    }
    if cx.interrupted.is_cancelled() {
        return ExitCode::from(EXIT_INTERRUPTED);
    }
    match result {
        Ok(Verdict::Passed) => ExitCode::SUCCESS,
        Ok(Verdict::Failed) => ExitCode::from(EXIT_FAILED),
        Ok(Verdict::Broken) | Err(_) => ExitCode::from(EXIT_INFRASTRUCTURE),
    }
}

/// The first signal asks for an orderly end, the second ends the process at once.
fn listen(interrupted: CancellationToken) -> std::io::Result<()> {
    let mut int = signal(SignalKind::interrupt())?;
    let mut term = signal(SignalKind::terminate())?;
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = int.recv() => {}
                _ = term.recv() => {}
            }
            if interrupted.is_cancelled() {
                ::e2e::process::kill_all();
                std::process::exit(EXIT_INTERRUPTED.into());
            }
            ::e2e::progress::interject("interrupted: cleaning up (again to exit at once)");
            interrupted.cancel();
        }
    });
    Ok(())
}
