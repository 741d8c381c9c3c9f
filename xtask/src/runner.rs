//! `cargo xtask e2e` and `cargo xtask bench`: programs of their own, which this one builds and becomes.

use std::ffi::OsString;
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
        let program = self.build().await?;
        let no_provision = (!cx.provision).then_some("--no-provision");
        let error = std::process::Command::new(&program)
            .args(&args.words)
            .args(no_provision)
            .env(XTASK, std::env::current_exe().context("this program has no path")?)
            .exec();
        Err(error).with_context(|| format!("cannot start {}", program.display()))
    }

    /// Builds the runner, and returns its path.
    pub(crate) async fn build(self) -> Result<PathBuf> {
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
