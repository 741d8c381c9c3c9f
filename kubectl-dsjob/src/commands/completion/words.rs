//! What may stand at the end of the words that somebody has typed: pure.

use clap::{Arg, Command};

use crate::args::connection::Connection;

/// What is proposed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Proposal {
    Words(Vec<String>),
    Jobs,
    Namespaces,
    Nodes,
    Nothing,
}

/// What may stand for the last word, and the connection that the others choose.
pub(super) fn propose(root: &Command, words: &[String]) -> (Proposal, Connection) {
    let (last, before) =
        words.split_last().map_or(("", &[][..]), |(last, before)| (last.as_str(), before));
    let mut connection = Connection::default();
    let (mut command, mut positionals) = (root, 0);
    let mut open: Option<&Arg> = None;
    for word in before {
        if let Some(flag) = open.take() {
            connect(&mut connection, flag, word);
        } else if word == "--" {
            return (Proposal::Nothing, connection);
        } else if word.starts_with('-') {
            let (name, value) = word
                .split_once('=')
                .map_or((word.as_str(), None), |(name, value)| (name, Some(value)));
            let flag = find_flag(root, command, name);
            match (flag, value) {
                (Some(flag), Some(value)) => connect(&mut connection, flag, value),
                (Some(flag), None) if takes_value(flag) => open = Some(flag),
                _ => {}
            }
        } else if let Some(found) = command.find_subcommand(word) {
            command = found;
        } else {
            positionals += 1;
        }
    }
    let proposal = match open {
        Some(flag) => values(flag),
        None if last.starts_with('-') => flags(root, command),
        None if std::ptr::eq(command, root) => subcommands(root),
        None => command
            .get_positionals()
            .nth(positionals)
            .map_or(Proposal::Nothing, |it| argument(command, it)),
    };
    (proposal, connection)
}

fn takes_value(flag: &Arg) -> bool {
    flag.get_action().takes_values()
        && flag.get_num_args().is_none_or(|range| range.min_values() > 0)
}

fn find_flag<'c>(root: &'c Command, command: &'c Command, word: &str) -> Option<&'c Arg> {
    let is_it = |flag: &&Arg| match word.strip_prefix("--") {
        Some(long) => flag.get_long() == Some(long),
        None => {
            flag.get_short().is_some_and(|short| word.strip_prefix('-') == Some(&short.to_string()))
        }
    };
    command.get_arguments().chain(root.get_arguments()).find(is_it)
}

/// Takes in a flag that chooses the cluster whose names are proposed.
fn connect(connection: &mut Connection, flag: &Arg, value: &str) {
    let value = Some(value.to_owned());
    match flag.get_id().as_str() {
        "namespace" => connection.namespace = value,
        "context" => connection.context = value,
        "cluster" => connection.cluster = value,
        "user" => connection.user = value,
        "kubeconfig" => connection.kubeconfig = value.map(Into::into),
        "as_user" => connection.as_user = value,
        _ => {}
    }
}

/// The values of a flag.
fn values(flag: &Arg) -> Proposal {
    match flag.get_id().as_str() {
        "namespace" => Proposal::Namespaces,
        "node" | "run_on" => Proposal::Nodes,
        _ => possible(flag),
    }
}

/// The values of an argument without a flag.
fn argument(command: &Command, argument: &Arg) -> Proposal {
    match argument.get_id().as_str() {
        // The Job of `run` has a new name.
        "name" if command.get_name() != "run" => Proposal::Jobs,
        _ => possible(argument),
    }
}

fn possible(argument: &Arg) -> Proposal {
    let words = argument.get_possible_values();
    match words.is_empty() {
        true => Proposal::Nothing,
        false => Proposal::Words(words.iter().map(|value| value.get_name().to_owned()).collect()),
    }
}

fn subcommands(root: &Command) -> Proposal {
    let visible = root.get_subcommands().filter(|command| !command.is_hide_set());
    Proposal::Words(visible.map(|command| command.get_name().to_owned()).collect())
}

fn flags(root: &Command, command: &Command) -> Proposal {
    let all = command.get_arguments().chain(root.get_arguments());
    let mut names: Vec<_> =
        all.filter_map(|flag| Some(format!("--{}", flag.get_long()?))).collect();
    names.sort();
    names.dedup();
    Proposal::Words(names)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::built;

    fn proposal(line: &str) -> Proposal {
        let words: Vec<_> = line.split(' ').map(str::to_owned).collect();
        propose(&built(), &words).0
    }

    fn words(line: &str) -> Vec<String> {
        match proposal(line) {
            Proposal::Words(words) => words,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn commands_flags_and_values_are_proposed_where_they_may_stand() {
        assert!(words("").contains(&"explain".to_owned()));
        assert!(!words("").contains(&"__complete".to_owned()));
        assert!(words("-n ops sta").contains(&"status".to_owned()));
        assert!(words("status a --wa").contains(&"--watch".to_owned()));
        assert!(words("status a --").contains(&"--namespace".to_owned()));
        assert!(words("list -o ").contains(&"json".to_owned()));
        assert_eq!(words("completion k")[0], "kubectl");
    }

    #[test]
    fn names_come_from_the_cluster_that_the_words_choose() {
        assert_eq!(proposal("status "), Proposal::Jobs);
        assert_eq!(proposal("status -w "), Proposal::Jobs);
        assert_eq!(proposal("status a "), Proposal::Nothing);
        assert_eq!(proposal("run "), Proposal::Nothing);
        assert_eq!(proposal("run a --image b -- "), Proposal::Nothing);
        assert_eq!(proposal("list --namespace "), Proposal::Namespaces);
        assert_eq!(proposal("logs a --node "), Proposal::Nodes);
        let typed = ["status", "-n", "ops", "--context=prod", ""].map(str::to_owned);
        let (_, connection) = propose(&built(), &typed);
        assert_eq!(connection.namespace.as_deref(), Some("ops"));
        assert_eq!(connection.context.as_deref(), Some("prod"));
    }
}
