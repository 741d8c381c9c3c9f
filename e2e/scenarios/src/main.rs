//! `cargo xtask e2e`: the operator on a real cluster, from nothing to torn down.

#![allow(clippy::print_stderr, reason = "a command-line program talks to its user")]

mod runner;

use std::process::ExitCode;

use clap::Parser as _;
use harness::{command, command_line};

#[tokio::main]
async fn main() -> ExitCode {
    if let Some(code) = command_line::answer::<runner::Cli>() {
        return code;
    }
    let cli = runner::Cli::parse();
    command::run(async |interrupted| cli.run(interrupted).await).await
}
