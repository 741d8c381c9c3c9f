//! The times at which the last word of each Job was read.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// The times at which the last word of each unfinished Job was read.
///
/// Clones share them. /// A Job is identified by its namespace and the name of its DaemonSet.
#[derive(Clone, Debug, Default)]
pub(super) struct LastWords(Arc<Mutex<HashMap<(String, String), Instant>>>);

/// Limit of Jobs; those beyond are not measured.
///
/// Anybody who creates pods can claim to have any number of Jobs.
const MOST: usize = 1000;

impl LastWords {
    /// Notes that a word of a Job was read at the time `now`.
    pub(super) fn insert(&self, namespace: &str, daemon_set: &str, now: Instant) {
        let key = (namespace.to_owned(), daemon_set.to_owned());
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() < MOST || known.contains_key(&key) {
            known.insert(key, now);
        }
    }

    /// Forgets a Job; returns the time since its last word was read, if one was.
    pub(super) fn take(&self, namespace: &str, daemon_set: &str, now: Instant) -> Option<Duration> {
        let key = (namespace.to_owned(), daemon_set.to_owned());
        let read = self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&key);
        read.map(|read| now.duration_since(read))
    }

    /// Forgets all Jobs.
    pub(super) fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_word_counts_and_only_once() {
        let words = LastWords::default();
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        words.insert("n", "a", start);
        words.insert("n", "a", after(3));
        assert_eq!(words.take("m", "a", after(5)), None);
        assert_eq!(words.take("n", "a", after(5)), Some(Duration::from_secs(2)));
        assert_eq!(words.take("n", "a", after(5)), None);
    }

    #[test]
    fn only_so_many_jobs_are_known() {
        let words = LastWords::default();
        let now = Instant::now();
        (0..=MOST).for_each(|job| words.insert("n", &job.to_string(), now));
        assert_eq!(words.take("n", &MOST.to_string(), now), None);
        assert!(words.take("n", "0", now).is_some());
    }

    #[test]
    fn all_can_be_forgotten() {
        let words = LastWords::default();
        words.insert("n", "a", Instant::now());
        words.clone().clear();
        assert_eq!(words.take("n", "a", Instant::now()), None);
    }
}
