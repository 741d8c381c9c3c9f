//! `cargo xtask doctor` reports the tools that this machine lacks, and how to get them.
//!
//! It changes nothing.

mod checks;
mod facts;
mod finding;

use anyhow::Result;
use harness::command;
use harness::command::Verdict;

use self::finding::State;
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
