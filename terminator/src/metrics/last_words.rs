//! When the last word of each Job was read.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// When the last word of each Job was read that is not finished. Clones share it. A Job is known by its
/// namespace and the name of its DaemonSet.
#[derive(Clone, Debug, Default)]
pub(super) struct LastWords(Arc<Mutex<HashMap<(String, String), Instant>>>);

/// Jobs that are known at the same time. Of further ones the latency is not told: whoever creates pods can
/// claim as many Jobs as he likes.
const MOST: usize = 1000;

impl LastWords {
    /// A word of this Job was read at the time `now`.
    pub(super) fn read(&self, namespace: &str, daemon_set: &str, now: Instant) {
        let key = (namespace.to_owned(), daemon_set.to_owned());
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() < MOST || known.contains_key(&key) {
            known.insert(key, now);
        }
    }

    /// How long ago the last word of this Job was read, if any was. It is forgotten.
    pub(super) fn take(&self, namespace: &str, daemon_set: &str, now: Instant) -> Option<Duration> {
        let key = (namespace.to_owned(), daemon_set.to_owned());
        let read = self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&key);
        read.map(|read| now.duration_since(read))
    }

    pub(super) fn forget_all(&self) {
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
        words.read("n", "a", start);
        words.read("n", "a", after(3));
        assert_eq!(words.take("m", "a", after(5)), None);
        assert_eq!(words.take("n", "a", after(5)), Some(Duration::from_secs(2)));
        assert_eq!(words.take("n", "a", after(5)), None);
    }

    #[test]
    fn only_so_many_jobs_are_known() {
        let words = LastWords::default();
        let now = Instant::now();
        (0..=MOST).for_each(|job| words.read("n", &job.to_string(), now));
        assert_eq!(words.take("n", &MOST.to_string(), now), None);
        assert!(words.take("n", "0", now).is_some());
    }

    #[test]
    fn all_can_be_forgotten() {
        let words = LastWords::default();
        words.read("n", "a", Instant::now());
        words.clone().forget_all();
        assert_eq!(words.take("n", "a", Instant::now()), None);
    }
}
