//! `cargo xtask doctor` reports the tools that this machine lacks, and how to get them.
//!
//! It changes nothing.

mod checks;
mod facts;

use std::fmt;

use anyhow::Result;
use harness::command;
use harness::command::Verdict;

use crate::context::Context;

#[derive(clap::Args, Debug)]
pub(crate) struct Args {}

pub(crate) async fn run(_: Args, cx: &Context) -> Result<Verdict> {
    let logs = cx.logs("doctor")?;
    let facts = facts::gather(&logs).await;
    let findings = checks::all(&facts);
    let report: String = findings.iter().map(|finding| format!("{finding}\n")).collect();
    command::print(&report)?;
    let failed = findings.iter().any(|finding| finding.state == State::Bad);
    Ok(if failed { Verdict::Failed } else { Verdict::Passed })
}

/// What a check found.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Finding {
    /// What was looked at.
    subject: &'static str,
    state: State,
    /// What is there.
    found: String,
    /// What to do; empty when there is nothing to do.
    cure: String,
}

/// How what was found compares to what is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
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
    fn good(subject: &'static str, found: impl Into<String>) -> Self {
        Self { subject, state: State::Good, found: found.into(), cure: String::new() }
    }

    fn not_good(
        subject: &'static str,
        state: State,
        found: impl Into<String>,
        cure: impl Into<String>,
    ) -> Self {
        Self { subject, state, found: found.into(), cure: cure.into() }
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
