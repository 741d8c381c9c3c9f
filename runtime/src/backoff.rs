//! Waits between attempts that fail.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use kube::runtime::utils::Backoff;

/// Waits that double from the first one up to the longest one.
///
/// Not that of `backon`, which kube has: its waits are `f32`, and a state takes three times as much memory,
/// of which there is one for each log that is followed.
#[derive(Clone, Copy, Debug)]
pub struct ExponentialBackoff {
    first: Duration,
    longest: Duration,
    next: Duration,
}

impl ExponentialBackoff {
    /// Starts with `first`, and stays at `longest` in the end.
    #[must_use]
    pub const fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest, next: first }
    }

    /// Returns the wait after a further failure.
    pub fn next_wait(&mut self) -> Duration {
        let wait = self.next.min(self.longest);
        self.next = wait.saturating_mul(2);
        wait
    }

    /// Starts over, after a success.
    pub fn reset(&mut self) {
        self.next = self.first;
    }
}

impl Iterator for ExponentialBackoff {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        Some(self.next_wait())
    }
}

impl Backoff for ExponentialBackoff {
    fn reset(&mut self) {
        Self::reset(self);
    }
}

/// A backoff for each key that has failed.
#[derive(Debug)]
pub(crate) struct KeyedBackoff<K> {
    initial: ExponentialBackoff,
    by_key: Mutex<HashMap<K, ExponentialBackoff>>,
}

impl<K: Eq + Hash> KeyedBackoff<K> {
    /// Each key starts with `initial`.
    pub(crate) fn new(initial: ExponentialBackoff) -> Self {
        Self { initial, by_key: Mutex::default() }
    }

    /// Returns the wait after a further failure of `key`.
    pub(crate) fn next_wait(&self, key: K) -> Duration {
        let mut by_key = self.by_key.lock().unwrap_or_else(PoisonError::into_inner);
        by_key.entry(key).or_insert(self.initial).next_wait()
    }

    /// Forgets the failures of `key`, which has succeeded or is gone.
    pub(crate) fn reset(&self, key: &K) {
        self.by_key.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Duration = Duration::from_millis(200);
    const LONGEST: Duration = Duration::from_secs(60);

    fn backoff() -> KeyedBackoff<&'static str> {
        KeyedBackoff::new(ExponentialBackoff::new(FIRST, LONGEST))
    }

    #[test]
    fn the_wait_doubles_up_to_the_longest_for_each_key_by_itself() {
        let backoff = backoff();
        let waits: Vec<_> = (0..4).map(|_| backoff.next_wait("a").as_millis()).collect();
        assert_eq!(waits, [200, 400, 800, 1600]);
        for _ in 0..100 {
            assert!(backoff.next_wait("a") <= LONGEST);
        }
        assert_eq!(backoff.next_wait("a"), LONGEST);
        assert_eq!(backoff.next_wait("b"), FIRST);
    }

    #[test]
    fn a_success_starts_over() {
        let backoff = backoff();
        backoff.next_wait("a");
        backoff.reset(&"a");
        assert_eq!(backoff.next_wait("a"), FIRST);
        let mut waits = ExponentialBackoff::new(FIRST, LONGEST);
        assert_eq!((waits.next(), waits.next()), (Some(FIRST), Some(FIRST * 2)));
        waits.reset();
        assert_eq!(waits.next(), Some(FIRST));
    }

    #[test]
    fn the_longest_wait_may_be_shorter_than_the_first_one() {
        let mut waits = ExponentialBackoff::new(LONGEST, FIRST);
        assert_eq!(waits.next_wait(), FIRST);
    }
}
