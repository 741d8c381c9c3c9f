//! The state of the scheduler.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use k8s_openapi::jiff::Timestamp;
use runtime::backoff::ExponentialBackoff;

use crate::follow::pod_log::PodLog;

/// Slice of a log while others wait that were followed before.
pub(super) const SLICE: Duration = Duration::from_secs(5);
/// Slice of a log while others wait that were never followed.
pub(super) const SHORT_SLICE: Duration = Duration::from_secs(1);
/// Extra time of a log that has not come as a whole; doubled when it is too short.
pub(super) const CATCH_UP: Duration = Duration::from_secs(30);
/// Limit of doublings of [`CATCH_UP`].
pub(super) const DOUBLINGS: u32 = 4;
/// Wait after an unexpected end; doubled up to [`Limits::retry`].
pub(super) const FIRST_RETRY: Duration = Duration::from_millis(500);

/// UID of a pod.
pub(crate) type Uid = Arc<str>;

/// Limits of a scheduler.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Slots: logs that are followed at the same time.
    pub(crate) followers: usize,
    /// The longest wait before a log that ended unexpectedly is opened again.
    pub(crate) retry: Duration,
}

/// A step for the caller to carry out.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Step {
    /// Follow this log.
    Start {
        /// The log.
        log: Box<PodLog>,
        /// Whether its beginning must be checked: there may be a gap before it.
        is_first: bool,
        /// Time of the last line of this run that was read, as far as is known.
        read_to: Option<Timestamp>,
    },
    /// Stop following the log of this pod.
    Stop(Uid),
}

/// The end of a follower.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Outcome {
    /// The word was found and recorded, or the pod is gone.
    Done,
    /// The log was read to its end without finding the word.
    Ended,
    /// The log fell silent for so long that the connection may be dead.
    ///
    /// Nothing is known to be missing: a large log is opened again long before.
    Silent,
    /// The log could not be read.
    Broken,
}

impl Outcome {
    /// Returns the name of an end without the word, for metrics.
    pub(crate) fn name(self) -> Option<&'static str> {
        match self {
            Self::Done => None,
            Self::Ended => Some("ended"),
            Self::Silent => Some("silent"),
            Self::Broken => Some("broken"),
        }
    }
}

/// Numbers of logs by state.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Counts {
    /// Being opened; each takes a slot.
    pub(crate) opening: usize,
    /// Open, and followed; each takes a slot.
    pub(crate) open: usize,
    /// Waiting for a slot.
    pub(crate) queued: usize,
    /// Waiting to be opened again, after they ended unexpectedly.
    pub(crate) resting: usize,
}

/// Decides which logs are followed.
#[derive(Debug)]
pub(crate) struct FollowScheduler {
    pub(super) limits: Limits,
    pub(super) logs: HashMap<Uid, Entry>,
    /// Waiting for their first slot, the longest first. Some may not wait any more.
    pub(super) fresh: VecDeque<Uid>,
    /// Waiting for a further slot, likewise.
    pub(super) queue: VecDeque<Uid>,
    /// Slots taken by logs that are being opened, and by those that are open.
    pub(super) taken: usize,
    /// Logs that wait in `fresh` or `queue`.
    pub(super) queued: usize,
    /// Open, by the time at which their slice counts as begun.
    pub(super) open: BTreeSet<(Instant, Uid)>,
    /// Waiting to be opened again, by the time for that.
    pub(super) resting: BTreeSet<(Instant, Uid)>,
}

/// A log and its state.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) log: PodLog,
    /// The run whose beginning was checked, and followed without a gap since.
    pub(super) checked_run: Option<String>,
    /// The run of which something was read, and the time of its last line.
    pub(super) read_to: Option<(String, Timestamp)>,
    pub(super) state: State,
    /// Waits after unexpected ends.
    pub(super) backoff: ExponentialBackoff,
    /// Slices in a row that were over before all of the log had come.
    pub(super) cut_short: u32,
}

/// The state of a log.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum State {
    Queued,
    /// `run` and `is_over` are of the time when the log was opened.
    Following {
        since: Instant,
        extra: Duration,
        run: String,
        is_over: bool,
    },
    /// The word is being recorded, which takes no slot.
    Recording,
    Resting {
        until: Instant,
    },
    /// The log of this run was read to its end.
    Read {
        run: String,
    },
    Done,
}

impl FollowScheduler {
    /// Makes a scheduler without logs.
    #[must_use]
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            logs: HashMap::new(),
            fresh: VecDeque::new(),
            queue: VecDeque::new(),
            taken: 0,
            queued: 0,
            open: BTreeSet::new(),
            resting: BTreeSet::new(),
        }
    }
}
