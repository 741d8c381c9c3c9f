//! `cargo xtask completions`: scripts by which shells complete the command line.
//!
//! Shells complete programs, and `cargo xtask` is none: the scripts are for an alias of that name.

use anyhow::Result;
use clap_complete::Shell;
use harness::command::{self, Verdict};

/// The name of the alias.
const ALIAS: &str = "xtask";

#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// The shell.
    #[arg(value_enum)]
    shell: Shell,
}

pub(crate) fn run(args: &Args, cli: clap::Command) -> Result<Verdict> {
    command::print(&script(args.shell, cli))?;
    Ok(Verdict::Passed)
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

    #[test]
    fn bash_completes_commands_and_options() {
        // The script does without the functions of the package bash-completion.
        let test = format!(
            "{}\nCOMP_WORDS=(xtask rel); COMP_CWORD=1; _xtask xtask rel xtask; echo \"${{COMPREPLY[@]}}\"\n\
             COMP_WORDS=(xtask release --no); COMP_CWORD=2; _xtask xtask --no release; echo \"${{COMPREPLY[@]}}\"",
            script(Shell::Bash, Cli::command())
        );
        let output = Command::new("bash").args(["-c", &test]).output().expect("bash");
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        let lines: Vec<_> = printed.lines().collect();
        assert_eq!(lines.first(), Some(&"release"), "{output:?}");
        assert!(lines.get(1).is_some_and(|line| line.contains("--no-push")), "{output:?}");
    }

    #[test]
    fn other_shells_have_scripts_too() {
        for shell in [Shell::Zsh, Shell::Fish] {
            assert!(script(shell, Cli::command()).contains("no-push"), "{shell}");
        }
    }
}
