//! When a log is looked at beside the stream that there is: kubelets lose their place in what they rotate.
//!
//! A kubelet that follows a log for us watches its folder for the next file, but only once it has come to
//! the end of the first one. When the stream is slow, by a busy machine or a busy reader, the file may have
//! been rotated before that; then the kubelet waits at the end of the old file, to which nobody writes any
//! more, and the stream stays open and says nothing. When files are rotated one after another, it passes
//! over those in between (`ReadLogs` in `k8s.io/cri-client`, the same in 1.33 and 1.37). It says nothing of
//! either, nor of where it is.
//!
//! So we ask for the time of the first entry of the log, which costs one small answer. Each file begins with
//! another entry, so this tells whether the file that is written now is one from whose beginning we read.
//! If it is not, that file is read from its beginning, beside the streams that there are: they may have more
//! to tell that is in no file any more. A file is read once, or twice if the kubelet has not lost its
//! place. Times of entries are compared with each other only, never with a clock of ours.
//!
//! A kubelet rotates what is larger than 10 MiB, and looks every ten seconds. So we ask every five seconds
//! while a large log is on its way, and at growing distances while it is silent. Of small logs, which are
//! nearly all, we never ask.

use std::time::{Duration, Instant};

use k8s_openapi::jiff::{SignedDuration, Timestamp};

/// A log of which less than this has come was not rotated since. A file of the default size, 10 MiB
/// (`containerLogMaxSize`), holds much more: of the 46 bytes that it keeps of an empty line, 32 come.
const LARGE: usize = 128 * 1024;

/// How often we look at a log that is on its way: at least twice while a file is there.
const EVERY: Duration = Duration::from_secs(5);

/// How long a large log is silent before it is looked at; doubled up to [`LONGEST_PAUSE`].
const PAUSE: Duration = Duration::from_secs(2);

/// The longest time for which a stream goes unnoticed that can say nothing more.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// How long a log is silent before it is taken for one of which all has come.
const SETTLED: Duration = Duration::from_secs(10);

/// How long an old file is silent before it is taken for read to its end, though its kubelet answers. It
/// cannot be asked for its end any more.
const QUIET: Duration = Duration::from_secs(60);

/// How far a stream of an old file gets into the next one, by the time of their entries, before it is taken
/// for one that has not lost its place. Clocks that are corrected may go back a little.
const MOVED_ON: SignedDuration = SignedDuration::from_secs(5);

/// Streams of one log at the same time: as many as there are files (`containerLogMaxFiles`).
pub(crate) const MOST: usize = 5;

/// What has been heard of a log, of whatever stream.
#[derive(Debug)]
pub(crate) struct Looking {
    read: usize,
    /// Bytes that have come since it was looked at.
    fresh: usize,
    heard: Instant,
    looked: Instant,
    pause: Duration,
    /// Whether there is more on its way than has come, for all that is known.
    is_behind: bool,
    /// The time of what was the last entry when it was looked at.
    goal: Option<Timestamp>,
}

impl Looking {
    /// The log has been opened.
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            read: 0,
            fresh: 0,
            heard: now,
            looked: now,
            pause: PAUSE,
            is_behind: false,
            goal: None,
        }
    }

    /// So many bytes came, of which the last line has this time.
    pub(crate) fn heard(&mut self, bytes: usize, last: Option<Timestamp>, now: Instant) {
        self.read = self.read.saturating_add(bytes);
        self.fresh = self.fresh.saturating_add(bytes);
        self.heard = now;
        self.pause = PAUSE;
        if self.goal.is_some_and(|goal| last.is_some_and(|last| last >= goal)) {
            self.is_behind = false;
            self.goal = None;
            self.fresh = 0;
        } else if self.fresh >= LARGE {
            self.is_behind = true;
        }
    }

    /// The file is one that is read. If `end` was asked for, it is the time of its last entry, and `has_all`
    /// says whether all up to it has come.
    pub(crate) fn is_known(&mut self, end: Option<Timestamp>, has_all: bool, now: Instant) {
        // An entry that is a part of a line never shows its time to those who follow.
        let is_silent = now.duration_since(self.heard) >= SETTLED;
        self.is_behind &= !is_silent && !has_all;
        self.goal = end.filter(|_| self.is_behind);
        self.looked(now);
    }

    /// The kubelet has not answered, or the file is a new one, which is read from now on.
    pub(crate) fn looked(&mut self, now: Instant) {
        self.fresh = 0;
        self.looked = now;
        self.pause = self.pause.saturating_mul(2).min(LONGEST_PAUSE);
    }

    /// A file is read that is new.
    pub(crate) fn is_opened(&mut self, now: Instant) {
        self.looked(now);
        self.is_behind = true;
        self.goal = None;
        self.pause = PAUSE;
    }

    /// It has been silent for long, and is opened again, from what came last on.
    pub(crate) fn resumed(&mut self, now: Instant) {
        self.heard = now;
    }

    /// When to look, should nothing be heard before; never, if the log is small.
    pub(crate) fn due(&self) -> Option<Instant> {
        if self.read < LARGE {
            return None;
        }
        let silent = self.heard.max(self.looked) + self.pause;
        let on_its_way = self.looked + EVERY;
        Some(if self.is_behind { silent.min(on_its_way) } else { silent })
    }

    /// Whether there is more on its way than has come, for all that is known.
    pub(crate) fn is_behind(&self) -> bool {
        self.is_behind
    }

    /// Whether it is large, so that reading all of it once more costs something.
    pub(crate) fn is_large(&self) -> bool {
        self.read >= LARGE
    }

    /// When something was heard.
    pub(crate) fn last_heard(&self) -> Instant {
        self.heard
    }
}

/// The file that a stream reads, or began with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct File {
    /// The time of its first entry; none while it is empty, as far as we know.
    pub(crate) first: Option<Timestamp>,
    /// The time of the entry that came last.
    pub(crate) last: Option<Timestamp>,
    /// When something was heard of it.
    pub(crate) heard: Instant,
}

/// Whether a log that begins with an entry of this time is in a file that is `read` from its beginning; the
/// oldest file is the first one.
pub(crate) fn is_read(first: Option<Timestamp>, read: &[File]) -> bool {
    match first {
        Some(_) => read.iter().any(|file| file.first == first),
        // Nothing but the newest file can be empty.
        None => read.last().is_some_and(|file| file.first.is_none()),
    }
}

/// Whether a stream that was opened on the file `old` can say nothing that the one of `next`, the file after
/// it, does not say.
pub(crate) fn is_spent(old: &File, next: &File, now: Instant) -> bool {
    let has_moved_on = match (old.last, next.first) {
        (Some(last), Some(first)) => last.duration_since(first) >= MOVED_ON,
        _ => false,
    };
    has_moved_on || now.duration_since(old.heard) >= QUIET
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

    fn file(first: Option<Timestamp>, last: Option<Timestamp>, heard: Instant) -> File {
        File { first, last, heard }
    }

    #[test]
    fn a_small_log_is_trusted() {
        let start = Instant::now();
        let mut log = Looking::new(start);
        log.heard(LARGE - 1, at(0), start);
        assert_eq!(log.due(), None);
        log.heard(1, at(0), start);
        assert_eq!(log.due(), Some(start + PAUSE));
    }

    #[test]
    fn a_large_log_that_is_silent_is_looked_at_at_growing_distances() {
        let start = Instant::now();
        let mut log = Looking::new(start);
        log.heard(LARGE, at(0), start);
        let mut distances = Vec::new();
        let mut now = start;
        for _ in 0..7 {
            let due = log.due().unwrap();
            distances.push((due - now).as_secs());
            now = due;
            log.is_known(None, true, now);
        }
        assert_eq!(distances, [2, 4, 8, 16, 32, 60, 60]);
        log.heard(1, at(9), now);
        assert_eq!(log.due(), Some(now + PAUSE), "what is new makes us vigilant again");
    }

    #[test]
    fn a_large_log_that_is_on_its_way_is_looked_at_all_the_time_until_its_end_has_come() {
        let start = Instant::now();
        let mut log = Looking::new(start);
        let mut now = start;
        let mut looks = 0;
        for second in 0..60 {
            now += seconds(1);
            // However slow the stream is.
            log.heard(if second == 0 { LARGE } else { 1 }, at(second), now);
            if log.due().unwrap() <= now {
                looks += 1;
                log.is_known(at(70), false, now);
                assert!(log.is_behind());
            }
        }
        assert_eq!(looks, 12);
        log.heard(1, at(70), now);
        assert!(!log.is_behind());
        for _ in 0..60 {
            now += seconds(1);
            log.heard(1, at(71), now);
            assert!(log.due().unwrap() > now, "a log that says little is not looked at");
        }
    }

    #[test]
    fn a_stream_that_stalls_is_behind_for_some_time() {
        let start = Instant::now();
        let mut log = Looking::new(start);
        log.heard(LARGE, at(5), start);
        log.is_known(at(9), false, start + seconds(4));
        assert!(log.is_behind());
        log.is_known(at(9), false, start + SETTLED);
        assert!(!log.is_behind(), "its last line has parts");
        log.is_opened(start + SETTLED);
        assert!(log.is_behind());
        log.is_known(None, true, start + SETTLED + PAUSE);
        assert!(!log.is_behind());
    }

    #[test]
    fn a_file_is_known_by_its_first_entry_and_by_nothing_else() {
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
