//! What was done a short while ago need not be done again yet.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// When something was last done for each of many objects, for as long as that matters.
#[derive(Debug)]
pub(crate) struct Recent {
    window: Duration,
    at: Mutex<HashMap<String, Instant>>,
}

impl Recent {
    /// Remembers for this long.
    pub(crate) fn within(window: Duration) -> Self {
        Self { window, at: Mutex::default() }
    }

    /// How long ago it was done for the object with this UID, if it was within the window.
    pub(crate) fn since(&self, uid: &str) -> Option<Duration> {
        let at = self.at.lock().unwrap_or_else(PoisonError::into_inner);
        at.get(uid).map(Instant::elapsed).filter(|since| *since < self.window)
    }

    /// It is done now for the object with this UID. What is older is forgotten, for the objects may be
    /// gone.
    pub(crate) fn done(&self, uid: &str) {
        let mut at = self.at.lock().unwrap_or_else(PoisonError::into_inner);
        at.retain(|_, at| at.elapsed() < self.window);
        at.insert(uid.to_owned(), Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_done_is_known_within_the_window_only() {
        let recent = Recent::within(Duration::from_secs(60));
        assert_eq!(recent.since("a"), None);
        recent.done("a");
        assert!(recent.since("a").is_some() && recent.since("b").is_none());
        let forgetful = Recent::within(Duration::ZERO);
        forgetful.done("a");
        assert_eq!(forgetful.since("a"), None);
    }
}
