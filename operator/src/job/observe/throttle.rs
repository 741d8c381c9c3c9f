//! Limits how often a Job of many nodes is reconciled while its pods come and go.
//!
//! More nodes make a look longer, and events more frequent: without a limit, the effort grows with the square
//! of the nodes, and slows down a cluster that is busy creating pods, see `docs/performance.md`. So a Job rests
//! for [`REST`] times as long as the last look took. That is nothing for a few nodes, and some 50 ms for
//! thousands.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Factor of a rest and the look before it: looks take a twentieth of the time.
const REST: u32 = 19;

/// A look that is shorter than this needs no rest.
const SHORT: Duration = Duration::from_micros(200);

/// The longest rest. The end of a Job must be noticed within a second.
const LONGEST: Duration = Duration::from_millis(200);

/// The ends of the rests of Jobs, by UID.
#[derive(Debug, Default)]
pub(crate) struct Throttle {
    until: Mutex<HashMap<String, Instant>>,
}

impl Throttle {
    /// Returns the remaining rest of the Job with this UID.
    pub(crate) fn rest(&self, uid: &str, now: Instant) -> Option<Duration> {
        let until = self.until.lock().unwrap_or_else(PoisonError::into_inner);
        until.get(uid)?.checked_duration_since(now).filter(|rest| !rest.is_zero())
    }

    /// Starts the rest of the Job with this UID, after a look that took so long.
    ///
    /// Rests that are over are forgotten, for their Jobs may be gone.
    pub(crate) fn start_rest(&self, uid: &str, took: Duration, now: Instant) {
        if took < SHORT {
            return;
        }
        let mut until = self.until.lock().unwrap_or_else(PoisonError::into_inner);
        until.retain(|_, until| *until > now);
        until.insert(uid.to_owned(), now + (took * REST).min(LONGEST));
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
        assert_eq!(throttle.until.lock().expect("not poisoned").len(), 1);
    }
}
