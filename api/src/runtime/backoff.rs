//! How long to wait before something that failed is tried again.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Mutex, PoisonError},
    time::Duration,
};

/// The wait after a first failure; doubled by each further one.
const FIRST: Duration = Duration::from_millis(200);
/// The longest wait.
const LONGEST: Duration = Duration::from_secs(60);

/// Counts the failures in a row of each key.
#[derive(Debug)]
pub struct Backoff<K>(Mutex<HashMap<K, u32>>);

impl<K> Default for Backoff<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Eq + Hash> Backoff<K> {
    /// Notes a failure of `key` and tells how long to wait now.
    pub fn failed(&self, key: K) -> Duration {
        let mut failures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = failures.entry(key).or_default();
        let wait = FIRST.saturating_mul(1_u32.checked_shl(*count).unwrap_or(u32::MAX));
        *count = count.saturating_add(1);
        wait.min(LONGEST)
    }

    /// Forgets the failures of `key`.
    pub fn succeeded(&self, key: &K) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_doubles_up_to_a_minute_for_each_key_by_itself() {
        let backoff = Backoff::default();
        let waits: Vec<_> = (0..4).map(|_| backoff.failed("a").as_millis()).collect();
        assert_eq!(waits, [200, 400, 800, 1600]);
        for _ in 0..100 {
            assert!(backoff.failed("a") <= LONGEST);
        }
        assert_eq!(backoff.failed("a"), LONGEST);
        assert_eq!(backoff.failed("b"), FIRST);
    }

    #[test]
    fn a_success_starts_over() {
        let backoff = Backoff::default();
        backoff.failed("a");
        backoff.succeeded(&"a");
        assert_eq!(backoff.failed("a"), FIRST);
    }
}
