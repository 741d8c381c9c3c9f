//! The programs of this repository: exit codes, signals, results on standard output.

#![allow(clippy::print_stderr, reason = "a command-line program talks to its user")]

use std::io::{self, Write as _};
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::{process, progress};

/// A scenario or a test failed.
const EXIT_FAILED: u8 = 1;
/// The command line asks for what cannot be done.
///
/// The parser of command lines has the same code.
const EXIT_USAGE: u8 = 2;
/// The work lacks something, or it is broken: Docker, the network, the cluster.
const EXIT_INFRASTRUCTURE: u8 = 3;
/// Ctrl-C or SIGTERM ended the program, as a shell would report it.
const EXIT_INTERRUPTED: u8 = 130;

/// How a program ended that nothing stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Everything it checked is as it should be.
    Passed,
    /// A check, a test or a scenario failed, and was printed.
    Failed,
    /// The infrastructure failed before there was anything to check, and was printed.
    Broken,
}

/// Form of what a command prints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Output {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
}

/// An error that is not one of the infrastructure.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// What the command line asks for cannot be done, whatever state the machine is in.
    #[error("{0}")]
    Usage(String),
    /// The sources are not as the command needs them.
    #[error("{0}")]
    Check(String),
}

/// Runs a program, and returns its exit code.
///
/// The first signal cancels the token, so that the work cleans up; the second ends the process at once.
pub async fn run(work: impl AsyncFnOnce(CancellationToken) -> Result<Verdict>) -> ExitCode {
    let interrupted = CancellationToken::new();
    if let Err(error) = listen(interrupted.clone()) {
        eprintln!("error: cannot listen for signals: {error}");
        return ExitCode::from(EXIT_INFRASTRUCTURE);
    }
    let result = work(interrupted.clone()).await;
    if let Err(error) = &result {
        eprintln!("error: {error:#}");
    }
    if interrupted.is_cancelled() {
        return ExitCode::from(EXIT_INTERRUPTED);
    }
    ExitCode::from(exit_code(&result))
}

fn exit_code(result: &Result<Verdict>) -> u8 {
    match result {
        Ok(Verdict::Passed) => 0,
        Ok(Verdict::Failed) => EXIT_FAILED,
        Ok(Verdict::Broken) => EXIT_INFRASTRUCTURE,
        Err(error) => match error.downcast_ref() {
            Some(Refusal::Usage(_)) => EXIT_USAGE,
            Some(Refusal::Check(_)) => EXIT_FAILED,
            None => EXIT_INFRASTRUCTURE,
        },
    }
}

/// The verdict that the exit code of such a program stands for.
pub fn verdict(code: Option<i32>) -> Verdict {
    match code {
        Some(0) => Verdict::Passed,
        Some(code) if code == i32::from(EXIT_FAILED) => Verdict::Failed,
        _ => Verdict::Broken,
    }
}

/// Drops the work, and with it every child process, at the first signal.
pub async fn until_interrupted<T>(
    interrupted: &CancellationToken,
    work: impl Future<Output = Result<T>>,
) -> Result<T> {
    tokio::select! {
        result = work => result,
        () = interrupted.cancelled() => bail!("interrupted"),
    }
}

fn listen(interrupted: CancellationToken) -> io::Result<()> {
    let mut int = signal(SignalKind::interrupt())?;
    let mut term = signal(SignalKind::terminate())?;
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = int.recv() => {}
                _ = term.recv() => {}
            }
            if interrupted.is_cancelled() {
                process::kill_all();
                std::process::exit(EXIT_INTERRUPTED.into());
            }
            interrupted.cancel();
            progress::interject("interrupted: cleaning up (again to exit at once)");
        }
    });
    Ok(())
}

/// Writes a result to standard output. A reader may close it early: `cargo xtask doctor | head`.
pub fn print(text: &str) -> Result<()> {
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written.context("cannot write to standard output"),
    }
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    #[test]
    fn exit_code_tells_failure_misuse_and_broken_infrastructure_apart() {
        let usage = anyhow::Error::from(Refusal::Usage("no scenario matches".to_owned()));
        let stale = anyhow::Error::from(Refusal::Check("stale".to_owned())).context("codegen");
        for (result, code) in [
            (Ok(Verdict::Passed), 0),
            (Ok(Verdict::Failed), 1),
            (Err(stale), 1),
            (Err(usage), 2),
            (Ok(Verdict::Broken), 3),
            (Err(anyhow!("no Docker daemon answers")), 3),
        ] {
            assert_eq!(exit_code(&result), code, "{result:?}");
        }
    }

    #[test]
    fn what_is_no_failed_test_is_broken() {
        assert_eq!(verdict(Some(0)), Verdict::Passed);
        assert_eq!(verdict(Some(1)), Verdict::Failed);
        for other in [Some(2), Some(3), Some(101), None] {
            assert_eq!(verdict(other), Verdict::Broken, "{other:?}");
        }
    }
}
