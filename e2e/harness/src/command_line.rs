//! The command line of a program as data, by which another completes it.
//!
//! `cargo xtask` links none of the programs that it starts, so it asks them for their options.

use std::process::ExitCode;

use anyhow::Result;
use clap::{Arg, ArgAction, Command, CommandFactory};
use serde::{Deserialize, Serialize};

use crate::command;

/// The only argument of a program that is to print its command line.
pub const ASK: &str = "--print-command-line";

/// The options and commands of a program, or of one of its commands.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct CommandLine {
    name: String,
    about: String,
    options: Vec<CliOption>,
    commands: Vec<CommandLine>,
}

/// An option.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
struct CliOption {
    id: String,
    long: String,
    short: Option<char>,
    help: String,
    takes_value: bool,
    /// The values that it takes, if these are few.
    values: Vec<String>,
    is_global: bool,
}

/// Prints the command line of the program if that is all that it was asked for.
pub fn answer<P: CommandFactory>() -> Option<ExitCode> {
    let mut words = std::env::args().skip(1);
    if words.next().as_deref() != Some(ASK) || words.next().is_some() {
        return None;
    }
    let print = || -> Result<()> {
        let text = serde_json::to_string(&CommandLine::of(&P::command()))?;
        command::print(&format!("{text}\n"))
    };
    Some(if print().is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl CommandLine {
    /// Reads a command line, less what is hidden.
    pub fn of(command: &Command) -> Self {
        let options = command.get_arguments().filter(|option| !option.is_hide_set());
        let commands = command.get_subcommands().filter(|command| !command.is_hide_set());
        Self {
            name: command.get_name().to_owned(),
            about: command.get_about().map(ToString::to_string).unwrap_or_default(),
            options: options.filter_map(CliOption::of).collect(),
            commands: commands.map(Self::of).collect(),
        }
    }

    /// The same as a command of this name, which is good for completions and for nothing else.
    pub fn into_command(self, name: &str) -> Command {
        let commands = self.commands.into_iter().map(|command| {
            let name = command.name.clone();
            command.into_command(&name)
        });
        // clap without its feature `string` takes names that stay.
        Command::new(&*name.to_owned().leak())
            .about(&*self.about.leak())
            .disable_help_subcommand(true)
            .args(self.options.into_iter().map(CliOption::into_arg))
            .subcommands(commands)
    }
}

impl CliOption {
    fn of(option: &Arg) -> Option<Self> {
        let values = option.get_possible_values();
        let takes_value = option.get_action().takes_values();
        let values = values.iter().filter(|value| takes_value && !value.is_hide_set());
        Some(Self {
            id: option.get_id().to_string(),
            long: option.get_long()?.to_owned(),
            short: option.get_short(),
            help: option.get_help().map(ToString::to_string).unwrap_or_default(),
            takes_value,
            values: values.map(|value| value.get_name().to_owned()).collect(),
            is_global: option.is_global_set(),
        })
    }

    fn into_arg(self) -> Arg {
        let action = if self.takes_value { ArgAction::Set } else { ArgAction::SetTrue };
        let arg = Arg::new(&*self.id.leak())
            .long(&*self.long.leak())
            .help(&*self.help.leak())
            .action(action)
            .global(self.is_global);
        let arg = self.short.map_or(arg.clone(), |short| arg.short(short));
        if self.values.is_empty() {
            return arg;
        }
        let values = self.values.into_iter().map(|value| &*value.leak());
        arg.value_parser(clap::builder::PossibleValuesParser::new(values))
    }
}

#[cfg(test)]
mod tests {
    use clap::{Parser, Subcommand, ValueEnum};

    use super::*;

    /// Does something.
    #[derive(Parser)]
    #[command(name = "program", version)]
    struct Cli {
        /// Be quiet.
        #[arg(long, short, global = true)]
        quiet: bool,

        #[command(subcommand)]
        action: Action,
    }

    #[derive(Clone, Subcommand)]
    enum Action {
        /// Go there.
        Go {
            /// Where to.
            #[arg(long)]
            direction: Option<Direction>,
        },
        #[command(hide = true)]
        Hide,
    }

    #[derive(Clone, Copy, ValueEnum)]
    enum Direction {
        North,
        South,
    }

    #[test]
    fn command_line_is_the_same_after_its_way_as_json() {
        let line = CommandLine::of(&Cli::command());
        let text = serde_json::to_string(&line).expect("JSON");
        let read: CommandLine = serde_json::from_str(&text).expect("the same");
        assert_eq!(read, line);
        let again = CommandLine::of(&read.into_command("program"));
        assert_eq!(again, line);
        assert!(text.contains("north") && text.contains("Go there") && !text.contains("hide"));
    }
}
