//! `cargo xtask e2e list`: the scenarios, one a line, with their tags.

use std::fmt::Write as _;

use anyhow::Result;
use clap::ValueEnum as _;
use harness::command::{self, Output, Verdict};
use serde_json::json;

use super::selection::{self, Choice, Listed};

/// Which scenarios are listed, and how.
#[derive(clap::Args, Clone, Debug)]
pub(super) struct Args {
    #[command(flatten)]
    choice: Choice,

    /// Form of the list.
    #[arg(long, short, value_enum, default_value_t, value_name = "FORM")]
    output: Output,
}

/// Prints name and tags of each scenario that is meant.
pub(super) fn run(args: &Args) -> Result<Verdict> {
    let chosen: Vec<_> = selection::all().filter(|listed| args.choice.has(listed)).collect();
    let text = match args.output {
        Output::Text => text(&chosen)?,
        Output::Json => {
            let entry = |listed: &Listed| json!({"name": listed.name, "tags": tags(listed)});
            let list: Vec<_> = chosen.iter().map(entry).collect();
            format!("{}\n", serde_json::to_string_pretty(&list)?)
        }
    };
    command::print(&text)?;
    Ok(Verdict::Passed)
}

fn text(chosen: &[Listed]) -> Result<String> {
    let width = chosen.iter().map(|listed| listed.name.len()).max().unwrap_or_default();
    let mut text = String::new();
    for listed in chosen {
        writeln!(text, "{:width$}  {}", listed.name, tags(listed).join(","))?;
    }
    Ok(text)
}

fn tags(listed: &Listed) -> Vec<String> {
    let tags = listed.tags().into_iter().filter_map(|tag| tag.to_possible_value());
    tags.map(|tag| tag.get_name().to_owned()).collect()
}
