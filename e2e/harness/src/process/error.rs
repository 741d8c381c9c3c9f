//! Why a command failed.

use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

use thiserror::Error;

/// A command that could not be run to a good end.
#[derive(Debug, Error)]
#[error("`{command}`: {cause} (after {elapsed:.1?}){}\n  log: {}", quoted(.tail), .log.display())]
pub struct CommandError {
    /// The command line.
    pub command: String,
    /// What went wrong.
    pub cause: Cause,
    /// How long it had run.
    pub elapsed: Duration,
    /// Its log file.
    pub log: PathBuf,
    /// The last lines of its output, standard error included.
    pub tail: Vec<String>,
    /// Its standard output so far.
    pub stdout: Vec<u8>,
}

fn quoted(tail: &[String]) -> String {
    tail.iter().map(|line| format!("\n  | {line}")).collect()
}

impl CommandError {
    /// The exit code, when the command exited by itself.
    pub fn code(&self) -> Option<i32> {
        match &self.cause {
            Cause::Exit(status) => status.code(),
            Cause::Spawn(_) | Cause::Timeout(_) | Cause::Log(_) => None,
        }
    }

    /// What it said last, or else what happened to it.
    pub fn reason(&self) -> String {
        self.tail.last().map_or_else(|| self.cause.to_string(), |line| line.trim().to_owned())
    }
}

/// Why a command failed.
#[derive(Debug, Error)]
pub enum Cause {
    /// It could not be started, or its input or output not be opened.
    #[error("cannot be started: {0}")]
    Spawn(io::Error),
    /// It ended with anything but exit code 0.
    #[error("{0}")]
    Exit(ExitStatus),
    /// It was killed after this time.
    #[error("killed: it ran longer than {0:.0?}")]
    Timeout(Duration),
    /// Its log could not be written.
    #[error("log cannot be written: {0}")]
    Log(io::Error),
}
