//! The metrics of the operator. `docs/metrics.md` describes them.

mod detection;
mod hand_over;
mod job_counts;

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use api::job::{MaybeJob, conditions::Reason};
use k8s_openapi::jiff::Timestamp;
use kube::runtime::reflector::Store;
use prometheus_client::metrics::histogram::Histogram;
use runtime::{
    client::ERROR_KINDS,
    metrics::{Computed, Histograms, Labels, Reconciliations, Registry, WatchErrors, histograms},
};

pub(crate) use self::detection::last_end;
use self::{hand_over::HandOvers, job_counts::JobCounts};

/// The reasons of finished Jobs.
const FINAL: [Reason; 5] = [
    Reason::Completed,
    Reason::NoMatchingNodes,
    Reason::DeadlineExceeded,
    Reason::MaxFailedNodesExceeded,
    Reason::NodesFailed,
];

/// The mode of the Jobs whose detection the operator measures.
const BY_EXIT_CODE: Labels<1> = [("completion_mode", "ExitCode")];

/// The metrics of the operator. Clones count together.
#[derive(Clone, Debug)]
pub struct Metrics {
    pub(crate) reconciliations: Reconciliations,
    pub(crate) watch_errors: WatchErrors,
    jobs: TrackedJobs,
    durations: Histograms,
    detection_latencies: Histograms,
    pub(crate) hand_overs: HandOvers,
}

impl Metrics {
    /// Registers the metrics.
    #[must_use]
    pub fn new(registry: &mut Registry) -> Self {
        let this = Self {
            reconciliations: Reconciliations::new(registry, &ERROR_KINDS),
            watch_errors: WatchErrors::new(registry),
            jobs: TrackedJobs::default(),
            durations: histograms(durations),
            detection_latencies: histograms(detection::buckets),
            hand_overs: HandOvers::default(),
        };
        registry.register(
            "daemonset_job_jobs",
            "Jobs that exist, by phase",
            this.jobs.gauges(JobCounts::phases),
        );
        registry.register(
            "daemonset_job_nodes",
            "Nodes of the Jobs that exist, by what has become of the work on them",
            this.jobs.gauges(JobCounts::nodes),
        );
        registry.register(
            "daemonset_job_places_in_use",
            "Nodes that hold a place in a Job whose nodes take turns",
            this.jobs.gauge(JobCounts::places_in_use),
        );
        registry.register(
            "daemonset_job_hand_over_latency_seconds",
            "Time from seeing that a node's work has ended until the node that follows it may start",
            this.hand_overs.histogram(),
        );
        let jobs = this.jobs.clone();
        registry.register(
            "daemonset_job_oldest_unfinished_job_age_seconds",
            "Time since the start of the Job that has run for the longest; 0 if none runs",
            Computed::one(move || jobs.counts().map(|counts| counts.oldest_age(Timestamp::now()))),
        );
        for reason in FINAL {
            drop(this.durations.get_or_create(&[("reason", reason.as_str())]));
        }
        registry.register(
            "daemonset_job_job_duration_seconds",
            "Time from the start of a Job until it was finished, by the reason for which it is",
            this.durations.clone(),
        );
        drop(this.detection_latencies.get_or_create(&BY_EXIT_CODE));
        registry.register(
            "daemonset_job_detection_latency_seconds",
            "Time from the end of the work on the last node until the Job was complete",
            this.detection_latencies.clone(),
        );
        this
    }

    /// Counts the Jobs in `store` until the guard is dropped.
    pub(crate) fn track(&self, store: Store<MaybeJob>) -> TrackGuard {
        self.jobs.set(Some(store));
        TrackGuard(self.jobs.clone())
    }

    /// Counts a Job that was finished for `reason` after some seconds.
    pub(crate) fn finished(&self, reason: Reason, seconds: f64) {
        if FINAL.contains(&reason) {
            self.durations.get_or_create(&[("reason", reason.as_str())]).observe(seconds);
        }
    }

    /// Observes the time from the end of the last node's work until a Job was complete.
    pub(crate) fn observe_detection(&self, latency: Duration) {
        self.detection_latencies.get_or_create(&BY_EXIT_CODE).observe(latency.as_secs_f64());
    }
}

impl Default for Metrics {
    /// Makes metrics that nobody scrapes.
    fn default() -> Self {
        Self::new(&mut Registry::new("operator"))
    }
}

/// Makes a histogram from a second to a day.
fn durations() -> Histogram {
    Histogram::new([1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14_400.0, 86_400.0])
}

/// The cache of the Jobs; none while this replica stands by.
#[derive(Clone, Default)]
struct TrackedJobs(Arc<Mutex<Option<Store<MaybeJob>>>>);

impl TrackedJobs {
    fn set(&self, store: Option<Store<MaybeJob>>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = store;
    }

    fn counts(&self) -> Option<JobCounts> {
        let store = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()?;
        Some(JobCounts::of(store.state().iter().map(|job| job.0.as_ref().ok())))
    }

    fn gauge(&self, select: fn(&JobCounts) -> f64) -> Computed<0> {
        let jobs = self.clone();
        Computed::one(move || jobs.counts().as_ref().map(select))
    }

    fn gauges(&self, select: fn(&JobCounts) -> Vec<(Labels<1>, f64)>) -> Computed<1> {
        let jobs = self.clone();
        Computed::new(move || jobs.counts().as_ref().map(select).unwrap_or_default())
    }
}

impl fmt::Debug for TrackedJobs {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("TrackedJobs")
    }
}

/// Ends the counting of Jobs when it is dropped.
pub(crate) struct TrackGuard(TrackedJobs);

impl Drop for TrackGuard {
    fn drop(&mut self) {
        self.0.set(None);
    }
}
