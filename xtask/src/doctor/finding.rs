//! Findings of the checks.

use std::fmt;

use serde::Serialize;

/// What a check found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    /// What was looked at.
    pub(super) subject: &'static str,
    pub(super) state: State,
    /// What is there.
    pub(super) found: String,
    /// What to do; empty when there is nothing to do.
    pub(super) cure: String,
}

/// How what was found compares to what is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum State {
    /// As it should be.
    Good,
    /// Missing, and provided by the first run unless `--no-provision` forbids it.
    Provided,
    /// Good enough to try.
    Doubtful,
    /// A run would fail.
    Bad,
}

impl Finding {
    pub(super) fn good(subject: &'static str, found: impl Into<String>) -> Self {
        Self { subject, state: State::Good, found: found.into(), cure: String::new() }
    }

    pub(super) fn provided(subject: &'static str, found: impl Into<String>, cure: &str) -> Self {
        Self { state: State::Provided, cure: cure.to_owned(), ..Self::good(subject, found) }
    }

    pub(super) fn doubtful(subject: &'static str, found: impl Into<String>, cure: &str) -> Self {
        Self { state: State::Doubtful, ..Self::provided(subject, found, cure) }
    }

    pub(super) fn bad(subject: &'static str, found: impl Into<String>, cure: &str) -> Self {
        Self { state: State::Bad, ..Self::provided(subject, found, cure) }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.state {
            State::Good => "ok",
            State::Provided => "to do",
            State::Doubtful => "warning",
            State::Bad => "FAILED",
        };
        write!(f, "{state:<8} {:<14} {}", self.subject, self.found)?;
        if !self.cure.is_empty() {
            write!(f, "\n{:<23} → {}", "", self.cure)?;
        }
        Ok(())
    }
}
