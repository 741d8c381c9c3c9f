//! When a log that grows is opened once more: kubelets lose their place when they rotate it.
//!
//! A kubelet that follows a log for us waits for changes of one file. It renames that file, of which
//! it learns at once, before the container runtime has made the next one; finding none, it goes on to
//! wait for the renamed file, which nobody writes to any more. The stream stays open, and says nothing
//! until the next rotation; by then, all that was logged in between is lost to it. Only later kubelets
//! watch the folder, and so see the next file (<https://github.com/kubernetes/kubernetes/issues/115701>).
//!
//! A kubelet rotates what is large, and looks every ten seconds. So a large log that pauses is opened
//! again within that time, beside the stream that there is; and then, while it goes on to be silent,
//! again and again at growing distances, for it may have been rotated since.

use std::time::{Duration, Instant};

/// A log of which less than this has been read was not rotated since. A file of the default size, 10 MiB
/// (`containerLogMaxSize`), holds at least this much: of an empty line it keeps some 45 bytes.
const LARGE: usize = 128 * 1024;

/// How long a large log is silent before it is opened again: much less than the ten seconds that its
/// file is there at least.
const PAUSE: Duration = Duration::from_secs(2);

/// What comes within this time of an opening may be what came before, and is no sign that the log
/// goes on.
const REPETITION: Duration = Duration::from_secs(1);

/// How much of a log is read again, in seconds: streams are slow at times.
const OVERLAP: u64 = 5;

/// What has been heard of a log.
#[derive(Debug)]
pub(crate) struct Reopening {
    read: usize,
    heard: Instant,
    opened: Instant,
    pause: Duration,
}

impl Reopening {
    /// The log was opened for the first time.
    pub(crate) fn new(now: Instant) -> Self {
        Self { read: 0, heard: now, opened: now, pause: PAUSE }
    }

    /// So many bytes came.
    pub(crate) fn heard(&mut self, bytes: usize, now: Instant) {
        self.read = self.read.saturating_add(bytes);
        self.heard = now;
        if now.duration_since(self.opened) > REPETITION {
            self.pause = PAUSE;
        }
    }

    /// It is being opened again.
    pub(crate) fn reopened(&mut self, now: Instant) {
        self.opened = now;
        self.pause = self.pause.saturating_mul(2);
    }

    /// When to open it again, should nothing be heard before; never, if it is small.
    pub(crate) fn due(&self) -> Option<Instant> {
        let latest = self.heard.max(self.opened);
        (self.read >= LARGE).then(|| latest + self.pause)
    }

    /// From how many seconds ago it is to be read then: the kubelet's clock need not be ours.
    pub(crate) fn since(&self, now: Instant) -> i64 {
        let silent = now.duration_since(self.heard).as_secs();
        i64::try_from(silent + OVERLAP).unwrap_or(i64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_small_log_is_trusted() {
        let start = Instant::now();
        let mut log = Reopening::new(start);
        log.heard(LARGE - 1, start);
        assert_eq!(log.due(), None);
        log.heard(1, start);
        assert_eq!(log.due(), Some(start + PAUSE));
    }

    #[test]
    fn a_large_log_that_is_silent_is_opened_at_growing_distances() {
        let start = Instant::now();
        let mut log = Reopening::new(start);
        log.heard(LARGE, start);
        let mut distances = Vec::new();
        let mut now = start;
        for _ in 0..5 {
            let due = log.due().unwrap();
            distances.push((due - now).as_secs());
            now = due;
            log.reopened(now);
            // What was said last is said once more.
            log.heard(1, now);
        }
        assert_eq!(distances, [2, 4, 8, 16, 32]);
    }

    #[test]
    fn what_is_new_makes_it_vigilant_again() {
        let start = Instant::now();
        let mut log = Reopening::new(start);
        log.heard(LARGE, start);
        log.reopened(start + seconds(2));
        log.reopened(start + seconds(6));
        let later = start + seconds(60);
        log.heard(1, later);
        assert_eq!(log.due(), Some(later + PAUSE));
    }

    #[test]
    fn it_is_read_from_before_the_silence_on() {
        let start = Instant::now();
        let mut log = Reopening::new(start);
        log.heard(LARGE, start + seconds(1));
        assert_eq!(log.since(start + seconds(3)), 2 + 5);
    }
}
