//! The terminator's process.

use std::process::ExitCode;

use api::labels;
use clap::Parser;
use runtime::{
    metrics::Registry,
    process::{self, Options},
};
use terminator::{Config, Metrics};

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
    let mut registry = Registry::new("terminator");
    let metrics = Metrics::new(&mut registry);
    process::run(labels::TERMINATOR, &options, registry, |context| {
        let namespace = options.namespace().map(str::to_owned);
        terminator::run(
            context.clients,
            namespace,
            config.clone(),
            metrics.clone(),
            context.health,
            context.shutdown,
        )
    })
}
