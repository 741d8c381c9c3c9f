//! `cargo xtask doctor` reports the tools that this machine lacks, and how to get them.
//!
//! It changes nothing.

mod checks;
mod facts;
mod finding;

use anyhow::Result;
use harness::command::{self, Output, Verdict};

use self::finding::State;
use crate::context::Context;

#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Form of the report.
    #[arg(long, short, value_enum, default_value_t, value_name = "FORM")]
    output: Output,
}

pub(crate) async fn run(args: Args, cx: &Context) -> Result<Verdict> {
    let logs = cx.logs("doctor")?;
    let facts = facts::gather(&logs).await;
    let findings = checks::all(&facts);
    let report: String = match args.output {
        Output::Text => findings.iter().map(|finding| format!("{finding}\n")).collect(),
        Output::Json => format!("{}\n", serde_json::to_string_pretty(&findings)?),
    };
    command::print(&report)?;
    let failed = findings.iter().any(|finding| finding.state == State::Bad);
    Ok(if failed { Verdict::Failed } else { Verdict::Passed })
}
