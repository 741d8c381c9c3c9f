//! Progress for people: phases with their elapsed time.
//!
//! On a terminal a running phase is one live line; elsewhere (a pipe, CI) every step is a line with
//! a time stamp. All of it goes to standard error, so that results keep standard output to themselves.
//! Colours only where the terminal has them and `NO_COLOR` is not set.
//!
//! A program that another one starts relays its progress ([`Progress::relay`]) to a phase of that one
//! ([`Phase::relay`]).

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "talking to the user is this module's job"
)]

use std::fmt::Display;
use std::io::IsTerminal as _;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use console::style;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use serde::Serialize;

/// How often a running phase may write a line about what it waits for, where there is no live line.
const DETAIL_INTERVAL: Duration = Duration::from_secs(1);

/// The progress that reports at the moment.
static REPORTING: Mutex<Weak<Inner>> = Mutex::new(Weak::new());

/// Writes a line without disturbing the live ones, for code that has no [`Progress`] at hand.
pub fn interject(text: impl Display) {
    let reporting = REPORTING.lock().unwrap_or_else(PoisonError::into_inner).upgrade();
    match reporting {
        Some(inner) => Progress(inner).say(text),
        None => eprintln!("{text}"),
    }
}

/// Reports what a run does. Clones report to the same place.
#[derive(Clone)]
pub struct Progress(Arc<Inner>);

struct Inner {
    screen: Screen,
    /// The line below all others, see [`Progress::overall`].
    overall: Mutex<Option<ProgressBar>>,
    timings: Mutex<Vec<Timing>>,
    started: Instant,
}

/// Where progress is shown.
enum Screen {
    /// A terminal, with live lines.
    Live(MultiProgress),
    /// A pipe, with a time stamp on each line.
    Lines,
    /// The phase of another program.
    Relay,
}

/// Marks the lines of [`Screen::Relay`] that are not for the user as they are.
const DETAIL: &str = "@detail ";
const OUTCOME: &str = "@outcome ";

/// How long a phase took.
#[derive(Clone, Debug, Serialize)]
pub struct Timing {
    /// The phase.
    pub name: String,
    /// From its start to its end, in seconds.
    #[serde(rename = "seconds", serialize_with = "seconds")]
    pub elapsed: Duration,
    /// Whether it ended well.
    pub ok: bool,
    /// What it achieved, as the line of its end says.
    pub outcome: String,
}

/// Writes a duration as a number of seconds.
pub(crate) fn seconds<S: serde::Serializer>(elapsed: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_f64(elapsed.as_secs_f64())
}

/// How a phase ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Good,
    Failed,
    Stopped,
}

impl Progress {
    /// Live lines when standard error is a terminal, plain lines otherwise.
    pub fn new() -> Self {
        Self::on(match is_smart_terminal() {
            true => Screen::Live(MultiProgress::new()),
            false => Screen::Lines,
        })
    }

    /// Lines for [`Phase::relay`] of the program that started this one.
    pub fn relay() -> Self {
        Self::on(Screen::Relay)
    }

    fn on(screen: Screen) -> Self {
        let inner = Arc::new(Inner {
            screen,
            overall: Mutex::default(),
            timings: Mutex::default(),
            started: Instant::now(),
        });
        *REPORTING.lock().unwrap_or_else(PoisonError::into_inner) = Arc::downgrade(&inner);
        Self(inner)
    }

    /// Runs one phase.
    ///
    /// Its work may say what it waits for ([`Phase::detail`]) and what it achieved ([`Phase::outcome`]).
    pub async fn phase<T, E>(
        &self,
        name: &str,
        work: impl AsyncFnOnce(&Phase) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut phase = Phase::start(self.clone(), name);
        let result = work(&phase).await;
        phase.verdict = if result.is_ok() { Verdict::Good } else { Verdict::Failed };
        result
    }

    /// Writes a line between the phases.
    pub fn say(&self, text: impl Display) {
        match &self.0.screen {
            // Not `println`, which ends lines by filling them to the width that it takes them to have.
            Screen::Live(live) => live.suspend(|| eprintln!("{text}")),
            Screen::Lines => eprintln!("{} {text}", clock()),
            Screen::Relay => eprintln!("{text}"),
        }
    }

    fn live(&self) -> Option<&MultiProgress> {
        match &self.0.screen {
            Screen::Live(live) => Some(live),
            Screen::Lines | Screen::Relay => None,
        }
    }

    fn is_relayed(&self) -> bool {
        matches!(self.0.screen, Screen::Relay)
    }

    /// Sets the line below the live ones, if there is a terminal. An empty text ends it.
    pub fn overall(&self, text: &str) {
        let Some(live) = self.live() else { return };
        let mut line = self.0.overall.lock().unwrap_or_else(PoisonError::into_inner);
        if text.is_empty() {
            if let Some(bar) = line.take() {
                bar.finish_and_clear();
            }
            return;
        }
        let bar = line.get_or_insert_with(|| {
            live_line(live, "  {elapsed:>5} {wide_msg}", None)
                .with_elapsed(self.0.started.elapsed())
        });
        bar.set_message(text.to_owned());
    }

    /// Writes what a log holds, line by line, under a heading.
    pub fn quote(&self, heading: impl Display, lines: &[String]) {
        self.say(heading);
        for line in lines {
            self.say(format_args!("  | {line}"));
        }
    }

    /// The phases so far, in the order of their ends.
    pub fn timings(&self) -> Vec<Timing> {
        self.0.timings.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Default for Progress {
    fn default() -> Self {
        Self::new()
    }
}

/// A running phase. One that is dropped before its end shows as interrupted.
pub struct Phase {
    progress: Progress,
    name: String,
    started: Instant,
    bar: Option<ProgressBar>,
    state: Mutex<State>,
    /// How it ended, once it has.
    verdict: Verdict,
}

#[derive(Default)]
struct State {
    outcome: String,
    last_detail: Option<Instant>,
}

impl Phase {
    fn start(progress: Progress, name: &str) -> Self {
        let bar = progress.live().map(|live| {
            let overall = progress.0.overall.lock().unwrap_or_else(PoisonError::into_inner);
            let template = "{spinner} {elapsed:>5} {prefix}  {wide_msg:.dim}";
            let bar = live_line(live, template, overall.as_ref());
            bar.set_prefix(name.to_owned());
            bar
        });
        if bar.is_none() && !progress.is_relayed() {
            progress.say(format_args!("{name}: started"));
        }
        Self {
            progress,
            name: name.to_owned(),
            started: Instant::now(),
            bar,
            state: Mutex::default(),
            verdict: Verdict::Stopped,
        }
    }

    /// Tells what the phase waits for at the moment.
    pub fn detail(&self, text: impl Display) {
        if let Some(bar) = &self.bar {
            bar.set_message(one_line(&text.to_string()));
            return;
        }
        if self.progress.is_relayed() {
            self.progress.say(format_args!("{DETAIL}{}", one_line(&text.to_string())));
            return;
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.last_detail.is_none_or(|last| last.elapsed() >= DETAIL_INTERVAL) {
            state.last_detail = Some(Instant::now());
            self.progress.say(format_args!("{}: {text}", self.name));
        }
    }

    /// Shows a line that another program writes with [`Progress::relay`].
    pub fn relay(&self, line: &str) {
        if let Some(detail) = line.strip_prefix(DETAIL) {
            self.detail(detail);
        } else if let Some(outcome) = line.strip_prefix(OUTCOME) {
            self.outcome(outcome);
        } else if !line.is_empty() {
            self.progress.say(line);
        }
    }

    /// Sets what the last line of the phase says.
    pub fn outcome(&self, text: impl Display) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.outcome = text.to_string();
    }
}

impl Drop for Phase {
    fn drop(&mut self) {
        let (verdict, elapsed) = (self.verdict, self.started.elapsed());
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        let outcome = std::mem::take(&mut state.outcome);
        if self.progress.is_relayed() {
            if !outcome.is_empty() {
                self.progress.say(format_args!("{OUTCOME}{}", one_line(&outcome)));
            }
        } else {
            let line = format!("{} {elapsed:>8.1?}  {}  {outcome}", verdict.styled(), self.name);
            self.progress.say(line.trim_end());
        }
        let ok = verdict == Verdict::Good;
        let timing = Timing { name: self.name.clone(), elapsed, ok, outcome };
        let timings = &self.progress.0.timings;
        timings.lock().unwrap_or_else(PoisonError::into_inner).push(timing);
    }
}

impl Verdict {
    /// The word for it, in a column of its own.
    fn styled(self) -> impl Display {
        match self {
            Self::Good => style("ok     ").for_stderr().green(),
            Self::Failed => style("FAILED ").for_stderr().red().bold(),
            Self::Stopped => style("stopped").for_stderr().yellow(),
        }
    }
}

/// Whether standard error is a terminal that can take back what it shows.
fn is_smart_terminal() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// A live line below those that are there, or above the one given.
fn live_line(live: &MultiProgress, template: &str, above: Option<&ProgressBar>) -> ProgressBar {
    let bar = ProgressBar::new_spinner();
    let bar = match above {
        Some(line) => live.insert_before(line, bar),
        None => live.add(bar),
    };
    // The templates are constants; the default style would still show the phase.
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}

/// A live line is one line: more would leave the rest of it on the screen.
fn one_line(text: &str) -> String {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" · ")
}

/// How many tests, checks and scenarios ended which way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Ended as promised.
    pub passed: usize,
    /// Everything else that was to run.
    pub failed: usize,
}

impl Tally {
    /// Counts one result.
    pub fn count(&mut self, passed: bool) {
        if passed {
            self.passed += 1;
        } else {
            self.failed += 1;
        }
    }

    /// Reads the last line of a run.
    pub fn parse(line: &str) -> Option<Self> {
        let (passed, failed) = line.split_once(" passed, ")?;
        let failed = failed.strip_suffix(" failed")?;
        Some(Self { passed: passed.parse().ok()?, failed: failed.parse().ok()? })
    }

    /// Prints the last line of a run to standard output.
    pub fn print(self) {
        println!("{self}");
    }
}

impl std::ops::AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
    }
}

impl Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)
    }
}

/// The time of day, UTC.
fn clock() -> impl Display {
    jiff::Timestamp::now().strftime("%H:%M:%SZ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_phase_leaves_its_timing_whichever_way_it_ends() {
        let progress = Progress::new();
        let good: Result<u8, ()> = progress.phase("good", async |_| Ok(1)).await;
        let bad: Result<(), &str> = progress.phase("bad", async |_| Err("broken")).await;
        let endless =
            progress.phase("endless", async |_| std::future::pending::<Result<(), ()>>().await);
        let cut = tokio::time::timeout(Duration::from_millis(10), endless).await;
        assert_eq!((good, bad, cut.is_err()), (Ok(1), Err("broken"), true));
        let timings: Vec<_> = progress.timings().into_iter().map(|t| (t.name, t.ok)).collect();
        let expected = [("good", true), ("bad", false), ("endless", false)];
        assert_eq!(timings, expected.map(|(name, ok)| (name.to_owned(), ok)));
    }

    #[tokio::test]
    async fn progress_of_another_program_shows_in_the_phase_that_started_it() {
        let progress = Progress::new();
        let work = async |phase: &Phase| {
            for line in ["@detail busy", "provision: kind", "@outcome two images"] {
                phase.relay(line);
            }
            Ok::<(), ()>(())
        };
        progress.phase("images", work).await.expect("done");
        assert_eq!(progress.timings()[0].outcome, "two images");
    }

    #[test]
    fn live_line_holds_no_second_one() {
        assert_eq!(one_line("expected: a pod\n  seen: none\n\n"), "expected: a pod · seen: none");
    }

    #[test]
    fn tally_reads_as_the_last_line_of_a_run() {
        let mut tally = Tally::default();
        tally.count(true);
        tally += Tally { passed: 2, failed: 1 };
        assert_eq!(tally.to_string(), "3 passed, 1 failed");
        assert_eq!(Tally::parse(&tally.to_string()), Some(tally));
        assert_eq!(Tally::parse("3 passed"), None);
    }
}
