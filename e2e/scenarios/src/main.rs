//! `cargo xtask e2e`: the operator on a real cluster, from nothing to torn down.

#![allow(clippy::print_stderr, reason = "a command-line program talks to its user")]

mod runner;

use std::process::ExitCode;

use clap::Parser as _;
use harness::command;

#[tokio::main]
async fn main() -> ExitCode {
    let cli = runner::Cli::parse();
    command::run(async |interrupted| cli.run(interrupted).await).await
}
