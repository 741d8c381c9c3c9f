//! `cargo xtask e2e list`: the scenarios, with their tags and what they show.

use std::fmt::Write as _;

use anyhow::Result;
use clap::ValueEnum as _;
use harness::command::{self, Output, Verdict};
use serde_json::{Value, json};

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

/// Prints each scenario that is meant.
pub(super) fn run(args: &Args) -> Result<Verdict> {
    let chosen: Vec<_> = selection::all().filter(|listed| args.choice.has(listed)).collect();
    let text = match args.output {
        Output::Text => text(&chosen)?,
        Output::Json => {
            let list: Vec<_> = chosen.iter().map(entry).collect();
            format!("{}\n", serde_json::to_string_pretty(&list)?)
        }
    };
    command::print(&text)?;
    Ok(Verdict::Passed)
}

fn entry(listed: &Listed) -> Value {
    json!({"name": listed.name, "tags": tags(listed), "description": listed.about()})
}

/// A scenario a line: its name, its tags, and what it shows.
fn text(chosen: &[Listed]) -> Result<String> {
    let rows: Vec<_> = chosen.iter().map(|it| (it.name, tags(it).join(","), it.about())).collect();
    let names = rows.iter().map(|(name, ..)| name.len()).max().unwrap_or_default();
    let tags = rows.iter().map(|(_, tags, _)| tags.len()).max().unwrap_or_default();
    let mut text = String::new();
    for (name, of_it, about) in rows {
        writeln!(text, "{name:names$}  {of_it:tags$}  {about}")?;
    }
    Ok(text)
}

fn tags(listed: &Listed) -> Vec<String> {
    let tags = listed.tags().into_iter().filter_map(|tag| tag.to_possible_value());
    tags.map(|tag| tag.get_name().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scenario_is_listed_with_its_tags_and_what_it_shows() {
        let all: Vec<_> = selection::all().collect();
        let text = text(&all).expect("a list");
        assert_eq!(text.lines().count(), all.len());
        for (line, listed) in text.lines().zip(&all) {
            assert!(line.starts_with(listed.name) && line.ends_with(listed.about()), "{line}");
            let entry = entry(listed);
            assert_eq!(entry["name"], listed.name);
            assert_eq!(entry["description"], listed.about());
            assert!(entry["tags"].as_array().is_some_and(|tags| !tags.is_empty()), "{entry}");
        }
    }
}
