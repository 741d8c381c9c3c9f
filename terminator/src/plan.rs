//! Which logs are followed when: a pure state machine.
//!
//! There may be more pods than followers. Each log gets a slot in turn: while others wait, a
//! follower gives up its slot after a slice of time and goes to the end of the queue. Logs that have not
//! been followed yet go first and wait for a shorter slice only, for most work is short: what ends soon is
//! noticed soon, whatever runs on beside it. With `n` logs that go on for long, each is looked at every
//! `n / followers` slices, which is the longest that an end can go unnoticed.
//!
//! Each slice reads the log from its beginning, for kubelets serve whole seconds of it and no less. So one that
//! is large gets more time until all of it has come, and twice as much when even that was not enough.

use std::{
    collections::{BTreeSet, HashMap, HashSet, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use crate::target::Target;

/// How long a log is followed at least while others wait that were followed before.
pub const SLICE: Duration = Duration::from_secs(5);
/// How long a log is followed at least while others wait that were not.
pub const SHORT_SLICE: Duration = Duration::from_secs(1);
/// How much longer a log is followed of which not all has come; doubled each time that this is too short.
pub const CATCH_UP: Duration = Duration::from_secs(30);
/// How many times it is doubled.
const DOUBLINGS: u32 = 4;
/// The wait before a log that ended unexpectedly is opened again; doubled up to [`Limits::retry`].
const FIRST_RETRY: Duration = Duration::from_millis(500);

/// UID of a pod.
pub type Uid = Arc<str>;

/// Bounds of a plan.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Logs that are followed at the same time.
    pub followers: usize,
    /// The longest wait before a log that ended unexpectedly is opened again.
    pub retry: Duration,
}

/// What is to be done now.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Step {
    /// Follow this log.
    Start {
        /// The log.
        target: Target,
        /// Whether its beginning is to be looked for: it has not been followed before, or not without a gap.
        is_first: bool,
    },
    /// Stop following the log of this pod.
    Stop(Uid),
}

/// How following a log ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// The word was found and recorded, or the pod is gone: the log is of no more interest.
    Settled,
    /// The log was read to its end without finding the word.
    Ended,
    /// It fell silent for so long that the connection may be dead. Nothing is known to be missing: a log
    /// of which much came is opened again long before.
    Silent,
    /// It could not be read.
    Broken,
}

/// Numbers of logs that are to be read.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Counts {
    /// Being opened; each takes a slot.
    pub opening: usize,
    /// Open, and followed; each takes a slot.
    pub open: usize,
    /// Waiting for a slot.
    pub queued: usize,
    /// Waiting for a time, after they ended unexpectedly.
    pub resting: usize,
}

/// The logs that are, and will be, followed.
#[derive(Debug)]
pub struct Plan {
    limits: Limits,
    pods: HashMap<Uid, Entry>,
    /// Waiting for their first slot, the longest first. May hold pods that no longer wait.
    fresh: VecDeque<Uid>,
    /// As these, waiting for a further slot.
    queue: VecDeque<Uid>,
    /// Slots that are taken: by logs that are being opened, and by those that are open.
    taken: usize,
    /// Pods that wait in `fresh` or `queue`.
    queued: usize,
    /// Open, by the time since when, or which counts as that.
    open: BTreeSet<(Instant, Uid)>,
    /// Waiting for a time.
    resting: BTreeSet<(Instant, Uid)>,
    /// The pods of the list that is being received, while one is.
    listed: Option<HashSet<Uid>>,
}

#[derive(Debug)]
struct Entry {
    target: Target,
    /// The run whose log is known to have been followed from its beginning, or not to have one.
    begun: Option<String>,
    state: State,
    /// Times in a row that the log ended unexpectedly.
    failures: u32,
    /// Times in a row that a slice was over before all of the log had come.
    cut_short: u32,
}

#[derive(Clone, Debug, Eq, PartialEq)]
enum State {
    Queued,
    /// `run` and `is_over` as they were when the log was opened. It has this extra time, while it is behind.
    Following {
        since: Instant,
        extra: Duration,
        run: String,
        is_over: bool,
    },
    /// The word was found, and is being recorded. That takes no slot.
    Recording,
    Resting {
        until: Instant,
    },
    /// The log of this run was read to its end.
    Read {
        run: String,
    },
    Settled,
}

impl Plan {
    /// A plan with no pods.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            pods: HashMap::new(),
            fresh: VecDeque::new(),
            queue: VecDeque::new(),
            taken: 0,
            queued: 0,
            open: BTreeSet::new(),
            resting: BTreeSet::new(),
            listed: None,
        }
    }

    /// A complete list of the pods begins: what is not in it is gone.
    pub fn list_begins(&mut self) {
        self.listed = Some(HashSet::new());
    }

    /// The list has ended; the steps stop what is gone.
    pub fn list_ends(&mut self) -> Vec<Step> {
        let Some(listed) = self.listed.take() else {
            return Vec::new();
        };
        let gone: Vec<Uid> =
            self.pods.keys().filter(|uid| !listed.contains(*uid)).cloned().collect();
        gone.iter().filter_map(|uid| self.remove(uid)).collect()
    }

    /// A pod has this log to be read now.
    pub fn wants(&mut self, target: Target) {
        let uid = Arc::clone(&target.uid);
        if let Some(listed) = &mut self.listed {
            listed.insert(Arc::clone(&uid));
        }
        let Some(entry) = self.pods.get_mut(&uid) else {
            let state = State::Queued;
            let entry = Entry { target, begun: None, state, failures: 0, cut_short: 0 };
            self.pods.insert(Arc::clone(&uid), entry);
            self.fresh.push_back(uid);
            self.queued += 1;
            return;
        };
        let is_new_run = entry.target.run != target.run;
        entry.target = target;
        match &entry.state {
            // It was taken for over, by a status from before it began.
            State::Read { run } if *run != entry.target.run || !entry.target.is_over => {
                self.enqueue(&uid);
            }
            State::Resting { .. } if is_new_run => self.enqueue(&uid),
            // A follower of an earlier run sees the end of that log by itself.
            _ => {}
        }
    }

    /// A pod has no log to be read (any more); the step stops what is being read.
    pub fn remove(&mut self, uid: &str) -> Option<Step> {
        let (uid, entry) = self.pods.remove_entry(uid)?;
        match entry.state {
            State::Following { since, extra, .. } => {
                self.release(since + extra, &uid);
                Some(Step::Stop(uid))
            }
            State::Recording => Some(Step::Stop(uid)),
            State::Resting { until } => {
                self.resting.remove(&(until, uid));
                None
            }
            State::Queued => {
                self.queued -= 1;
                None
            }
            _ => None,
        }
    }

    /// It is recorded that a pod is done; the step stops what is being read. Whoever recorded that gets its
    /// answer in a moment.
    pub fn done(&mut self, uid: &str) -> Option<Step> {
        let is_recording = |entry: &&Entry| matches!(entry.state, State::Recording);
        match self.pods.get(uid).filter(is_recording) {
            Some(_) => None,
            None => self.remove(uid),
        }
    }

    /// The log of a pod that is followed has been opened. Its slice begins now: one that takes long to be
    /// opened, by an API server that is busy, would otherwise never be read.
    pub fn opened(&mut self, uid: &str, now: Instant) {
        self.reschedule(uid, |since, _, _| *since = now);
    }

    /// There is much of the log of a pod that is open, and not all has come.
    pub fn behind(&mut self, uid: &str) {
        self.reschedule(uid, |_, extra, cut_short| {
            *extra = CATCH_UP * 2_u32.pow(cut_short.min(DOUBLINGS));
        });
    }

    /// All has come that the log of a pod held a moment ago.
    pub fn caught_up(&mut self, uid: &str) {
        self.reschedule(uid, |_, extra, _| *extra = Duration::ZERO);
    }

    /// Changes when the slice of a log is over that is open, or is open from now on.
    fn reschedule(&mut self, uid: &str, change: impl FnOnce(&mut Instant, &mut Duration, u32)) {
        let Some((uid, _)) = self.pods.get_key_value(uid) else {
            return;
        };
        let uid = Arc::clone(uid);
        if let Some(Entry { state: State::Following { since, extra, .. }, cut_short, .. }) =
            self.pods.get_mut(&uid)
        {
            self.open.remove(&(*since + *extra, Arc::clone(&uid)));
            change(since, extra, *cut_short);
            self.open.insert((*since + *extra, uid));
        }
    }

    /// It is known whether the log of a pod that is followed has its beginning.
    pub fn begun(&mut self, uid: &str) {
        if let Some(entry) = self.pods.get_mut(uid)
            && let State::Following { run, .. } = &entry.state
        {
            entry.begun = Some(run.clone());
        }
    }

    /// The word was found in the log of a pod, and is being recorded: its slot is free.
    pub fn found(&mut self, uid: &str) {
        let Some((uid, entry)) = self.pods.get_key_value(uid) else {
            return;
        };
        if let State::Following { since, extra, .. } = entry.state {
            let uid = Arc::clone(uid);
            self.release(since + extra, &uid);
            if let Some(entry) = self.pods.get_mut(&uid) {
                entry.state = State::Recording;
            }
        }
    }

    /// Following the log of a pod has ended by itself.
    pub fn ended(&mut self, uid: &str, outcome: Outcome, now: Instant) {
        let Some((uid, entry)) =
            self.pods.get_key_value(uid).map(|(uid, _)| Arc::clone(uid)).and_then(|uid| {
                let entry = self.pods.get_mut(&uid)?;
                Some((uid, entry))
            })
        else {
            return;
        };
        let mut was_open = false;
        let (since, run, is_over) = match entry.state.clone() {
            State::Following { since, extra, run, is_over } => {
                self.taken -= 1;
                was_open = self.open.remove(&(since + extra, Arc::clone(&uid)));
                (since, run, is_over)
            }
            // What was found was not recorded: it is to be found again.
            State::Recording => (now, entry.target.run.clone(), false),
            _ => return,
        };
        let is_new_run = entry.target.run != run;
        match outcome {
            Outcome::Settled => entry.state = State::Settled,
            _ if is_new_run => self.enqueue(&uid),
            // Opened when the run was over already: there is no more to come of it.
            Outcome::Ended if is_over && entry.target.is_over => {
                entry.failures = 0;
                entry.state = State::Read { run };
            }
            Outcome::Ended | Outcome::Silent | Outcome::Broken => {
                if outcome == Outcome::Broken {
                    // What was logged meanwhile is as good as never followed.
                    entry.begun = None;
                }
                // What went well for long is not held responsible for what failed before.
                if was_open && now.duration_since(since) > self.limits.retry {
                    entry.failures = 0;
                }
                let wait = FIRST_RETRY
                    .saturating_mul(1_u32.checked_shl(entry.failures).unwrap_or(u32::MAX));
                let until = now + wait.min(self.limits.retry);
                entry.failures = entry.failures.saturating_add(1);
                entry.state = State::Resting { until };
                self.resting.insert((until, uid));
            }
        }
    }

    /// What is to be done at the time `now`.
    #[must_use]
    pub fn next(&mut self, now: Instant) -> Vec<Step> {
        while let Some((until, uid)) =
            self.resting.first().cloned().filter(|(until, _)| *until <= now)
        {
            self.resting.remove(&(until, Arc::clone(&uid)));
            self.enqueue(&uid);
        }
        let mut steps = Vec::new();
        loop {
            if self.taken >= self.limits.followers && !self.give_way(now, &mut steps) {
                break;
            }
            let Some(uid) = self.fresh.pop_front().or_else(|| self.queue.pop_front()) else {
                break;
            };
            if let Some(entry) =
                self.pods.get_mut(&uid).filter(|entry| entry.state == State::Queued)
            {
                let target = entry.target.clone();
                let Target { run, is_over, .. } = target.clone();
                let is_first = entry.begun.as_ref() != Some(&run);
                entry.state = State::Following { since: now, extra: Duration::ZERO, run, is_over };
                self.taken += 1;
                self.queued -= 1;
                steps.push(Step::Start { target, is_first });
            }
        }
        steps
    }

    /// How many logs are in each state.
    #[must_use]
    pub fn counts(&self) -> Counts {
        Counts {
            opening: self.taken - self.open.len(),
            open: self.open.len(),
            queued: self.queued,
            resting: self.resting.len(),
        }
    }

    /// When [`Plan::next`] is to be asked again, should nothing happen before.
    #[must_use]
    pub fn wake_at(&self) -> Option<Instant> {
        let rested = self.resting.first().map(|(until, _)| *until);
        let sliced = self.slice().and_then(|slice| Some(self.open.first()?.0 + slice));
        rested.into_iter().chain(sliced).min()
    }

    /// How long a log may be followed now; none: as long as it goes on, for nobody waits.
    fn slice(&self) -> Option<Duration> {
        let waits = |queue: &VecDeque<Uid>| {
            queue
                .iter()
                .any(|uid| self.pods.get(uid).is_some_and(|entry| entry.state == State::Queued))
        };
        let for_fresh = waits(&self.fresh).then_some(SHORT_SLICE);
        for_fresh.or_else(|| waits(&self.queue).then_some(SLICE))
    }

    /// Takes the slot of the log whose slice was over first, if someone waits.
    fn give_way(&mut self, now: Instant, steps: &mut Vec<Step>) -> bool {
        let Some(slice) = self.slice() else {
            return false;
        };
        let oldest = self.open.first().cloned();
        let Some((since, uid)) = oldest.filter(|(since, _)| *since + slice <= now) else {
            return false;
        };
        self.release(since, &uid);
        if let Some(entry) = self.pods.get_mut(&uid)
            && let State::Following { extra, .. } = entry.state
        {
            let is_behind = !extra.is_zero();
            entry.cut_short = if is_behind { entry.cut_short.saturating_add(1) } else { 0 };
            if is_behind {
                // What is rotated before its next slice is as good as never followed.
                entry.begun = None;
            }
        }
        steps.push(Step::Stop(Arc::clone(&uid)));
        self.enqueue(&uid);
        true
    }

    /// Frees the slot of a log that is followed.
    fn release(&mut self, since: Instant, uid: &Uid) {
        self.taken -= 1;
        self.open.remove(&(since, Arc::clone(uid)));
    }

    fn enqueue(&mut self, uid: &Uid) {
        if let Some(entry) = self.pods.get_mut(uid) {
            if let State::Resting { until } = entry.state {
                self.resting.remove(&(until, Arc::clone(uid)));
            }
            entry.state = State::Queued;
            self.queue.push_back(Arc::clone(uid));
            self.queued += 1;
        }
    }
}

#[cfg(test)]
mod tests;
