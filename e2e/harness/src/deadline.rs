//! A point in time that waits share.

use std::time::Duration;

use tokio::time::Instant;

/// A point in time that waits share.
#[derive(Clone, Copy, Debug)]
pub struct Deadline {
    started: Instant,
    limit: Duration,
}

impl Deadline {
    /// `limit` from now.
    #[must_use]
    pub fn after(limit: Duration) -> Self {
        let started = Instant::now();
        Self { started, limit }
    }

    /// Time since it was set.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Time that is left; zero when it has passed.
    #[must_use]
    pub fn remaining(&self) -> Duration {
        self.limit.saturating_sub(self.elapsed())
    }

    /// The same as an instant, for timers.
    #[must_use]
    pub fn instant(&self) -> Instant {
        self.started + self.limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spent_deadline_has_nothing_left() {
        let deadline = Deadline::after(Duration::ZERO);
        assert_eq!(deadline.remaining(), Duration::ZERO);
    }
}
