//! The permission to change this machine.

use std::io::IsTerminal as _;

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

    /// Asks before a change that a person may not expect.
    ///
    /// Where nobody sits at the terminal, and in CI, [`Self::announce`] is all.
    pub(super) fn confirm(&self, change: &str, cure: &str) -> Result<()> {
        let is_attended = std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
        if !self.allow || !is_attended || std::env::var_os("CI").is_some() {
            return Ok(());
        }
        self.progress.say(format_args!("{change}? [y/N]"));
        let mut answer = String::new();
        std::io::stdin().read_line(&mut answer)?;
        if !is_yes(&answer) {
            bail!("{change} was declined; {cure}");
        }
        Ok(())
    }
}

fn is_yes(answer: &str) -> bool {
    ["y", "yes"].contains(&answer.trim().to_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_clear_yes_is_one() {
        for yes in ["y\n", "Yes\n", " YES "] {
            assert!(is_yes(yes), "{yes:?}");
        }
        for no in ["", "\n", "n\n", "yn\n", "no\n", "sure\n"] {
            assert!(!is_yes(no), "{no:?}");
        }
    }
}
