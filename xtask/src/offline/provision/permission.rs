//! The permission to change this machine.

use anyhow::{Result, bail};
use harness::process::LogDir;
use harness::progress::Progress;

use crate::context::Context;

/// The permission to change this machine, and where changes are announced.
#[derive(Clone)]
pub(crate) struct Provision {
    /// Whether anything may be installed, started or configured.
    allow: bool,
    logs: LogDir,
    progress: Progress,
}

impl Provision {
    /// As the command line says.
    pub(crate) fn new(cx: &Context, logs: &LogDir, progress: &Progress) -> Self {
        Self { allow: cx.provision, logs: logs.clone(), progress: progress.clone() }
    }

    /// Where the commands that are run leave their logs.
    pub(crate) fn logs(&self) -> &LogDir {
        &self.logs
    }

    /// Tells the user something that is not a change of this machine.
    pub(crate) fn say(&self, text: impl std::fmt::Display) {
        self.progress.say(text);
    }

    /// Announces a change of this machine, or (with `--no-provision`) refuses it and names the `cure`.
    pub(crate) fn announce(&self, change: &str, cure: &str) -> Result<()> {
        if !self.allow {
            bail!("--no-provision forbids {change}; {cure}");
        }
        self.progress.say(format_args!("provision: {change}"));
        Ok(())
    }
}
