//! Errors as people read them: what went wrong, and what to do about it.

use std::fmt;

/// An error with a hint.
#[derive(Debug, Default)]
pub(crate) struct Error {
    message: String,
    hints: Vec<String>,
    /// Nobody reads the output any more, which is no error of ours.
    is_quiet: bool,
}

pub(crate) type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), ..Self::default() }
    }

    /// Adds what the reader can do.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Whether there is nothing to say.
    pub(crate) fn is_quiet(&self) -> bool {
        self.is_quiet
    }

    /// The message without the hints.
    pub(crate) fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", self.message)?;
        self.hints.iter().try_for_each(|hint| write!(f, "\n{hint}"))
    }
}

/// Errors of files and of the terminal.
impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        let is_quiet = error.kind() == std::io::ErrorKind::BrokenPipe;
        Self { is_quiet, ..Self::new(error.to_string()) }
    }
}

impl From<serde_json::Error> for Error {
    fn from(error: serde_json::Error) -> Self {
        match error.io_error_kind() {
            Some(kind) => std::io::Error::from(kind).into(),
            None => Self::new(format!("cannot write JSON: {error}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hints_follow_the_message_and_a_closed_pipe_is_quiet() {
        let error = Error::new("no room").hint("make some");
        assert_eq!(error.to_string(), "error: no room\nmake some");
        assert!(!error.is_quiet());
        let closed = Error::from(std::io::Error::from(std::io::ErrorKind::BrokenPipe));
        assert!(closed.is_quiet());
    }
}
