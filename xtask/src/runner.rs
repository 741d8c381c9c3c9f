//! `cargo xtask e2e` and `cargo xtask bench`: programs of their own, which this one builds and becomes.

use std::ffi::{OsStr, OsString};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context as _, Result, bail};
use harness::command::Verdict;
use harness::command_line::{self, CommandLine};
use harness::paths;
use harness::provide::XTASK;
use serde::Deserialize;

use crate::cargo;
use crate::context::Context;

/// The scenarios.
pub(crate) const SCENARIOS: Runner = Runner { package: "scenarios", profile: "dev" };

/// The benchmark. What generates load and takes times must not be what is waited for.
pub(crate) const BENCH: Runner = Runner { package: "bench", profile: "quick" };

/// The command line of a runner.
#[derive(clap::Args, Debug)]
#[command(disable_help_flag = true)]
pub(crate) struct Args {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    words: Vec<OsString>,
}

impl Args {
    #[cfg(test)]
    pub(crate) fn words(&self) -> Vec<&str> {
        self.words.iter().map(|word| word.to_str().expect("UTF-8")).collect()
    }
}

/// A program of this workspace that asks this one for images and programs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Runner {
    package: &'static str,
    profile: &'static str,
}

impl Runner {
    /// The same program, built quickly: for questions that are not about speed.
    const fn unoptimized(self) -> Self {
        Self { profile: "dev", ..self }
    }

    /// Asks the runner for its commands and options.
    pub(crate) async fn command_line(self) -> Result<CommandLine> {
        let program = self.unoptimized().build().await?;
        let mut ask = tokio::process::Command::new(&program);
        let output = ask.arg(command_line::ASK).stdin(Stdio::null()).output().await;
        let output = output.with_context(|| format!("cannot start {}", program.display()))?;
        serde_json::from_slice(&output.stdout)
            .with_context(|| format!("{} does not print its command line", program.display()))
    }

    /// Becomes the runner, and returns only if that is not possible.
    pub(crate) async fn exec(self, args: &Args, cx: &Context) -> Result<Verdict> {
        let error = self.command(&args.words, cx).await?.exec();
        Err(error).with_context(|| format!("cannot start {}", self.package))
    }

    /// Builds the runner, and returns the command that runs it.
    pub(crate) async fn command(
        self,
        words: &[impl AsRef<OsStr>],
        cx: &Context,
    ) -> Result<std::process::Command> {
        let mut command = std::process::Command::new(self.build().await?);
        command.args(words).args((!cx.provision).then_some("--no-provision"));
        command.env(XTASK, this_program()?);
        Ok(command)
    }

    /// Builds the runner, and returns its path.
    async fn build(self) -> Result<PathBuf> {
        let mut build = tokio::process::Command::new(cargo::program());
        build
            .args(["build", "--quiet", "--message-format", "json-render-diagnostics"])
            .args(["--profile", self.profile, "--package", self.package, "--bins"])
            .current_dir(paths::workspace())
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .kill_on_drop(true);
        for name in cargo::set_by_cargo() {
            build.env_remove(name);
        }
        let output = build.output().await.context("cannot start cargo")?;
        if !output.status.success() {
            bail!("cannot build {}: {}", self.package, output.status);
        }
        executable(&String::from_utf8_lossy(&output.stdout))
            .with_context(|| format!("cargo built no program of {}", self.package))
    }
}

/// The path of this program, which runners ask for images and programs.
pub(crate) fn this_program() -> Result<PathBuf> {
    std::env::current_exe().context("this program has no path")
}

/// A line of what cargo prints.
#[derive(Deserialize)]
struct Message {
    executable: Option<PathBuf>,
}

/// The program that cargo built.
fn executable(messages: &str) -> Option<PathBuf> {
    let messages = messages.lines().filter_map(|line| serde_json::from_str::<Message>(line).ok());
    messages.filter_map(|message| message.executable).next_back()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn program_is_read_from_what_cargo_prints() {
        let messages = r#"{"reason":"compiler-artifact","executable":null}
{"reason":"compiler-artifact","executable":"/target/debug/scenarios","fresh":true}
{"reason":"build-finished","success":true}"#;
        assert_eq!(executable(messages), Some(PathBuf::from("/target/debug/scenarios")));
        assert_eq!(executable("error"), None);
    }
}
