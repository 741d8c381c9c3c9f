//! Causes in logs: a termination word that is not found.

use api::{job::CompletionMode, labels};

use super::check::Check;
use crate::model::{
    evidence::{Evidence, LogEnd},
    finding::Finding,
    job::pod_selector,
};

pub(super) const CHECKS: &[Check] = &[
    Check { name: "WordNotFound", find: word_not_found },
    Check { name: "LogRotated", find: log_rotated },
];

/// The terminator's word unless a Job or its settings name another one.
const DEFAULT_WORD: &str = "done";

fn word_not_found(evidence: &Evidence) -> Option<Finding> {
    if evidence.job.spec.completion_mode != CompletionMode::TerminationWord {
        return None;
    }
    let near: Vec<_> =
        evidence.log_ends.iter().filter_map(|end| Some((end, near_miss(end)?))).collect();
    let (_, why) = near.first()?;
    let nodes = near.iter().map(|(end, _)| end.node.clone()).collect();
    let cure = match why {
        Miss::OpenLine => "end the line with a line break, and flush the output",
        Miss::LongerWord(_) => "log the word by itself, or name another one in terminationWord",
    };
    let finding =
        Finding::problem("The log has the termination word, but not as a word of a finished line");
    let finding = finding.nodes(nodes).cure(cure);
    Some(match why {
        Miss::OpenLine => finding.quote("the last line has no end"),
        Miss::LongerWord(line) => finding.quote(line),
    })
}

/// Why a word does not count.
#[derive(Debug, PartialEq)]
enum Miss {
    OpenLine,
    LongerWord(String),
}

fn near_miss(end: &LogEnd) -> Option<Miss> {
    let word = end.word.as_deref().unwrap_or(DEFAULT_WORD);
    let (whole, open) = end.text.rsplit_once('\n').unwrap_or(("", &end.text));
    if whole.lines().any(|line| has_word(line, word)) {
        return None;
    }
    if has_word(open, word) {
        return Some(Miss::OpenLine);
    }
    let longer = whole.lines().rev().find(|line| line.contains(word))?;
    Some(Miss::LongerWord(longer.trim().to_owned()))
}

/// Whether a line has the word as a whole word.
fn has_word(line: &str, word: &str) -> bool {
    let is_part = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    line.match_indices(word).any(|(start, _)| {
        let before = line.get(..start).and_then(|text| text.chars().next_back());
        let after = line.get(start + word.len()..).and_then(|text| text.chars().next());
        !is_part(before) && !is_part(after)
    })
}

fn log_rotated(evidence: &Evidence) -> Option<Finding> {
    let is_it = |reason: Option<&str>| reason == Some(labels::LOG_ROTATED);
    let rows = evidence.model.nodes.iter().filter(|node| is_it(node.reason.as_deref()));
    let nodes: Vec<_> = rows.map(|node| node.name.clone()).collect();
    if nodes.is_empty() {
        return None;
    }
    let selector = pod_selector(&evidence.model.name);
    let cure = format!(
        "if the work there is done, delete the pods of these nodes, and the work runs again: kubectl --namespace {} get pods \
         --selector {selector} --output wide; if the container only logged nothing at first, nothing is wrong",
        evidence.model.namespace
    );
    let cause = "A log was opened late and does not reach back to the start of its container, or to what was read of it: a word that has rotated away is never found";
    Some(Finding::warning(cause).nodes(nodes).cure(cure))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn miss(text: &str) -> Option<Miss> {
        near_miss(&LogEnd { text: text.to_owned(), ..LogEnd::default() })
    }

    #[test]
    fn near_misses_are_told_from_words_and_from_silence() {
        assert_eq!(miss("working\ndone"), Some(Miss::OpenLine));
        assert_eq!(miss("abandoned\n"), Some(Miss::LongerWord("abandoned".into())));
        assert_eq!(miss("Job done.\n"), None);
        assert_eq!(miss("working\n"), None);
        assert_eq!(miss(""), None);
    }
}
