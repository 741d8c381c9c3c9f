//! The terminator's process.

use std::process::ExitCode;

use api::{
    names,
    runtime::{self, Options, Registry},
};
use clap::Parser;
use terminator::Config;

/// Notices when every node of a Job (daemonset.darkowlzz.space/v1beta1) is done, and ends the Job.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(flatten)]
    options: Options,
    #[command(flatten)]
    config: Config,
}

fn main() -> ExitCode {
    let Cli { options, config } = Cli::parse();
    runtime::run(names::TERMINATOR, &options, Registry::new("terminator"), |context| {
        let namespace = options.namespace().map(str::to_owned);
        terminator::run(
            context.clients,
            namespace,
            config.clone(),
            context.health,
            context.shutdown,
        )
    })
}
