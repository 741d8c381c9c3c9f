//! `cargo xtask e2e list`: the scenarios, one a line, with their tags.

use std::fmt::Write as _;

use anyhow::Result;
use clap::ValueEnum as _;
use harness::command::{self, Verdict};

use super::selection::{self, Choice};

/// Prints name and tags of each scenario that is meant.
pub(super) fn run(choice: &Choice) -> Result<Verdict> {
    let chosen: Vec<_> = selection::all().filter(|listed| choice.has(listed)).collect();
    let width = chosen.iter().map(|listed| listed.name.len()).max().unwrap_or_default();
    let mut text = String::new();
    for listed in &chosen {
        let tags = listed.tags().into_iter().filter_map(|tag| tag.to_possible_value());
        let tags: Vec<_> = tags.map(|tag| tag.get_name().to_owned()).collect();
        writeln!(text, "{:width$}  {}", listed.name, tags.join(","))?;
    }
    command::print(&text)?;
    Ok(Verdict::Passed)
}
