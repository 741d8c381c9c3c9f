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
/// The work lacks something, or it is broken: Docker, the network, the cluster.
const EXIT_INFRASTRUCTURE: u8 = 2;
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
    match result {
        Ok(Verdict::Passed) => ExitCode::SUCCESS,
        Ok(Verdict::Failed) => ExitCode::from(EXIT_FAILED),
        Ok(Verdict::Broken) | Err(_) => ExitCode::from(EXIT_INFRASTRUCTURE),
    }
}

/// The verdict that the exit code of such a program stands for.
#[must_use]
pub fn verdict(code: Option<i32>) -> Verdict {
    match code {
        Some(0) => Verdict::Passed,
        Some(code) if code == i32::from(EXIT_FAILED) => Verdict::Failed,
        _ => Verdict::Broken,
    }
}

/// Drops the work, and with it every child process, at the first signal.
///
/// # Errors
/// Those of the work, or the interruption.
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
///
/// # Errors
/// When it cannot be written, and somebody still reads.
pub fn print(text: &str) -> Result<()> {
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written.context("cannot write to standard output"),
    }
}
