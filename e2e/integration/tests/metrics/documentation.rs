//! What `docs/metrics.md` says of metrics and labels.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result, ensure};
use harness::paths;

/// The page.
#[derive(Debug, Default)]
pub(crate) struct Documentation {
    /// The metrics by name.
    pub(crate) metrics: BTreeMap<String, Row>,
    /// The values of labels.
    values: BTreeMap<String, String>,
}

/// What is said of one metric.
#[derive(Debug)]
pub(crate) struct Row {
    /// The processes that have it.
    pub(crate) processes: Vec<&'static str>,
    pub(crate) kind: String,
    pub(crate) labels: BTreeSet<String>,
}

impl Documentation {
    pub(crate) fn read() -> Result<Self> {
        let text = std::fs::read_to_string(paths::workspace().join("docs/metrics.md"))?;
        let mut this = Self::default();
        for line in text.lines().filter(|line| line.starts_with("| `")) {
            let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
            let names = quoted(cells[0]);
            let name = names.first().context("a row without a name")?.clone();
            match cells[..] {
                [_, of, kind, labels, what, answers] => {
                    ensure!(!what.is_empty() && answers.ends_with('?'), "{line}");
                    let processes = match of {
                        "both" => vec!["operator", "terminator"],
                        "operator" => vec!["operator"],
                        "terminator" => vec!["terminator"],
                        _ => anyhow::bail!("{line}"),
                    };
                    let kind = kind.split(',').next().unwrap_or_default().to_owned();
                    let labels = quoted(labels).into_iter().collect();
                    let known = this.metrics.insert(name, Row { processes, kind, labels });
                    ensure!(known.is_none(), "twice: {line}");
                }
                [_, values] => {
                    this.values.entry(name).or_default().push_str(values);
                }
                _ => anyhow::bail!("a table of another kind: {line}"),
            }
        }
        Ok(this)
    }

    /// Whether the page says that a label can have this value.
    pub(crate) fn has(&self, label: &str, value: &str) -> bool {
        let listed = |values: &String| quoted(values).iter().any(|listed| listed == value);
        match label {
            // Bounds of buckets, versions, and codes are not listed one by one.
            "le" | "version" => true,
            "code" => value.parse::<u16>().is_ok() || self.values.get(label).is_some_and(listed),
            _ => self.values.get(label).is_some_and(listed),
        }
    }
}

/// The words in backticks.
fn quoted(text: &str) -> Vec<String> {
    text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}
