//! Progress for people: phases with their elapsed time.
//!
//! On a terminal a running phase is one live line; elsewhere (a pipe, CI) every step is a line with
//! a time stamp. All of it goes to standard error, so that results keep standard output to themselves.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "talking to the user is this module's job"
)]

use std::fmt::Display;
use std::io::IsTerminal as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

/// How often a running phase may write a line about what it waits for, where there is no live line.
const DETAIL_INTERVAL: Duration = Duration::from_secs(1);

/// Reports what a run does. Clones report to the same place.
#[derive(Clone)]
pub struct Progress(Arc<Inner>);

struct Inner {
    /// The live lines; `None` where there is no terminal.
    live: Option<MultiProgress>,
    timings: Mutex<Vec<Timing>>,
}

/// How long a phase took.
#[derive(Clone, Debug)]
pub struct Timing {
    /// The phase.
    pub name: String,
    /// From its start to its end.
    pub elapsed: Duration,
    /// Whether it ended well.
    pub ok: bool,
}

impl Progress {
    /// Live lines when standard error is a terminal, plain lines otherwise.
    #[must_use]
    pub fn new() -> Self {
        let live = std::io::stderr().is_terminal().then(MultiProgress::new);
        Self(Arc::new(Inner { live, timings: Mutex::default() }))
    }

    /// Runs one phase. Its work may tell through [`Phase::detail`] what it waits for, and through
    /// [`Phase::outcome`] what it achieved.
    ///
    /// # Errors
    /// Those of the work.
    pub async fn phase<T, E>(
        &self,
        name: &str,
        work: impl AsyncFnOnce(&Phase) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut phase = Phase::start(self.clone(), name);
        let result = work(&phase).await;
        phase.end(if result.is_ok() { "ok" } else { "FAILED" });
        result
    }

    /// Writes a line between the phases.
    pub fn say(&self, text: impl Display) {
        match &self.0.live {
            // A message that cannot be shown is no reason to stop.
            Some(live) => drop(live.println(text.to_string())),
            None => eprintln!("{} {text}", clock()),
        }
    }

    /// The phases so far, in the order of their ends.
    #[must_use]
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
    ended: bool,
}

#[derive(Default)]
struct State {
    outcome: String,
    last_detail: Option<Instant>,
}

impl Phase {
    fn start(progress: Progress, name: &str) -> Self {
        let bar = progress.0.live.as_ref().map(|live| {
            let bar = live.add(ProgressBar::new_spinner());
            // The template is a constant; the default style would still tell the phase.
            if let Ok(style) =
                ProgressStyle::with_template("{spinner} {prefix:<12} {elapsed:>5}  {wide_msg}")
            {
                bar.set_style(style);
            }
            bar.set_prefix(name.to_owned());
            bar.enable_steady_tick(Duration::from_millis(100));
            bar
        });
        if bar.is_none() {
            progress.say(format_args!("{name}: started"));
        }
        Self {
            progress,
            name: name.to_owned(),
            started: Instant::now(),
            bar,
            state: Mutex::default(),
            ended: false,
        }
    }

    /// Tells what the phase waits for at the moment.
    pub fn detail(&self, text: impl Display) {
        if let Some(bar) = &self.bar {
            bar.set_message(text.to_string());
            return;
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.last_detail.is_none_or(|last| last.elapsed() >= DETAIL_INTERVAL) {
            state.last_detail = Some(Instant::now());
            self.progress.say(format_args!("{}: {text}", self.name));
        }
    }

    /// Sets what the line says that tells of the end of the phase.
    pub fn outcome(&self, text: impl Display) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.outcome = text.to_string();
    }

    fn end(&mut self, verdict: &str) {
        self.ended = true;
        let elapsed = self.started.elapsed();
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        self.progress
            .say(format!("{:<12} {verdict:<7} {elapsed:>8.1?}  {}", self.name, state.outcome));
        let timing = Timing { name: self.name.clone(), elapsed, ok: verdict == "ok" };
        let timings = &self.progress.0.timings;
        timings.lock().unwrap_or_else(PoisonError::into_inner).push(timing);
    }
}

impl Drop for Phase {
    fn drop(&mut self) {
        if !self.ended {
            self.end("stopped");
        }
    }
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

    #[test]
    fn tally_reads_as_the_last_line_of_a_run() {
        let mut tally = Tally::default();
        tally.count(true);
        tally += Tally { passed: 2, failed: 1 };
        assert_eq!(tally.to_string(), "3 passed, 1 failed");
    }
}
