//! The operator's process.

use std::process::ExitCode;

use api::runtime::{self, Options};
use clap::Parser;

/// Turns Jobs (daemonset.darkowlzz.space/v1beta1) into DaemonSets and reports their status.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(flatten)]
    options: Options,
}

fn main() -> ExitCode {
    let Cli { options } = Cli::parse();
    runtime::run("operator", &options, |context| {
        operator::run(
            context.clients,
            options.namespace().map(str::to_owned),
            context.health,
            context.shutdown,
        )
    })
}
