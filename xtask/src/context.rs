//! What every subcommand gets: the global options, its logs, and the news of an interrupt.

use anyhow::Result;
use harness::paths;
use harness::process::LogDir;
use tokio_util::sync::CancellationToken;

/// Options and services that all subcommands share.
#[derive(Clone, Debug)]
pub(crate) struct Context {
    /// Whether missing programs may be installed and daemons started on this machine.
    pub(crate) provision: bool,
    /// Cancelled by the first Ctrl-C or SIGTERM.
    pub(crate) interrupted: CancellationToken,
}

impl Context {
    /// A fresh folder for the logs of this invocation, `target/xtask/<command>/<run>/`.
    pub(crate) fn logs(&self, command: &str) -> Result<LogDir> {
        let path = paths::target().join("xtask").join(command);
        let path = path.join(paths::run_name());
        Ok(LogDir::create(path)?)
    }
}
