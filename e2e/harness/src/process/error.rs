//! Why a command failed.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

/// A command that could not be run to a good end.
#[derive(Debug)]
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

impl CommandError {
    /// The exit code, when the command exited by itself.
    pub fn code(&self) -> Option<i32> {
        match &self.cause {
            Cause::Exit(status) => status.code(),
            Cause::Spawn(_) | Cause::Timeout(_) | Cause::Log(_) => None,
        }
    }
}

/// Why a command failed.
#[derive(Debug)]
pub enum Cause {
    /// It could not be started, or its input or output not be opened.
    Spawn(io::Error),
    /// It ended with anything but exit code 0.
    Exit(ExitStatus),
    /// It was killed after this time.
    Timeout(Duration),
    /// Its log could not be written.
    Log(io::Error),
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Spawn(error) => write!(f, "cannot be started: {error}"),
            Self::Exit(status) => write!(f, "{status}"),
            Self::Timeout(limit) => write!(f, "killed: it ran longer than {limit:.0?}"),
            Self::Log(error) => write!(f, "log cannot be written: {error}"),
        }
    }
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (command, cause, elapsed) = (&self.command, &self.cause, self.elapsed);
        write!(f, "`{command}`: {cause} (after {elapsed:.1?})")?;
        for line in &self.tail {
            write!(f, "\n  | {line}")?;
        }
        write!(f, "\n  log: {}", self.log.display())
    }
}

impl std::error::Error for CommandError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.cause {
            Cause::Spawn(error) | Cause::Log(error) => Some(error),
            Cause::Exit(_) | Cause::Timeout(_) => None,
        }
    }
}
