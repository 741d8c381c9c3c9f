//! Decides which logs to open: pure.

use std::collections::{HashMap, VecDeque};

use k8s_openapi::jiff::Timestamp;

use crate::model::facts::{PodFacts, RunState};

/// What is wanted of the logs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    /// Logs that are open at once, at most.
    pub(crate) max_open: usize,
    pub(crate) runs: Runs,
    /// Whether a log is read up to now, and not followed.
    pub(crate) is_once: bool,
}

/// The runs of a container whose logs are wanted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Runs {
    Current,
    Previous,
    /// The one before the current one, and that.
    All,
}

/// How often a log is asked for in vain, when it is not followed.
const MAX_FAILURES: usize = 5;
/// Readings of a pod's logs that are known.
const MAX_READINGS: usize = 16;

/// Why a log is not read any more.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Closing {
    /// It was read to its end of now.
    Ended,
    /// There is no such log, or nobody may read it.
    Missing,
    /// It could not be read.
    Broken,
}

/// A log to open.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Opening {
    pub(crate) pod: String,
    pub(crate) node: String,
    /// ID of the container's run.
    pub(crate) run: Box<str>,
    pub(crate) is_previous: bool,
    /// Time of the last line that was read of this pod.
    pub(crate) since: Option<Timestamp>,
    /// Whether the run had ended by then, so that the log has an end.
    pub(crate) has_ended: bool,
}

/// What was read of each pod.
#[derive(Debug)]
pub(crate) struct Plan {
    wanted: Wanted,
    tails: HashMap<String, Tail>,
    /// Number of open logs.
    open: usize,
}

#[derive(Debug, Default)]
struct Tail {
    is_open: bool,
    /// The runs that are read to their ends.
    read: Vec<Box<str>>,
    last: Option<Timestamp>,
    failures: usize,
    /// The readings of logs of current runs: where each began, and the time of its first line.
    ///
    /// The kubelet serves the log of the run that is current by then, which may be a later one.
    readings: VecDeque<(Option<Timestamp>, Timestamp)>,
}

impl Tail {
    /// The place up to which a run was read that is over now: what was said later, the next one has said.
    fn last_of(&self, over: Option<Timestamp>) -> Option<Timestamp> {
        // The end is a whole second, within which the run may have spoken.
        let is_later = |first: Timestamp| over.is_some_and(|it| first.as_second() > it.as_second());
        let of_next = self.readings.iter().find(|(_, first)| is_later(*first));
        of_next.map_or(self.last, |(since, _)| *since)
    }
}

impl Plan {
    pub(crate) fn new(wanted: Wanted) -> Self {
        Self { wanted, tails: HashMap::new(), open: 0 }
    }

    /// The log of a pod to open now, if there is one and there is room.
    pub(crate) fn next(&mut self, pod: &PodFacts) -> Option<Opening> {
        if self.is_full() {
            return None;
        }
        let tail = self.tails.entry(pod.name.to_string()).or_default();
        if tail.is_open {
            return None;
        }
        let (run, is_previous, has_ended) = next_run(pod, tail, self.wanted.runs)?;
        tail.is_open = true;
        self.open += 1;
        Some(Opening {
            pod: pod.name.to_string(),
            node: pod.node.as_deref().unwrap_or(&pod.name).to_owned(),
            run: run.into(),
            is_previous,
            since: match pod.container.last.as_ref().filter(|_| is_previous) {
                Some(over) => tail.last_of(over.finished),
                None => tail.last,
            },
            has_ended: has_ended || self.wanted.is_once,
        })
    }

    /// Takes in the time of the first line of a reading.
    pub(crate) fn has_read(&mut self, opening: &Opening, first: Option<Timestamp>) {
        let Some(first) = first.filter(|_| !opening.is_previous) else { return };
        let tail = self.tails.entry(opening.pod.clone()).or_default();
        tail.readings.push_back((opening.since, first));
        if tail.readings.len() > MAX_READINGS {
            tail.readings.pop_front();
        }
    }

    /// Takes in that a log is not read any more.
    ///
    /// Returns whether it was for the last time.
    pub(crate) fn closed(
        &mut self,
        opening: &Opening,
        last: Option<Timestamp>,
        closing: Closing,
    ) -> bool {
        let tail = self.tails.entry(opening.pod.clone()).or_default();
        if std::mem::take(&mut tail.is_open) {
            self.open -= 1;
        }
        tail.last = tail.last.max(last);
        tail.failures = if closing == Closing::Broken { tail.failures + 1 } else { 0 };
        let is_final = match closing {
            Closing::Ended => opening.has_ended,
            Closing::Missing => true,
            Closing::Broken => self.wanted.is_once && tail.failures >= MAX_FAILURES,
        };
        if is_final {
            tail.read.push(opening.run.clone());
        }
        is_final
    }

    /// Number of open logs.
    pub(crate) fn open(&self) -> usize {
        self.open
    }

    /// Whether there is no room for a further log.
    pub(crate) fn is_full(&self) -> bool {
        self.open >= self.wanted.max_open
    }
}

/// The run of a pod that is to be read next.
///
/// And whether it is the previous one, and whether it has ended.
fn next_run<'p>(pod: &'p PodFacts, tail: &Tail, runs: Runs) -> Option<(&'p str, bool, bool)> {
    let is_new = |run: &&str| !tail.read.iter().any(|read| **read == **run);
    let current = match &pod.container.state {
        RunState::Running(_) => {
            pod.container.run.as_deref().map(|run| (run, false, pod.has_logged_word))
        }
        RunState::Ended(ended) => {
            ended.run.as_deref().or(pod.container.run.as_deref()).map(|run| (run, false, true))
        }
        // The log of the last run is the current one until the next run starts.
        RunState::Waiting(_) => None,
    };
    let previous = pod.container.last.as_ref().and_then(|last| last.run.as_deref());
    let previous = previous.map(|run| (run, current.is_some(), true));
    let wanted = match runs {
        Runs::Current => [current.or(previous), None],
        Runs::Previous => [previous, None],
        Runs::All => [previous, current],
    };
    wanted.into_iter().flatten().find(|(run, _, _)| is_new(run))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::facts::{ContainerFacts, Ended};

    fn plan(max_open: usize) -> Plan {
        Plan::new(Wanted { max_open, runs: Runs::All, is_once: false })
    }

    fn ended(run: &str) -> Ended {
        Ended { run: Some(run.into()), ..Ended::default() }
    }

    fn pod(name: &str, state: RunState, run: &str, last: Option<&str>) -> PodFacts {
        let container = ContainerFacts {
            run: Some(run.into()),
            state,
            last: last.map(ended),
            ..ContainerFacts::default()
        };
        PodFacts { name: name.into(), node: Some("w".into()), container, ..PodFacts::default() }
    }

    fn at(second: i64) -> Option<Timestamp> {
        Some(Timestamp::from_second(second).unwrap())
    }

    #[test]
    fn a_log_is_opened_once_its_container_runs_and_again_when_it_breaks() {
        let mut plan = plan(9);
        assert_eq!(plan.next(&PodFacts::default()), None);
        let running = pod("a", RunState::Running(None), "1", None);
        let first = plan.next(&running).unwrap();
        assert_eq!((first.since, first.has_ended, first.is_previous), (None, false, false));
        assert_eq!(plan.next(&running), None);
        plan.closed(&first, at(5), Closing::Ended);
        let again = plan.next(&running).unwrap();
        assert_eq!(again.since, at(5));
        // It ended meanwhile: what it said last is read, and then no more.
        plan.closed(&again, None, Closing::Ended);
        let over = pod("a", RunState::Ended(ended("1")), "1", None);
        let rest = plan.next(&over).unwrap();
        assert_eq!((rest.since, rest.has_ended), (at(5), true));
        plan.closed(&rest, at(6), Closing::Ended);
        assert_eq!((plan.next(&over), plan.open()), (None, 0));
    }

    #[test]
    fn a_run_that_was_missed_is_read_before_the_next_one() {
        let mut plan = plan(9);
        let restarted = pod("a", RunState::Running(None), "2", Some("1"));
        let previous = plan.next(&restarted).unwrap();
        assert_eq!((&*previous.run, previous.is_previous), ("1", true));
        plan.closed(&previous, at(1), Closing::Ended);
        let current = plan.next(&restarted).unwrap();
        assert_eq!((&*current.run, current.since), ("2", at(1)));
    }

    #[test]
    fn a_run_is_read_though_the_log_of_the_next_one_came_for_it() {
        for (first, since) in [(at(9), None), (at(7), at(9))] {
            let mut plan = plan(9);
            let opening = plan.next(&pod("a", RunState::Running(None), "1", None)).unwrap();
            plan.has_read(&opening, first);
            plan.closed(&opening, at(9), Closing::Ended);
            let mut restarted = pod("a", RunState::Running(at(8)), "2", Some("1"));
            restarted.container.last.as_mut().unwrap().finished = at(7);
            let previous = plan.next(&restarted).unwrap();
            assert_eq!((previous.is_previous, previous.since), (true, since));
            plan.closed(&previous, at(6), Closing::Ended);
            assert_eq!(plan.next(&restarted).unwrap().since, at(9), "no line comes twice");
        }
    }

    #[test]
    fn no_more_logs_are_open_than_wanted() {
        let mut plan = plan(2);
        let pods = ["a", "b", "c"].map(|name| pod(name, RunState::Running(None), "1", None));
        let open: Vec<_> = pods.iter().filter_map(|pod| plan.next(pod)).collect();
        assert_eq!((open.len(), plan.open()), (2, 2));
        plan.closed(&open[0], None, Closing::Ended);
        assert!(plan.next(&pods[2]).is_some());
    }

    #[test]
    fn the_log_of_a_node_that_is_done_by_a_word_is_read_once() {
        let mut plan = plan(9);
        let done =
            PodFacts { has_logged_word: true, ..pod("a", RunState::Running(None), "1", None) };
        let opening = plan.next(&done).unwrap();
        assert!(opening.has_ended);
        plan.closed(&opening, None, Closing::Ended);
        assert_eq!(plan.next(&done), None);
    }

    #[test]
    fn a_container_that_waits_for_its_next_run_has_the_log_of_the_last_one() {
        let waiting = pod("a", RunState::Waiting(Some("CrashLoopBackOff".into())), "1", Some("1"));
        for runs in [Runs::Current, Runs::All] {
            let mut plan = Plan::new(Wanted { max_open: 1, runs, is_once: true });
            let opening = plan.next(&waiting).unwrap();
            assert_eq!((&*opening.run, opening.is_previous), ("1", false), "{runs:?}");
        }
    }

    #[test]
    fn a_log_that_cannot_be_read_is_given_up_unless_it_is_followed() {
        let running = pod("a", RunState::Running(None), "1", None);
        for is_once in [true, false] {
            let mut plan = Plan::new(Wanted { max_open: 1, runs: Runs::Current, is_once });
            for _ in 0..MAX_FAILURES {
                let opening = plan.next(&running).unwrap();
                plan.closed(&opening, None, Closing::Broken);
            }
            assert_eq!(plan.next(&running).is_none(), is_once);
        }
    }
}
