//! The content of a report.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use super::facts::Machine;
use crate::progress::{Tally, Timing, seconds};

/// One run.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// The name of the run.
    pub run: String,
    /// The command line, the program first.
    pub command: Vec<String>,
    /// When it started.
    pub started: Timestamp,
    /// How long it has taken.
    #[serde(rename = "seconds", serialize_with = "seconds")]
    pub elapsed: Duration,
    /// How it ended.
    pub ending: Ending,
    /// What broke the infrastructure.
    pub error: Option<String>,
    /// The machine that it ran on.
    pub machine: Machine,
    /// The versions of what was used, by name.
    pub versions: BTreeMap<String, String>,
    /// The cluster that it ran on.
    pub cluster: serde_json::Value,
    /// What is worth a figure, by name: resources before and after, times.
    pub figures: BTreeMap<String, serde_json::Value>,
    /// What came before the scenarios and after them.
    pub phases: Vec<Timing>,
    /// What was to be found out.
    pub results: Vec<Entry>,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Ending {
    /// It has not: it goes on, or was killed.
    #[default]
    Running,
    /// Everything was as promised.
    Passed,
    /// A scenario or check failed.
    Failed,
    /// The infrastructure failed, so that not all could be verified.
    Broken,
    /// By a signal.
    Interrupted,
}

/// What an [`Entry`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Kind {
    /// A scenario.
    Scenario,
    /// A look at the cluster as a whole, after the scenarios.
    Check,
}

/// One scenario or check, in one round.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// Which of several runs this is, from 1.
    pub round: u32,
    /// What it is.
    pub kind: Kind,
    /// How it ended.
    pub state: State,
    /// When it started.
    pub started: Option<Timestamp>,
    /// How long it took.
    #[serde(rename = "seconds", serialize_with = "seconds")]
    pub elapsed: Duration,
    /// Why it failed.
    pub error: Option<String>,
    /// The folder of what was collected when it failed.
    pub artifacts: Option<PathBuf>,
}

/// How a scenario ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum State {
    /// It did not start.
    NotRun,
    /// It goes on, or was going on when the run was killed.
    Running,
    /// It passed.
    Passed,
    /// It did not.
    Failed,
    /// The run ended before it.
    Interrupted,
}

/// Names an entry of a [`Report`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handle(pub(super) usize);

impl Report {
    /// That of a run that starts now.
    pub fn start(run: &str, command: Vec<String>) -> Self {
        Self {
            run: run.to_owned(),
            command,
            started: Timestamp::now(),
            machine: Machine::look(),
            ..Self::default()
        }
    }

    /// Adds what is to be found out later.
    pub fn plan(&mut self, name: &str, round: u32, kind: Kind) -> Handle {
        self.results.push(Entry {
            name: name.to_owned(),
            round,
            kind,
            state: State::NotRun,
            started: None,
            elapsed: Duration::ZERO,
            error: None,
            artifacts: None,
        });
        Handle(self.results.len() - 1)
    }

    /// Its name, and which run it is when there are several.
    pub fn label(&self, handle: Handle) -> String {
        self.results.get(handle.0).map(Entry::label).unwrap_or_default()
    }

    /// Tells that an entry starts.
    pub fn begin(&mut self, handle: Handle) {
        let entry = &mut self.results[handle.0];
        entry.state = State::Running;
        entry.started = Some(Timestamp::now());
    }

    /// Tells how an entry ended: with an error, or well.
    pub fn finish(&mut self, handle: Handle, error: Option<String>) {
        let entry = &mut self.results[handle.0];
        entry.state = if error.is_some() { State::Failed } else { State::Passed };
        entry.error = error;
        entry.stop();
    }

    /// Tells where what was collected for an entry lies.
    pub fn collected(&mut self, handle: Handle, folder: &Path) {
        self.results[handle.0].artifacts = Some(folder.to_owned());
    }

    /// Ends the run, and with it whatever was going on.
    pub fn end(&mut self, ending: Ending) {
        self.ending = ending;
        self.elapsed = since(self.started);
        for entry in self.results.iter_mut().filter(|entry| entry.state == State::Running) {
            entry.state = State::Interrupted;
            entry.stop();
        }
    }

    /// What failed.
    pub fn failures(&self) -> impl Iterator<Item = &Entry> {
        self.results.iter().filter(|entry| entry.state == State::Failed)
    }

    /// How many entries ended which way; a run that was cut short is one more failure.
    pub fn tally(&self) -> Tally {
        let passed = self.results.iter().filter(|entry| entry.state == State::Passed).count();
        let failed = self.failures().count();
        let is_cut = matches!(self.ending, Ending::Broken | Ending::Interrupted);
        Tally { passed, failed: failed + usize::from(is_cut) }
    }
}

impl Entry {
    fn stop(&mut self) {
        self.elapsed = self.started.map(since).unwrap_or_default();
    }

    /// Its name, and which run it is when there were several.
    pub fn label(&self) -> String {
        match self.round {
            1 => self.name.clone(),
            round => format!("{} (run {round})", self.name),
        }
    }
}

/// How long ago that was.
pub(super) fn since(time: Timestamp) -> Duration {
    Timestamp::now().duration_since(time).unsigned_abs()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// One entry of each state that a run can end with.
    pub(in crate::report) fn mixed() -> Report {
        let mut report = Report::start("run", vec!["xtask".to_owned(), "e2e".to_owned()]);
        let kinds = [Kind::Scenario, Kind::Scenario, Kind::Scenario, Kind::Check];
        let names = ["good", "bad", "cut", "never"];
        let handles: Vec<_> =
            names.iter().zip(kinds).map(|(name, kind)| report.plan(name, 1, kind)).collect();
        for &handle in &handles[..3] {
            report.begin(handle);
        }
        report.finish(handles[0], None);
        report.finish(handles[1], Some("expected: a < b\n  seen: \u{1b}[31mc".to_owned()));
        report.collected(handles[1], Path::new("scenarios/bad"));
        report.end(Ending::Interrupted);
        report
    }

    #[test]
    fn what_went_on_when_the_run_ended_was_interrupted() {
        let states: Vec<_> = mixed().results.iter().map(|entry| entry.state).collect();
        let expected = [State::Passed, State::Failed, State::Interrupted, State::NotRun];
        assert_eq!(states, expected);
    }

    #[test]
    fn run_that_was_cut_short_has_not_passed() {
        let mut report = Report::start("run", Vec::new());
        let handle = report.plan("good", 1, Kind::Scenario);
        report.begin(handle);
        report.finish(handle, None);
        report.end(Ending::Passed);
        assert_eq!(report.tally(), Tally { passed: 1, failed: 0 });
        for ending in [Ending::Broken, Ending::Interrupted] {
            report.end(ending);
            assert_eq!(report.tally(), Tally { passed: 1, failed: 1 });
        }
    }
}
