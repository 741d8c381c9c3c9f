//! The slots that are taken, and how many logs are opened at the same time.
//!
//! To open a log costs the API server a TLS connection to a kubelet. While the pods of a Job are created,
//! it is busy enough: opening all logs at once makes the Job last longer than opening a few at a time, see
//! `docs/performance.md`. So only [`OPENINGS`] are opened at once while pods keep coming, and as many as
//! there are slots from when no pod has come for [`CALM`].

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use super::Uid;

/// How many logs are opened at the same time while pods keep coming.
pub(crate) const OPENINGS: usize = 4;
/// Pods keep coming as long as no two are further apart than this.
pub(crate) const CALM: Duration = Duration::from_millis(500);
/// A log that takes longer than this to be opened is not among the [`OPENINGS`] any more: one kubelet that
/// does not answer must not hold up the logs of others.
pub(crate) const PATIENCE: Duration = Duration::from_millis(100);

/// The slots of a plan.
#[derive(Debug)]
pub(crate) struct Slots {
    /// How many there are.
    followers: usize,
    /// Logs that are being opened, by the time since when.
    opening: BTreeSet<(Instant, Uid)>,
    /// Logs that are open, by the time since when.
    open: BTreeSet<(Instant, Uid)>,
    /// When the last pod came.
    last_came: Option<Instant>,
}

impl Slots {
    /// All free.
    pub(crate) fn new(followers: usize) -> Self {
        Self { followers, opening: BTreeSet::new(), open: BTreeSet::new(), last_came: None }
    }

    /// A new pod has come.
    pub(crate) fn pod_came(&mut self, now: Instant) {
        self.last_came = Some(now);
    }

    /// Whether all are taken.
    pub(crate) fn are_full(&self) -> bool {
        self.opening.len() + self.open.len() >= self.followers
    }

    /// Logs that are being opened.
    pub(crate) fn opening(&self) -> usize {
        self.opening.len()
    }

    /// Logs that are open.
    pub(crate) fn open(&self) -> usize {
        self.open.len()
    }

    /// The log that has been open for the longest.
    pub(crate) fn oldest(&self) -> Option<&(Instant, Uid)> {
        self.open.first()
    }

    /// This log is being opened from now on.
    pub(crate) fn take(&mut self, uid: &Uid, now: Instant) {
        self.opening.insert((now, Arc::clone(uid)));
    }

    /// The log that has been opened `since` then, or was open already, is open from now on.
    pub(crate) fn opened(&mut self, uid: &Uid, since: Instant, now: Instant) {
        self.release(uid, since);
        self.open.insert((now, Arc::clone(uid)));
    }

    /// Frees the slot of a log that has been opened, or open, since then.
    pub(crate) fn release(&mut self, uid: &Uid, since: Instant) {
        let key = (since, Arc::clone(uid));
        if !self.opening.remove(&key) {
            self.open.remove(&key);
        }
    }

    /// Until when no further log is to be opened; none: one may be now.
    pub(crate) fn held_until(&self, now: Instant) -> Option<Instant> {
        let calm = self.last_came.map(|last| last + CALM).filter(|calm| now < *calm)?;
        let soon = self.opening.iter().rev().nth(OPENINGS - 1)?.0 + PATIENCE;
        (now < soon).then_some(calm.min(soon))
    }
}
