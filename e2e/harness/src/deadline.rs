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
    pub fn after(limit: Duration) -> Self {
        let started = Instant::now();
        Self { started, limit }
    }

    /// Time since it was set.
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Time that is left; zero when it has passed.
    pub fn remaining(&self) -> Duration {
        self.limit.saturating_sub(self.elapsed())
    }

    /// The same as an instant, for timers.
    pub fn instant(&self) -> Instant {
        self.started + self.limit
    }
}
