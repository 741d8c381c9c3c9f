//! How often a Job of many nodes is looked at while its pods come and go.
//!
//! To look at a Job takes the longer the more nodes there are, and the more nodes, the more events ask for
//! it: without a limit, the effort grows with the square of the nodes, and a cluster that is busy creating
//! their pods is slowed down by it, see `docs/performance.md`. So a Job is left alone for [`REST`] times as
//! long as the last look took. That is nothing for a few nodes, and some 50 ms for thousands.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// How many times as long as the last look took a Job is left alone: a twentieth of the time is for looks.
const REST: u32 = 19;

/// What takes less than this is not worth a rest.
const SHORT: Duration = Duration::from_micros(200);

/// However long a look took, the end of a Job must be noticed within a second.
const LONGEST: Duration = Duration::from_millis(200);

/// Until when each of many Jobs is to be left alone.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    until: Mutex<HashMap<String, Instant>>,
}

impl Pace {
    /// How long from now on the Job with this UID is to be left alone, if it is.
    pub(crate) fn rest(&self, uid: &str, now: Instant) -> Option<Duration> {
        let until = self.until.lock().unwrap_or_else(PoisonError::into_inner);
        until.get(uid)?.checked_duration_since(now).filter(|rest| !rest.is_zero())
    }

    /// The Job with this UID has been looked at for so long until now. Rests that are over are forgotten,
    /// for the Jobs may be gone.
    pub(crate) fn looked(&self, uid: &str, took: Duration, now: Instant) {
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
        let (pace, now) = (Pace::default(), Instant::now());
        assert_eq!(pace.rest("a", now), None);
        pace.looked("a", TOOK, now);
        assert_eq!(pace.rest("a", now), Some(REST * TOOK));
        assert_eq!(pace.rest("b", now), None, "each Job has its own");
        assert_eq!(pace.rest("a", now + REST * TOOK), None);
    }

    #[test]
    fn small_job_is_never_left_alone_and_a_large_one_not_for_long() {
        let (pace, now) = (Pace::default(), Instant::now());
        pace.looked("small", SHORT / 2, now);
        assert_eq!(pace.rest("small", now), None);
        pace.looked("large", Duration::from_secs(1), now);
        assert_eq!(pace.rest("large", now), Some(LONGEST));
    }

    #[test]
    fn jobs_that_are_gone_are_forgotten() {
        let (pace, now) = (Pace::default(), Instant::now());
        pace.looked("gone", TOOK, now);
        pace.looked("there", TOOK, now + LONGEST);
        assert_eq!(pace.until.lock().expect("not poisoned").len(), 1);
    }
}
