//! Hands out the slots.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use super::state::{Counts, FollowScheduler, SHORT_SLICE, SLICE, State, Step, Uid};

impl FollowScheduler {
    /// Returns the steps that are due.
    #[must_use]
    pub(crate) fn next(&mut self, now: Instant) -> Vec<Step> {
        while let Some((until, uid)) =
            self.resting.first().cloned().filter(|(until, _)| *until <= now)
        {
            self.resting.remove(&(until, Arc::clone(&uid)));
            self.enqueue(&uid);
        }
        let mut steps = Vec::new();
        loop {
            if self.taken >= self.limits.followers && !self.preempt(now, &mut steps) {
                break;
            }
            let Some(uid) = self.fresh.pop_front().or_else(|| self.queue.pop_front()) else {
                break;
            };
            if let Some(entry) =
                self.logs.get_mut(&uid).filter(|entry| entry.state == State::Queued)
            {
                let log = Box::new(entry.log.clone());
                let (run, is_over) = (log.run.clone(), log.is_over);
                let is_first = entry.checked_run.as_ref() != Some(&run);
                let read_to = entry.read_to.as_ref().filter(|(known, _)| *known == run);
                let read_to = read_to.map(|(_, time)| *time);
                entry.state = State::Following { since: now, extra: Duration::ZERO, run, is_over };
                self.taken += 1;
                self.queued -= 1;
                steps.push(Step::Start { log, is_first, read_to });
            }
        }
        steps
    }

    /// Returns the numbers of logs by state.
    #[must_use]
    pub(crate) fn counts(&self) -> Counts {
        Counts {
            opening: self.taken - self.open.len(),
            open: self.open.len(),
            queued: self.queued,
            resting: self.resting.len(),
        }
    }

    /// Returns when [`next`](Self::next) has further steps, if nothing happens before.
    #[must_use]
    pub(crate) fn wake_at(&self) -> Option<Instant> {
        let rested = self.resting.first().map(|(until, _)| *until);
        let sliced = self.slice().and_then(|slice| Some(self.open.first()?.0 + slice));
        rested.into_iter().chain(sliced).min()
    }

    /// Returns the slice of a log; none if no other log waits.
    fn slice(&self) -> Option<Duration> {
        let waits = |queue: &VecDeque<Uid>| {
            queue
                .iter()
                .any(|uid| self.logs.get(uid).is_some_and(|entry| entry.state == State::Queued))
        };
        let for_fresh = waits(&self.fresh).then_some(SHORT_SLICE);
        for_fresh.or_else(|| waits(&self.queue).then_some(SLICE))
    }

    /// Stops the follower whose slice was over first; returns whether there was one.
    fn preempt(&mut self, now: Instant, steps: &mut Vec<Step>) -> bool {
        let Some(slice) = self.slice() else {
            return false;
        };
        let oldest = self.open.first().cloned();
        let Some((since, uid)) = oldest.filter(|(since, _)| *since + slice <= now) else {
            return false;
        };
        self.release(since, &uid);
        if let Some(entry) = self.logs.get_mut(&uid)
            && let State::Following { extra, .. } = entry.state
        {
            let is_behind = !extra.is_zero();
            entry.cut_short = if is_behind { entry.cut_short.saturating_add(1) } else { 0 };
            if is_behind {
                // It may be rotated before its next slice: that would be a gap.
                entry.checked_run = None;
            }
        }
        steps.push(Step::Stop(Arc::clone(&uid)));
        self.enqueue(&uid);
        true
    }

    /// Frees the slot of a log.
    pub(super) fn release(&mut self, since: Instant, uid: &Uid) {
        self.taken -= 1;
        self.open.remove(&(since, Arc::clone(uid)));
    }

    /// Puts a log at the end of the queue.
    pub(super) fn enqueue(&mut self, uid: &Uid) {
        if let Some(entry) = self.logs.get_mut(uid) {
            if let State::Resting { until } = entry.state {
                self.resting.remove(&(until, Arc::clone(uid)));
            }
            entry.state = State::Queued;
            self.queue.push_back(Arc::clone(uid));
            self.queued += 1;
        }
    }
}
