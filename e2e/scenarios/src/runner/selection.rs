//! Which scenarios a command is about.

use std::num::NonZeroUsize;

use anyhow::Result;
use clap::ValueEnum;
use harness::command::Refusal;
use regex::Regex;
use scenarios::{ALL, Scenario};

/// The name of the main job among the scenarios.
pub(super) const MAIN_JOB: &str = "sample-job";

/// What the main job shows.
const ABOUT_MAIN_JOB: &str = "The Job of the README runs on every node, and deletes itself";

/// How many run at a time by default: most of the time they wait.
const JOBS: NonZeroUsize = NonZeroUsize::new(6).unwrap();

/// The fewest nodes with which a Job can be done on some and not on others.
const NODES: usize = 2;

/// Which scenarios are meant, the main job among them.
#[derive(clap::Args, Clone, Debug, Default)]
#[command(next_help_heading = "Selection")]
pub(super) struct Choice {
    /// Only scenarios whose name matches this regular expression.
    #[arg(long, value_name = "RE")]
    filter: Option<Regex>,

    /// No scenarios whose name matches this regular expression.
    #[arg(long, value_name = "RE")]
    skip: Option<Regex>,

    /// Only scenarios with this tag: `ci` are those of `cargo xtask test`.
    #[arg(long, value_enum)]
    tag: Option<Tag>,
}

/// Which scenarios run, and how.
#[derive(clap::Args, Clone, Debug)]
#[command(next_help_heading = "Selection")]
pub(super) struct Selection {
    #[command(flatten)]
    pub(super) choice: Choice,

    /// How many scenarios run at a time, of those that run beside others.
    #[arg(long, default_value_t = JOBS, value_name = "N")]
    pub(super) jobs: NonZeroUsize,
}

/// What tells scenarios apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Tag {
    /// Part of `cargo xtask test`.
    Ci,
    /// Runs beside others.
    Shared,
    /// Has the cluster to itself.
    Exclusive,
}

/// A scenario, or the main job.
#[derive(Clone, Copy)]
pub(super) struct Listed {
    pub(super) name: &'static str,
    /// `None` for the main job.
    pub(super) scenario: Option<&'static Scenario>,
}

impl Listed {
    /// What it shows, in a line.
    pub(super) fn about(&self) -> &'static str {
        self.scenario.map_or(ABOUT_MAIN_JOB, |scenario| scenario.about)
    }

    /// What the scenario is.
    pub(super) fn tags(&self) -> Vec<Tag> {
        let (is_exclusive, is_ci) =
            self.scenario.map_or((true, true), |scenario| (scenario.is_exclusive, scenario.is_ci));
        let place = if is_exclusive { Tag::Exclusive } else { Tag::Shared };
        [Some(place), is_ci.then_some(Tag::Ci)].into_iter().flatten().collect()
    }
}

/// All there are, the main job first.
pub(super) fn all() -> impl Iterator<Item = Listed> {
    let others =
        ALL.iter().map(|scenario| Listed { name: scenario.name, scenario: Some(scenario) });
    std::iter::once(Listed { name: MAIN_JOB, scenario: None }).chain(others)
}

impl Choice {
    /// Whether a scenario is meant.
    pub(super) fn has(&self, listed: &Listed) -> bool {
        self.filter.as_ref().is_none_or(|filter| filter.is_match(listed.name))
            && !self.skip.as_ref().is_some_and(|skip| skip.is_match(listed.name))
            && self.tag.is_none_or(|tag| listed.tags().contains(&tag))
    }
}

/// The defaults of the command line: all of them.
impl Default for Selection {
    fn default() -> Self {
        Self { choice: Choice::default(), jobs: JOBS }
    }
}

impl Selection {
    /// What a bare `cargo xtask e2e` runs.
    pub(super) fn main_job() -> Result<Self> {
        let filter = Regex::new(&format!("^{MAIN_JOB}$"))?;
        let choice = Choice { filter: Some(filter), ..Choice::default() };
        Ok(Self { choice, ..Self::default() })
    }

    /// Refuses what cannot be done.
    pub(super) fn check(&self, nodes: usize) -> Result<()> {
        let chosen: Vec<_> = all().filter(|listed| self.choice.has(listed)).collect();
        if chosen.is_empty() {
            let names: Vec<_> = all().map(|listed| listed.name).collect();
            let error = format!("no scenario matches; there are:\n  {}", names.join("\n  "));
            return Err(Refusal::Usage(error).into());
        }
        if nodes < NODES && chosen.iter().any(|listed| listed.scenario.is_some()) {
            let error = format!(
                "the scenarios need at least {NODES} nodes; `cargo xtask e2e` runs the main job"
            );
            return Err(Refusal::Usage(error).into());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        selection: Selection,
    }

    fn parse(arguments: &[&str]) -> Selection {
        let arguments = std::iter::once(&"run").chain(arguments);
        Cli::try_parse_from(arguments).expect("valid").selection
    }

    fn names(selection: &Selection) -> Vec<&'static str> {
        let chosen = all().filter(|listed| selection.choice.has(listed));
        chosen.map(|listed| listed.name).collect()
    }

    #[test]
    fn filter_and_skip_select_by_name() {
        let of_nodes = names(&parse(&["--filter", "node"]));
        assert!(of_nodes.len() > 1 && of_nodes.iter().all(|name| name.contains("node")));
        let fewer = names(&parse(&["--filter", "node", "--skip", "frozen"]));
        assert!(fewer.len() < of_nodes.len() && !fewer.iter().any(|name| name.contains("frozen")));
        assert_eq!(names(&Selection::default()).len(), all().count());
    }

    #[test]
    fn tags_part_the_scenarios() {
        let count = |tag| names(&parse(&["--tag", tag])).len();
        assert_eq!(count("shared") + count("exclusive"), all().count());
        assert!(names(&parse(&["--tag", "ci"])).contains(&MAIN_JOB));
    }

    #[test]
    fn selection_of_nothing_is_refused_with_the_names_that_there_are() {
        let error = parse(&["--filter", "nonsense"]).check(3).expect_err("refused").to_string();
        assert!(error.contains(MAIN_JOB) && error.contains(ALL[0].name), "{error}");
    }

    #[test]
    fn one_node_is_enough_for_the_main_job_only() {
        assert!(parse(&["--filter", &format!("^{MAIN_JOB}$")]).check(1).is_ok());
        assert!(Selection::default().check(1).is_err());
        assert!(Selection::default().check(2).is_ok());
    }
}
