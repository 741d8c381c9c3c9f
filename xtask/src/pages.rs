//! The commands that people are told to type.

use clap::Parser as _;
use e2e::pages::{CONSOLE, TRANSCRIPT};

use crate::Cli;

#[test]
fn every_command_of_this_program_on_a_page_is_one_that_it_knows() {
    let mut parsed = 0;
    let mut refused = Vec::new();
    for page in e2e::pages::all().expect("pages") {
        for (place, command) in [CONSOLE, TRANSCRIPT].iter().flat_map(|kind| page.commands(kind)) {
            if let Some(arguments) = command.strip_prefix("cargo xtask") {
                let words = ["xtask"].into_iter().chain(arguments.split_whitespace());
                match Cli::try_parse_from(words) {
                    Ok(_) => parsed += 1,
                    Err(error) => refused.push(format!("{place}: {command}\n{error}")),
                }
            }
        }
    }
    assert!(refused.is_empty(), "{}", refused.join("\n"));
    assert!(parsed > 10, "only {parsed} were found");
}
