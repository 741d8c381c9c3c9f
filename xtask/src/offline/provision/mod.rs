//! Provides what the harness needs and this machine lacks: Docker, kind, kubectl.
//!
//! What is there is used as it is. What is missing is installed only where that is safe to do
//! unasked (Debian, as root), and the terminal says so first; otherwise, and always with
//! `--no-provision`, the error is the list of what to install.

pub(crate) mod apt;
mod cargo_tool;
pub(crate) mod docker;
pub(crate) mod go;
pub(crate) mod host;
pub(crate) mod podman;
mod program;
pub(crate) mod shim;

pub(crate) use self::cargo_tool::{CYCLONEDX as CARGO_CYCLONEDX, DENY as CARGO_DENY};
pub(crate) use self::program::{HELM, KIND, KUBECTL, PROMTOOL, Program};

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use harness::process::LogDir;
use harness::progress::Progress;

use crate::context::Context;

/// The leave to change this machine, and where to tell about it.
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

    /// Announces a change of this machine, or refuses it.
    ///
    /// # Errors
    /// With `--no-provision`, naming `cure`, which the user may apply instead.
    fn announce(&self, change: &str, cure: &str) -> Result<()> {
        if !self.allow {
            bail!("--no-provision forbids {change}; {cure}");
        }
        self.progress.say(format_args!("provision: {change}"));
        Ok(())
    }
}

/// The folder where programs and other results outlive `cargo clean`:
/// `${XDG_CACHE_HOME:-~/.cache}/daemonset-job`.
///
/// # Errors
/// When neither variable is set.
pub(crate) fn cache_dir() -> Result<PathBuf> {
    let base = match std::env::var_os("XDG_CACHE_HOME").filter(|dir| !dir.is_empty()) {
        Some(dir) => PathBuf::from(dir),
        None => std::env::home_dir()
            .context("cannot tell where to cache: set HOME or XDG_CACHE_HOME")?
            .join(".cache"),
    };
    Ok(base.join("daemonset-job"))
}
