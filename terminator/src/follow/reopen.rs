//! Decides when a log is probed, and opened again beside its streams.
//!
//! Kubelets lose their place at rotations. A kubelet that follows a log for us watches its folder for the next
//! file, but only once it has come to the end of the first one. With a slow stream, on a busy machine or to a
//! busy reader, the file may have been rotated before that. Then the kubelet waits at the end of the old file,
//! to which nobody writes any more, and the stream stays open and silent. When files are rotated one after
//! another, it skips those in between (`ReadLogs` in `k8s.io/cri-client`, the same in 1.33 and 1.37). It
//! reports neither, nor where it is.
//!
//! So a probe reads the time of the first entry of the log, which costs one small answer. Each file begins with
//! another entry, so this identifies the file that is written now. If no stream has begun with it, the file is
//! read from its beginning, beside the streams: they may have a rest that is in no file any more. A file is read
//! once, or twice if the kubelet has not lost its place. Times of entries are compared with each other only,
//! never with our clock.
//!
//! A kubelet checks every ten seconds, and rotates a file that is larger than 10 MiB. So a large log is probed
//! every five seconds while it is on its way, and after growing pauses while it is silent. Small logs, which are
//! nearly all, are never probed.

use std::time::{Duration, Instant};

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use runtime::backoff::ExponentialBackoff;

/// Size in bytes below which a log cannot have been rotated.
///
/// A file of the default size, 10 MiB (`containerLogMaxSize`), holds much more: of the 46 bytes that it has for
/// an empty line, 32 come.
const LARGE: usize = 128 * 1024;

/// Interval of probes while a log is on its way: at least two for each file.
const INTERVAL: Duration = Duration::from_secs(5);

/// Silence of a large log before a probe; doubled up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_secs(2);

/// The longest time for which a stream that has lost its place goes unnoticed.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Silence after which all of a log is assumed to have come.
const CAUGHT_UP: Duration = Duration::from_secs(10);

/// Silence after which an old file is assumed to be read to its end.
///
/// Its last entry cannot be read any more, though its kubelet answers.
const QUIET: Duration = Duration::from_secs(60);

/// Time of entries by which a stream of an old file is in the next one.
///
/// That proves that it has kept its place. Clocks may be set back a little.
const MOVED_ON: SignedDuration = SignedDuration::from_secs(5);

/// Limit of streams of one log: the number of its files (`containerLogMaxFiles`).
pub(super) const MOST: usize = 5;

/// The schedule of the probes of one log.
#[derive(Debug)]
pub(super) struct ProbeSchedule {
    /// Bytes that have come by all streams.
    total: usize,
    /// Bytes that have come since the last probe.
    fresh: usize,
    received: Instant,
    probed: Instant,
    pauses: ExponentialBackoff,
    pause: Duration,
    /// Whether more is on its way than has come, as far as is known.
    is_behind: bool,
    /// The time of the last entry at the last probe.
    goal: Option<Timestamp>,
}

impl ProbeSchedule {
    /// Starts with a log that has just been opened.
    pub(super) fn new(now: Instant) -> Self {
        let mut pauses = ExponentialBackoff::new(FIRST_PAUSE, LONGEST_PAUSE);
        Self {
            total: 0,
            fresh: 0,
            received: now,
            probed: now,
            pause: pauses.next_wait(),
            pauses,
            is_behind: false,
            goal: None,
        }
    }

    /// Notes bytes that have come, whose last line has this time.
    pub(super) fn received(&mut self, bytes: usize, last: Option<Timestamp>, now: Instant) {
        self.total = self.total.saturating_add(bytes);
        self.fresh = self.fresh.saturating_add(bytes);
        self.received = now;
        self.restart_pauses();
        if self.goal.is_some_and(|goal| last.is_some_and(|last| last >= goal)) {
            self.is_behind = false;
            self.goal = None;
            self.fresh = 0;
        } else if self.fresh >= LARGE {
            self.is_behind = true;
        }
    }

    /// Notes a probe by which a stream reads the file.
    ///
    /// `end` is the time of its last entry, if that was read, and `has_all` whether all up to it has come.
    pub(super) fn probed_known(&mut self, end: Option<Timestamp>, has_all: bool, now: Instant) {
        // The time of an entry that is the rest of a line never comes.
        let is_silent = now.duration_since(self.received) >= CAUGHT_UP;
        self.is_behind &= !is_silent && !has_all;
        self.goal = end.filter(|_| self.is_behind);
        self.probed(now);
    }

    /// Notes a probe, which the kubelet may not have answered.
    pub(super) fn probed(&mut self, now: Instant) {
        self.fresh = 0;
        self.probed = now;
        self.pause = self.pauses.next_wait();
    }

    /// Notes a probe by which a new file is read from now on.
    pub(super) fn probed_new(&mut self, now: Instant) {
        self.probed(now);
        self.is_behind = true;
        self.goal = None;
        self.restart_pauses();
    }

    fn restart_pauses(&mut self) {
        self.pauses.reset();
        self.pause = self.pauses.next_wait();
    }

    /// Notes that a silent log is opened again, from its last line on.
    pub(super) fn resumed(&mut self, now: Instant) {
        self.received = now;
    }

    /// Returns the time of the next probe, unless something comes before.
    ///
    /// There is none for a small log.
    pub(super) fn next_probe(&self) -> Option<Instant> {
        if !self.is_large() {
            return None;
        }
        let silent = self.received.max(self.probed) + self.pause;
        let on_its_way = self.probed + INTERVAL;
        Some(if self.is_behind { silent.min(on_its_way) } else { silent })
    }

    /// Returns whether more is on its way than has come, as far as is known.
    pub(super) fn is_behind(&self) -> bool {
        self.is_behind
    }

    /// Returns whether the log is large, so that it costs much to read it again.
    pub(super) fn is_large(&self) -> bool {
        self.total >= LARGE
    }

    /// Returns when something came last.
    pub(super) fn last_received(&self) -> Instant {
        self.received
    }
}

/// The file that a stream reads, or began with.
#[derive(Clone, Copy, Debug)]
pub(super) struct File {
    /// Time of its first entry; none while it is empty, as far as is known.
    pub(super) first: Option<Timestamp>,
    /// Time of the last entry that has come.
    pub(super) last: Option<Timestamp>,
    /// When something of it came last.
    pub(super) received: Instant,
}

/// Returns whether one of these files, oldest first, has this first entry.
pub(super) fn is_read(first: Option<Timestamp>, read: &[File]) -> bool {
    match first {
        Some(_) => read.iter().any(|file| file.first == first),
        // Nothing but the newest file can be empty.
        None => read.last().is_some_and(|file| file.first.is_none()),
    }
}

/// Returns whether the stream of `next` has all that the stream of `old` has.
pub(super) fn is_spent(old: &File, next: &File, now: Instant) -> bool {
    let has_moved_on = match (old.last, next.first) {
        (Some(last), Some(first)) => last.duration_since(first) >= MOVED_ON,
        _ => false,
    };
    has_moved_on || now.duration_since(old.received) >= QUIET
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn at(second: i64) -> Option<Timestamp> {
        Some(Timestamp::from_second(second).unwrap())
    }

    fn file(first: Option<Timestamp>, last: Option<Timestamp>, received: Instant) -> File {
        File { first, last, received }
    }

    #[test]
    fn a_small_log_is_trusted() {
        let start = Instant::now();
        let mut log = ProbeSchedule::new(start);
        log.received(LARGE - 1, at(0), start);
        assert_eq!(log.next_probe(), None);
        log.received(1, at(0), start);
        assert_eq!(log.next_probe(), Some(start + FIRST_PAUSE));
    }

    #[test]
    fn a_large_log_that_is_silent_is_looked_at_at_growing_distances() {
        let start = Instant::now();
        let mut log = ProbeSchedule::new(start);
        log.received(LARGE, at(0), start);
        let mut distances = Vec::new();
        let mut now = start;
        for _ in 0..7 {
            let due = log.next_probe().unwrap();
            distances.push((due - now).as_secs());
            now = due;
            log.probed_known(None, true, now);
        }
        assert_eq!(distances, [2, 4, 8, 16, 32, 60, 60]);
        log.received(1, at(9), now);
        assert_eq!(
            log.next_probe(),
            Some(now + FIRST_PAUSE),
            "what is new makes us vigilant again"
        );
    }

    #[test]
    fn a_large_log_that_is_on_its_way_is_looked_at_all_the_time_until_its_end_has_come() {
        let start = Instant::now();
        let mut log = ProbeSchedule::new(start);
        let mut now = start;
        let mut looks = 0;
        for second in 0..60 {
            now += seconds(1);
            // However slow the stream is.
            log.received(if second == 0 { LARGE } else { 1 }, at(second), now);
            if log.next_probe().unwrap() <= now {
                looks += 1;
                log.probed_known(at(70), false, now);
                assert!(log.is_behind());
            }
        }
        assert_eq!(looks, 12);
        log.received(1, at(70), now);
        assert!(!log.is_behind());
        for _ in 0..60 {
            now += seconds(1);
            log.received(1, at(71), now);
            assert!(log.next_probe().unwrap() > now, "a log that grows slowly is not probed");
        }
    }

    #[test]
    fn a_stream_that_stalls_is_behind_for_some_time() {
        let start = Instant::now();
        let mut log = ProbeSchedule::new(start);
        log.received(LARGE, at(5), start);
        log.probed_known(at(9), false, start + seconds(4));
        assert!(log.is_behind());
        log.probed_known(at(9), false, start + CAUGHT_UP);
        assert!(!log.is_behind(), "its last line has parts");
        log.probed_new(start + CAUGHT_UP);
        assert!(log.is_behind());
        log.probed_known(None, true, start + CAUGHT_UP + FIRST_PAUSE);
        assert!(!log.is_behind());
    }

    #[test]
    fn a_file_is_known_by_its_entry_and_by_nothing_else() {
        let now = Instant::now();
        let read = [file(at(10), at(19), now), file(at(20), at(20), now)];
        assert!(is_read(at(10), &read), "a rotation that has failed is taken back");
        assert!(is_read(at(20), &read));
        assert!(!is_read(at(30), &read));
        assert!(!is_read(at(15), &read), "clocks go back");
        assert!(!is_read(None, &read), "the next file is empty");
        assert!(is_read(None, &[read[0], file(None, None, now)]));
        assert!(!is_read(at(30), &[file(None, None, now)]));
    }

    #[test]
    fn a_stream_is_spent_when_it_has_moved_on_or_is_quiet() {
        let start = Instant::now();
        let next = file(at(20), at(20), start);
        let old = file(at(10), at(19), start);
        assert!(!is_spent(&old, &next, start + QUIET / 2), "it lags");
        assert!(is_spent(&old, &next, start + QUIET));
        assert!(!is_spent(&file(at(10), at(24), start), &next, start), "a clock went back");
        assert!(is_spent(&file(at(10), at(25), start), &next, start));
        assert!(!is_spent(&file(at(10), at(25), start), &file(None, None, start), start));
    }
}
