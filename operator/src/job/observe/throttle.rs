//! Limits how often a Job of many nodes is reconciled while its pods come and go.
//!
//! More nodes make a look longer, and events more frequent: without a limit, the effort grows with the square
//! of the nodes, and slows down a cluster that is busy creating pods, see `docs/performance.md`. So a Job rests
//! for [`REST`] times as long as the last look took. That is nothing for a few nodes, and some 50 ms for
//! thousands. It rests for [`SHORT_REST`] times as long if a node is done meanwhile whose place another one waits
//! for: each such rest starts a node.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// Factor of a rest and the look before it: looks take a twentieth of the time.
const REST: u32 = 19;

/// The same while a node waits for a free place: looks take a fifth of the time.
const SHORT_REST: u32 = 4;

/// A look that is shorter than this needs no rest.
const SHORT: Duration = Duration::from_micros(200);

/// The longest rest. The end of a Job must be noticed within a second.
const LONGEST: Duration = Duration::from_millis(200);

/// The rests of Jobs, by UID.
#[derive(Debug, Default)]
pub(crate) struct Throttle {
    rests: Mutex<HashMap<String, Rest>>,
}

#[derive(Debug)]
struct Rest {
    began: Instant,
    /// The duration of the look before it.
    look: Duration,
    until: Instant,
}

impl Rest {
    fn new(look: Duration, began: Instant) -> Self {
        Self { began, look, until: began + (look * REST).min(LONGEST) }
    }

    fn shorten(&mut self) {
        self.until = self.until.min(self.began + self.look * SHORT_REST);
    }
}

impl Throttle {
    /// Returns the remaining rest of the Job with this UID.
    pub(crate) fn rest(&self, uid: &str, now: Instant) -> Option<Duration> {
        self.rests().get(uid)?.until.checked_duration_since(now).filter(|rest| !rest.is_zero())
    }

    /// Starts the rest of the Job with this UID, after a look that took so long.
    ///
    /// Rests that are over are forgotten, for their Jobs may be gone.
    pub(crate) fn start_rest(&self, uid: &str, took: Duration, now: Instant) {
        if took < SHORT {
            return;
        }
        let mut rests = self.rests();
        rests.retain(|_, rest| rest.until > now);
        rests.insert(uid.to_owned(), Rest::new(took, now));
    }

    /// Shortens the rest of the Job with this UID.
    ///
    /// A node of it is done whose place another one waits for.
    pub(crate) fn shorten_rest(&self, uid: &str) {
        if let Some(rest) = self.rests().get_mut(uid) {
            rest.shorten();
        }
    }

    fn rests(&self) -> MutexGuard<'_, HashMap<String, Rest>> {
        self.rests.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOOK: Duration = Duration::from_millis(5);

    #[test]
    fn rest_is_in_proportion_to_the_effort_and_ends() {
        let (throttle, now) = (Throttle::default(), Instant::now());
        assert_eq!(throttle.rest("a", now), None);
        throttle.start_rest("a", TOOK, now);
        assert_eq!(throttle.rest("a", now), Some(REST * TOOK));
        assert_eq!(throttle.rest("b", now), None, "each Job has its own");
        assert_eq!(throttle.rest("a", now + REST * TOOK), None);
    }

    #[test]
    fn small_job_is_never_left_alone_and_a_large_one_not_for_long() {
        let (throttle, now) = (Throttle::default(), Instant::now());
        throttle.start_rest("small", SHORT / 2, now);
        assert_eq!(throttle.rest("small", now), None);
        throttle.start_rest("large", Duration::from_secs(1), now);
        assert_eq!(throttle.rest("large", now), Some(LONGEST));
    }

    #[test]
    fn jobs_that_are_gone_are_forgotten() {
        let (throttle, now) = (Throttle::default(), Instant::now());
        throttle.start_rest("gone", TOOK, now);
        throttle.start_rest("there", TOOK, now + LONGEST);
        assert_eq!(throttle.rests.lock().expect("not poisoned").len(), 1);
    }

    #[test]
    fn rest_is_shorter_when_a_place_is_free_and_never_longer() {
        let (throttle, now) = (Throttle::default(), Instant::now());
        throttle.shorten_rest("a");
        assert_eq!(throttle.rest("a", now), None);
        throttle.start_rest("a", TOOK, now);
        throttle.start_rest("b", TOOK, now);
        throttle.shorten_rest("a");
        throttle.shorten_rest("a");
        assert_eq!(throttle.rest("a", now), Some(SHORT_REST * TOOK));
        assert_eq!(throttle.rest("b", now), Some(REST * TOOK), "each Job has its own");
        // It counts from the look, and for the next one the place is not free any more.
        assert_eq!(throttle.rest("a", now + SHORT_REST * TOOK), None);
        throttle.start_rest("a", TOOK, now);
        assert_eq!(throttle.rest("a", now), Some(REST * TOOK));
        throttle.start_rest("a", Duration::from_secs(1), now);
        throttle.shorten_rest("a");
        assert_eq!(throttle.rest("a", now), Some(LONGEST));
    }
}
