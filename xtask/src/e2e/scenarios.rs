//! The scenarios beside the main job, several at a time.

use std::num::NonZeroUsize;

use anyhow::{Result, bail};
use e2e::progress::Tally;
use e2e::scenario::{self, Scenario};
use futures::stream::{self, StreamExt as _};
use regex::Regex;

use super::prepare::Ready;
use super::session::Session;

/// How many run at a time unless the user says otherwise. They wait most of the time, for kubelets
/// that start and remove pods.
const JOBS: NonZeroUsize = NonZeroUsize::new(6).unwrap();

/// The fewest nodes with which a Job can be done on some and not on others.
const NODES: usize = 2;

/// Which scenarios run, the main job among them, and how.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Selection {
    /// Run only the scenarios whose name matches this regular expression.
    #[arg(long, value_name = "RE")]
    filter: Option<Regex>,

    /// How many scenarios run at a time, after the main job.
    #[arg(long, default_value_t = JOBS, value_name = "N")]
    jobs: NonZeroUsize,
}

/// The defaults of the command line: all of them.
impl Default for Selection {
    fn default() -> Self {
        Self { filter: None, jobs: JOBS }
    }
}

impl Selection {
    /// Whether the scenario of this name is to run.
    pub(super) fn has(&self, name: &str) -> bool {
        self.filter.as_ref().is_none_or(|filter| filter.is_match(name))
    }

    /// Refuses what cannot be done.
    pub(super) fn check(&self, main_job: &str, nodes: usize) -> Result<()> {
        let others = scenario::ALL.iter().any(|scenario| self.has(scenario.name));
        if !others && !self.has(main_job) {
            let names: Vec<_> = scenario::ALL.iter().map(|scenario| scenario.name).collect();
            bail!("no scenario matches; there are:\n  {main_job}\n  {}", names.join("\n  "));
        }
        if others && nodes < NODES {
            bail!("the scenarios need at least {NODES} nodes; `cargo xtask e2e` runs the main job");
        }
        Ok(())
    }
}

/// Runs the selected scenarios, those that need the cluster for themselves one by one at the end, and
/// tells whether all of them kept their promises. Those that did not are named at the end, for others
/// go on beside them.
pub(super) async fn run(
    selection: &Selection,
    session: &Session,
    ready: &Ready,
    tally: &mut Tally,
) -> bool {
    let (exclusive, shared): (Vec<_>, Vec<_>) = scenario::ALL
        .iter()
        .filter(|scenario| selection.has(scenario.name))
        .partition(|scenario| scenario.is_exclusive);
    let shared = stream::iter(shared)
        .map(|scenario| one(scenario, session, ready))
        .buffer_unordered(selection.jobs.get());
    let exclusive = stream::iter(exclusive).then(|scenario| one(scenario, session, ready));
    let mut running = std::pin::pin!(shared.chain(exclusive));
    let mut failures = Vec::new();
    while let Some((name, result)) = running.next().await {
        tally.count(result.is_ok());
        failures.extend(result.err().map(|error| (name, error)));
    }
    for (name, error) in &failures {
        session.say(format_args!("FAILED {name}: {error:#}"));
    }
    failures.is_empty()
}

async fn one(
    scenario: &'static Scenario,
    session: &Session,
    ready: &Ready,
) -> (&'static str, Result<()>) {
    let name = scenario.name;
    let result = session
        .progress
        .phase(name, async |phase| scenario.run(ready.context(session, phase)).await)
        .await;
    (name, result)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filtered(expression: &str) -> Selection {
        Selection { filter: Some(expression.parse().expect("valid")), ..Selection::default() }
    }

    #[test]
    fn filter_selects_by_name() {
        let selection = filtered("^failed|deadline");
        assert!(selection.has("failed-node") && selection.has("a-deadline"));
        assert!(!selection.has("not-failed"));
        assert!(Selection::default().has("anything"));
    }

    #[test]
    fn filter_that_selects_nothing_is_refused_with_the_names_that_there_are() {
        let error = filtered("nonsense").check("main", 3).expect_err("refused").to_string();
        assert!(error.contains("main") && error.contains(scenario::ALL[0].name), "{error}");
    }

    #[test]
    fn one_node_is_enough_for_the_main_job_only() {
        assert!(filtered("^main$").check("main", 1).is_ok());
        assert!(Selection::default().check("main", 1).is_err());
        assert!(Selection::default().check("main", 2).is_ok());
    }
}
