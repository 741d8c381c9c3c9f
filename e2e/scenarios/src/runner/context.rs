//! What every action gets.

use anyhow::Result;
use harness::process::LogDir;
use harness::provide::Provider;
use tokio_util::sync::CancellationToken;

/// Options and services that all actions share.
pub(super) struct Context {
    pub(super) no_provision: bool,
    /// Cancelled by the first Ctrl-C or SIGTERM.
    pub(super) interrupted: CancellationToken,
}

impl Context {
    /// Provides images and programs.
    pub(super) fn provider(&self, logs: &LogDir) -> Result<Provider> {
        Provider::new(self.no_provision, logs)
    }
}
