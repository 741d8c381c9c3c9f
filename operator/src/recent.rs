//! What was done a short while ago need not be done again yet.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// When something was last done for each of many objects, and what came of it, for as long as that matters.
#[derive(Debug)]
pub(crate) struct Recent<T = ()> {
    window: Duration,
    last: Mutex<HashMap<String, (Instant, T)>>,
}

impl<T: Copy> Recent<T> {
    /// Remembers for this long.
    pub(crate) fn within(window: Duration) -> Self {
        Self { window, last: Mutex::default() }
    }

    /// How long ago it was done for the object with this UID, if it was within the window.
    pub(crate) fn since(&self, uid: &str) -> Option<Duration> {
        self.last(uid).map(|(since, _)| since)
    }

    /// What came of it, if it was done within the window.
    pub(crate) fn result(&self, uid: &str) -> Option<T> {
        self.last(uid).map(|(_, result)| result)
    }

    fn last(&self, uid: &str) -> Option<(Duration, T)> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, result) = last.get(uid)?;
        Some((at.elapsed(), *result)).filter(|(since, _)| *since < self.window)
    }

    /// It is done now for the object with this UID. What is older is forgotten, for the objects may be
    /// gone.
    pub(crate) fn done(&self, uid: &str, result: T) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.retain(|_, (at, _)| at.elapsed() < self.window);
        last.insert(uid.to_owned(), (Instant::now(), result));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_done_is_known_within_the_window_only() {
        let recent = Recent::within(Duration::from_secs(60));
        assert_eq!(recent.since("a"), None);
        recent.done("a", 1);
        assert!(recent.since("a").is_some() && recent.since("b").is_none());
        assert_eq!((recent.result("a"), recent.result("b")), (Some(1), None));
        let forgetful = Recent::within(Duration::ZERO);
        forgetful.done("a", 1);
        assert_eq!(forgetful.since("a"), None);
    }
}
