//! The changes that happen to logs and their followers.

use std::{
    collections::HashSet,
    sync::Arc,
    time::{Duration, Instant},
};

use k8s_openapi::jiff::Timestamp;
use runtime::backoff::ExponentialBackoff;

use super::state::{
    CATCH_UP, DOUBLINGS, Entry, FIRST_RETRY, FollowScheduler, Outcome, State, Step, Uid,
};
use crate::follow::pod_log::PodLog;

impl FollowScheduler {
    /// Adds the log that a pod has to be read now, or replaces it.
    pub(crate) fn upsert(&mut self, log: PodLog) {
        let uid = Arc::clone(&log.uid);
        let Some(entry) = self.logs.get_mut(&uid) else {
            let backoff = ExponentialBackoff::new(FIRST_RETRY, self.limits.retry);
            let state = State::Queued;
            let entry =
                Entry { log, checked_run: None, read_to: None, state, backoff, cut_short: 0 };
            self.logs.insert(Arc::clone(&uid), entry);
            self.fresh.push_back(uid);
            self.queued += 1;
            return;
        };
        let is_new_run = entry.log.run != log.run;
        entry.log = log;
        match &entry.state {
            // A status from before it began had made it seem over.
            State::Read { run } if *run != entry.log.run || !entry.log.is_over => {
                self.enqueue(&uid);
            }
            State::Resting { .. } if is_new_run => self.enqueue(&uid),
            // A follower of an earlier run notices the end of that log by itself.
            _ => {}
        }
    }

    /// Removes the log of a pod; the step stops its follower.
    pub(crate) fn remove(&mut self, uid: &str) -> Option<Step> {
        let (uid, entry) = self.logs.remove_entry(uid)?;
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

    /// Removes all logs but those of these pods; the steps stop their followers.
    pub(crate) fn retain(&mut self, uids: &HashSet<Uid>) -> Vec<Step> {
        let gone: Vec<Uid> = self.logs.keys().filter(|uid| !uids.contains(*uid)).cloned().collect();
        gone.iter().filter_map(|uid| self.remove(uid)).collect()
    }

    /// Removes the log of a pod whose word is recorded; the step stops its follower.
    ///
    /// A follower that is recording is left alone: its answer comes in a moment.
    pub(crate) fn recorded(&mut self, uid: &str) -> Option<Step> {
        let is_recording = |entry: &&Entry| matches!(entry.state, State::Recording);
        match self.logs.get(uid).filter(is_recording) {
            Some(_) => None,
            None => self.remove(uid),
        }
    }

    /// Begins the slice of a log that has been opened.
    ///
    /// A busy API server takes long to open it: with a slice that begins before, it would never be read.
    pub(crate) fn opened(&mut self, uid: &str, now: Instant) {
        self.reschedule(uid, |since, _, _| *since = now);
    }

    /// Gives extra time to an open log, which is large and has not come as a whole.
    pub(crate) fn behind(&mut self, uid: &str) {
        self.reschedule(uid, |_, extra, cut_short| {
            *extra = CATCH_UP * 2_u32.pow(cut_short.min(DOUBLINGS));
        });
    }

    /// Takes the extra time back: all has come that the log held a moment ago.
    pub(crate) fn caught_up(&mut self, uid: &str) {
        self.reschedule(uid, |_, extra, _| *extra = Duration::ZERO);
    }

    /// Changes the end of the slice of a log that is open, or is open from now on.
    fn reschedule(&mut self, uid: &str, change: impl FnOnce(&mut Instant, &mut Duration, u32)) {
        let Some((uid, _)) = self.logs.get_key_value(uid) else {
            return;
        };
        let uid = Arc::clone(uid);
        if let Some(Entry { state: State::Following { since, extra, .. }, cut_short, .. }) =
            self.logs.get_mut(&uid)
        {
            self.open.remove(&(*since + *extra, Arc::clone(&uid)));
            change(since, extra, *cut_short);
            self.open.insert((*since + *extra, uid));
        }
    }

    /// Notes that the beginning of a log has been checked.
    pub(crate) fn beginning_checked(&mut self, uid: &str) {
        if let Some(entry) = self.logs.get_mut(uid)
            && let State::Following { run, .. } = &entry.state
        {
            entry.checked_run = Some(run.clone());
        }
    }

    /// Notes up to where a run was read by a follower that has ended, or is stopped.
    ///
    /// The log may be rotated before it is opened again: then it begins after that line.
    pub(crate) fn read_to(&mut self, uid: &str, run: String, time: Timestamp) {
        if let Some(entry) = self.logs.get_mut(uid) {
            entry.read_to = Some((run, time));
        }
    }

    /// Frees the slot of a log in which the word was found, and is being recorded.
    pub(crate) fn word_found(&mut self, uid: &str) {
        let Some((uid, entry)) = self.logs.get_key_value(uid) else {
            return;
        };
        if let State::Following { since, extra, .. } = entry.state {
            let uid = Arc::clone(uid);
            self.release(since + extra, &uid);
            if let Some(entry) = self.logs.get_mut(&uid) {
                entry.state = State::Recording;
            }
        }
    }

    /// Notes that a follower has ended by itself.
    pub(crate) fn ended(&mut self, uid: &str, outcome: Outcome, now: Instant) {
        let Some((uid, entry)) =
            self.logs.get_key_value(uid).map(|(uid, _)| Arc::clone(uid)).and_then(|uid| {
                let entry = self.logs.get_mut(&uid)?;
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
            // The word was not recorded: it must be found again.
            State::Recording => (now, entry.log.run.clone(), false),
            _ => return,
        };
        let is_new_run = entry.log.run != run;
        match outcome {
            Outcome::Done => entry.state = State::Done,
            _ if is_new_run => self.enqueue(&uid),
            // It was opened after the end of its run: nothing more will come.
            Outcome::Ended if is_over && entry.log.is_over => {
                entry.backoff.reset();
                entry.state = State::Read { run };
            }
            Outcome::Ended | Outcome::Silent | Outcome::Broken => {
                if outcome == Outcome::Broken {
                    // It may be rotated before it is opened again: that would be a gap.
                    entry.checked_run = None;
                }
                // A log that was open for long has recovered from earlier failures.
                if was_open && now.duration_since(since) > self.limits.retry {
                    entry.backoff.reset();
                }
                let until = now + entry.backoff.next_wait();
                entry.state = State::Resting { until };
                self.resting.insert((until, uid));
            }
        }
    }
}
