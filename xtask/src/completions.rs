//! `cargo xtask completions`: scripts by which shells complete the command line.
//!
//! Shells complete programs, and `cargo xtask` is none: the scripts are for an alias of that name. The runners of
//! scenarios and benchmarks are asked for their own options.

use anyhow::Result;
use clap_complete::Shell;
use harness::command::{self, Verdict};
use harness::command_line::CommandLine;

use crate::runner;

/// The name of the alias.
const ALIAS: &str = "xtask";

#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// The shell.
    #[arg(value_enum)]
    shell: Shell,
}

pub(crate) async fn run(args: &Args, cli: clap::Command) -> Result<Verdict> {
    let scenarios = runner::SCENARIOS.command_line().await?;
    let bench = runner::BENCH.command_line().await?;
    let cli = with_runners(cli, [("e2e", scenarios), ("bench", bench)]);
    command::print(&script(args.shell, cli))?;
    Ok(Verdict::Passed)
}

/// Puts the command lines of the runners in the place of what leaves all words to them.
fn with_runners<const N: usize>(
    cli: clap::Command,
    runners: [(&str, CommandLine); N],
) -> clap::Command {
    runners
        .into_iter()
        .fold(cli, |cli, (name, line)| cli.mut_subcommand(name, |_| line.into_command(name)))
}

fn script(shell: Shell, mut cli: clap::Command) -> String {
    // The name in the scripts is that of the program, not the one that help shows.
    cli.set_bin_name(ALIAS);
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut cli, ALIAS, &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use clap::CommandFactory as _;

    use super::*;
    use crate::Cli;

    /// A runner with a command and options.
    fn runner() -> CommandLine {
        let option = |name: &'static str| clap::Arg::new(name).long(name);
        let filter = option("filter").help("Only some");
        let keep = option("keep").value_parser(["never", "always"]);
        let run = clap::Command::new("run").args([filter, keep]);
        // As the runners have it, beside the one of `cargo xtask` itself.
        let no_provision = clap::Arg::new("no_provision").long("no-provision").global(true);
        let no_provision = no_provision.action(clap::ArgAction::SetTrue);
        CommandLine::of(&clap::Command::new("runner").arg(no_provision).subcommand(run))
    }

    #[test]
    fn bash_completes_commands_options_and_values() {
        let cli = with_runners(Cli::command(), [("e2e", runner()), ("bench", runner())]);
        let complete = |words: &str, count: usize| {
            format!(
                "COMP_WORDS=({words}); COMP_CWORD={count}; _xtask xtask \
                 \"${{COMP_WORDS[$COMP_CWORD]}}\" \"${{COMP_WORDS[$COMP_CWORD-1]}}\"; echo \"${{COMPREPLY[@]}}\"\n"
            )
        };
        // The script does without the functions of the package bash-completion.
        let test = [
            script(Shell::Bash, cli),
            complete("xtask rel", 1),
            complete("xtask release --no-pu", 2),
            complete("xtask e2e ru", 2),
            complete("xtask e2e run --fil", 3),
            complete("xtask e2e run --keep al", 4),
            complete("xtask bench run --fil", 3),
        ];
        let output = Command::new("bash").args(["-c", &test.join("\n")]).output().expect("bash");
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        let lines: Vec<_> = printed.lines().collect();
        let expected = ["release", "--no-push", "run", "--filter", "always", "--filter"];
        assert_eq!(lines, expected, "{output:?}");
    }

    #[test]
    fn other_shells_have_scripts_too() {
        for shell in [Shell::Zsh, Shell::Fish] {
            assert!(script(shell, Cli::command()).contains("no-push"), "{shell}");
        }
    }
}
