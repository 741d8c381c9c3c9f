//! What the terminator tells Prometheus. `docs/metrics.md` says what each of it answers.

mod last_words;

use std::time::Instant;

use api::runtime::{
    Registry,
    metrics::{Computed, Counters, Histograms, Reconciliations, WatchErrors, histograms},
};
use prometheus_client::metrics::{counter::Counter, gauge::Gauge, histogram::Histogram};

use self::last_words::LastWords;
use crate::{
    plan::{Counts, Outcome},
    target::Target,
};

/// The metrics of the terminator. Clones count together.
#[derive(Clone, Debug)]
pub struct Metrics {
    pub(crate) reconciliations: Reconciliations,
    pub(crate) watch_errors: WatchErrors,
    /// Bytes of logs.
    pub(crate) read: Counter,
    /// Logs without a beginning.
    pub(crate) rotated: Counter,
    /// Jobs that were deleted.
    pub(crate) deleted: Counter,
    logs: Logs,
    ended: Counters<1>,
    found: Counter,
    recording: Histogram,
    last_words: LastWords,
    latencies: Histograms,
}

/// Logs by what is done about them.
#[derive(Clone, Debug, Default)]
struct Logs {
    slots: Gauge,
    opening: Gauge,
    open: Gauge,
    queued: Gauge,
    resting: Gauge,
}

impl Metrics {
    /// Registers them.
    #[must_use]
    pub fn new(registry: &mut Registry) -> Self {
        let this = Self {
            reconciliations: Reconciliations::new(registry),
            watch_errors: WatchErrors::new(registry),
            read: Counter::default(),
            rotated: Counter::default(),
            deleted: Counter::default(),
            logs: Logs::default(),
            ended: Counters::default(),
            found: Counter::default(),
            recording: Histogram::new(latencies()),
            last_words: LastWords::default(),
            latencies: histograms(|| Histogram::new(latencies())),
        };
        for outcome in [Outcome::Ended, Outcome::Silent, Outcome::Broken] {
            label(outcome).inspect(|label| drop(this.ended.get_or_create(&[("outcome", label)])));
        }
        this.register_logs(registry);
        registry.register(
            "daemonset_job_words_found_total",
            "Termination words that were found",
            this.found.clone(),
        );
        registry.register(
            "daemonset_job_record_duration_seconds",
            "Time from reading a termination word until it was recorded on its pod",
            this.recording.clone(),
        );
        registry.register(
            "daemonset_job_detection_latency_seconds",
            "Time from the end of the work on the last node until the Job was complete",
            this.latencies.clone(),
        );
        registry.register(
            "daemonset_job_jobs_deleted_total",
            "Finished Jobs that were deleted",
            this.deleted.clone(),
        );
        this
    }

    fn register_logs(&self, registry: &mut Registry) {
        let logs = self.logs.clone();
        registry.register(
            "daemonset_job_logs",
            "Logs that are to be read, by what is done about them",
            Computed::new(move || {
                let states = [
                    ("opening", &logs.opening),
                    ("open", &logs.open),
                    ("queued", &logs.queued),
                    ("resting", &logs.resting),
                ];
                states.map(|(state, logs)| ([("state", state)], number(logs))).into()
            }),
        );
        registry.register(
            "daemonset_job_log_follower_slots",
            "Logs that can be followed at the same time",
            self.logs.slots.clone(),
        );
        registry.register(
            "daemonset_job_log_followers_ended_total",
            "Followers of logs that ended by themselves, without the word",
            self.ended.clone(),
        );
        registry.register(
            "daemonset_job_log_read_bytes_total",
            "Bytes of logs that were read",
            self.read.clone(),
        );
        registry.register(
            "daemonset_job_logs_rotated_total",
            "Logs that were first read late and do not go back to the start of their container",
            self.rotated.clone(),
        );
    }

    /// The work begins, with so many followers at most. What was known of words is of no use: another
    /// replica may have worked meanwhile.
    pub(crate) fn begins(&self, slots: usize) {
        self.logs.slots.set(i64::try_from(slots).unwrap_or(i64::MAX));
        self.last_words.forget_all();
    }

    /// So many logs are in each state.
    pub(crate) fn follows(&self, counts: Counts) {
        let set = |gauge: &Gauge, logs| gauge.set(i64::try_from(logs).unwrap_or(i64::MAX));
        set(&self.logs.opening, counts.opening);
        set(&self.logs.open, counts.open);
        set(&self.logs.queued, counts.queued);
        set(&self.logs.resting, counts.resting);
    }

    /// A follower has ended.
    pub(crate) fn ended(&self, outcome: Outcome) {
        if let Some(label) = label(outcome) {
            self.ended.get_or_create(&[("outcome", label)]).inc();
        }
    }

    /// The word is in the log of `target`.
    pub(crate) fn found(&self, target: &Target) {
        self.found.inc();
        self.last_words.read(&target.namespace, &target.daemon_set, Instant::now());
    }

    /// A word that was found is being recorded until this is dropped: the event of what was recorded may
    /// be here before the answer, and then nobody waits for that any more.
    pub(crate) fn recording(&self) -> Recording<'_> {
        Recording { durations: &self.recording, since: Instant::now() }
    }

    /// The Job with this DaemonSet is seen to be complete.
    pub(crate) fn completed(&self, namespace: &str, daemon_set: &str) {
        if let Some(latency) = self.last_words.take(namespace, daemon_set, Instant::now()) {
            let labels = [("completion_mode", "TerminationWord")];
            self.latencies.get_or_create(&labels).observe(latency.as_secs_f64());
        }
    }

    /// The Job with this DaemonSet has failed, or is gone: what is told of one of its name is another story.
    pub(crate) fn forget(&self, namespace: &str, daemon_set: &str) {
        self.last_words.take(namespace, daemon_set, Instant::now());
    }
}

impl Default for Metrics {
    /// Metrics that nobody scrapes.
    fn default() -> Self {
        Self::new(&mut Registry::new("terminator"))
    }
}

/// A word that is being recorded.
pub(crate) struct Recording<'m> {
    durations: &'m Histogram,
    since: Instant,
}

impl Drop for Recording<'_> {
    fn drop(&mut self) {
        self.durations.observe(self.since.elapsed().as_secs_f64());
    }
}

/// From ten milliseconds to five minutes; the operator has the same.
fn latencies() -> [f64; 12] {
    [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 15.0, 60.0, 300.0]
}

/// None of a follower that has found the word.
fn label(outcome: Outcome) -> Option<&'static str> {
    match outcome {
        Outcome::Settled => None,
        Outcome::Ended => Some("ended"),
        Outcome::Silent => Some("silent"),
        Outcome::Broken => Some("broken"),
    }
}

#[expect(clippy::cast_precision_loss, reason = "there are not that many logs")]
fn number(gauge: &Gauge) -> f64 {
    gauge.get() as f64
}
