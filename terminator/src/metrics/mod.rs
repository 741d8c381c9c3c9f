//! The metrics of the terminator. `docs/metrics.md` describes them.

mod last_words;

use std::time::Instant;

use prometheus_client::metrics::{counter::Counter, gauge::Gauge, histogram::Histogram};
use runtime::{
    client::ERROR_KINDS,
    metrics::{
        Computed, Counters, Histograms, Labels, Reconciliations, Registry, WatchErrors, histograms,
    },
};

use self::last_words::LastWords;

/// The outcomes of followers that ended without the word.
const OUTCOMES: [&str; 3] = ["ended", "silent", "broken"];

/// The mode of the Jobs whose detection the terminator measures.
const BY_WORD: Labels<1> = [("completion_mode", "TerminationWord")];

/// Numbers of logs by state.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct LogCounts {
    /// Logs that are being opened.
    pub(crate) opening: usize,
    /// Logs that are open.
    pub(crate) open: usize,
    /// Logs that wait for a slot.
    pub(crate) queued: usize,
    /// Logs that wait to be opened again.
    pub(crate) resting: usize,
}

/// The metrics of the terminator. Clones count together.
#[derive(Clone, Debug)]
pub struct Metrics {
    pub(crate) reconciliations: Reconciliations,
    pub(crate) watch_errors: WatchErrors,
    /// Bytes of logs that were read.
    pub(crate) bytes_read: Counter,
    /// Logs that were reported for their missing beginning.
    pub(crate) rotated: Counter,
    /// Jobs that were deleted.
    pub(crate) deleted: Counter,
    logs: Logs,
    ends: Counters<1>,
    words_found: Counter,
    record_durations: Histogram,
    last_words: LastWords,
    detection_latencies: Histograms,
}

/// Numbers of slots, and of logs by state.
#[derive(Clone, Debug, Default)]
struct Logs {
    slots: Gauge,
    opening: Gauge,
    open: Gauge,
    queued: Gauge,
    resting: Gauge,
}

impl Metrics {
    /// Registers the metrics.
    #[must_use]
    pub fn new(registry: &mut Registry) -> Self {
        let this = Self {
            reconciliations: Reconciliations::new(registry, &ERROR_KINDS),
            watch_errors: WatchErrors::new(registry),
            bytes_read: Counter::default(),
            rotated: Counter::default(),
            deleted: Counter::default(),
            logs: Logs::default(),
            ends: Counters::default(),
            words_found: Counter::default(),
            record_durations: Histogram::new(latencies()),
            last_words: LastWords::default(),
            detection_latencies: histograms(|| Histogram::new(latencies())),
        };
        for outcome in OUTCOMES {
            drop(this.ends.get_or_create(&[("outcome", outcome)]));
        }
        this.register_logs(registry);
        registry.register(
            "daemonset_job_words_found_total",
            "Termination words that were found",
            this.words_found.clone(),
        );
        registry.register(
            "daemonset_job_record_duration_seconds",
            "Time from reading a termination word until it was recorded on its pod",
            this.record_durations.clone(),
        );
        drop(this.detection_latencies.get_or_create(&BY_WORD));
        registry.register(
            "daemonset_job_detection_latency_seconds",
            "Time from the end of the work on the last node until the Job was complete",
            this.detection_latencies.clone(),
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
            self.ends.clone(),
        );
        registry.register(
            "daemonset_job_log_read_bytes_total",
            "Bytes of logs that were read",
            self.bytes_read.clone(),
        );
        registry.register(
            "daemonset_job_logs_rotated_total",
            "Logs that were opened late and do not go back to the start of their container, or to what was read",
            self.rotated.clone(),
        );
    }

    /// Begins the work with this number of slots.
    ///
    /// Earlier words are forgotten, for another replica may have worked meanwhile.
    pub(crate) fn begin(&self, slots: usize) {
        self.logs.slots.set(i64::try_from(slots).unwrap_or(i64::MAX));
        self.last_words.clear();
    }

    /// Sets the numbers of logs by state.
    pub(crate) fn set_logs(&self, counts: LogCounts) {
        let set = |gauge: &Gauge, logs| gauge.set(i64::try_from(logs).unwrap_or(i64::MAX));
        set(&self.logs.opening, counts.opening);
        set(&self.logs.open, counts.open);
        set(&self.logs.queued, counts.queued);
        set(&self.logs.resting, counts.resting);
    }

    /// Counts a follower that ended with one of [`OUTCOMES`].
    pub(crate) fn count_end(&self, outcome: &'static str) {
        self.ends.get_or_create(&[("outcome", outcome)]).inc();
    }

    /// Counts a word that was found for a Job, and notes its time.
    pub(crate) fn observe_word(&self, namespace: &str, daemon_set: &str) {
        self.words_found.inc();
        self.last_words.insert(namespace, daemon_set, Instant::now());
    }

    /// Measures the time until a word is recorded, when the timer is dropped.
    ///
    /// The event of the new condition may come before the answer, and then the follower is stopped.
    pub(crate) fn start_recording(&self) -> RecordTimer<'_> {
        RecordTimer { durations: &self.record_durations, since: Instant::now() }
    }

    /// Measures the time from the last word of a Job until it was complete.
    pub(crate) fn observe_completion(&self, namespace: &str, daemon_set: &str) {
        if let Some(latency) = self.last_words.take(namespace, daemon_set, Instant::now()) {
            self.detection_latencies.get_or_create(&BY_WORD).observe(latency.as_secs_f64());
        }
    }

    /// Forgets the words of a Job that has failed or is gone.
    pub(crate) fn forget(&self, namespace: &str, daemon_set: &str) {
        self.last_words.take(namespace, daemon_set, Instant::now());
    }
}

impl Default for Metrics {
    /// Makes metrics that nobody scrapes.
    fn default() -> Self {
        Self::new(&mut Registry::new("terminator"))
    }
}

/// The timer of a word that is being recorded.
pub(crate) struct RecordTimer<'m> {
    durations: &'m Histogram,
    since: Instant,
}

impl Drop for RecordTimer<'_> {
    fn drop(&mut self) {
        self.durations.observe(self.since.elapsed().as_secs_f64());
    }
}

/// Returns buckets from ten milliseconds to five minutes, as the operator has them.
fn latencies() -> [f64; 12] {
    [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 15.0, 60.0, 300.0]
}

#[expect(clippy::cast_precision_loss, reason = "there are not that many logs")]
fn number(gauge: &Gauge) -> f64 {
    gauge.get() as f64
}
