//! The operator's process.

use std::process::ExitCode;

use api::labels;
use clap::{Parser, Subcommand};
use operator::{Config, Metrics};
use runtime::{
    metrics::Registry,
    process::{self, Options},
};

/// Turns Jobs (daemonset.darkowlzz.space/v1beta1) into DaemonSets and reports their status.
#[derive(Parser)]
#[command(version, disable_help_subcommand = true)]
struct Cli {
    #[command(flatten)]
    options: Options,
    #[command(flatten)]
    config: Config,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Do nothing until SIGTERM: what the pods of ExitCode Jobs idle on.
    Pause,
}

fn main() -> ExitCode {
    let Cli { options, config, command } = Cli::parse();
    if let Some(Command::Pause) = command {
        return process::pause();
    }
    let mut registry = Registry::new("operator");
    let metrics = Metrics::new(&mut registry);
    process::run(labels::OPERATOR, &options, registry, |context| {
        let namespace = options.namespace().map(str::to_owned);
        operator::run(
            context.clients,
            namespace,
            config.clone(),
            metrics.clone(),
            context.health,
            context.shutdown,
        )
    })
}
