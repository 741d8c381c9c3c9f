//! What the operator tells Prometheus. `docs/metrics.md` says what each of it answers.

mod census;
mod latency;

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use api::{
    conditions::Reason,
    runtime::{
        Registry,
        metrics::{Computed, Histograms, Labels, Reconciliations, WatchErrors, histograms},
    },
};
use k8s_openapi::jiff::Timestamp;
use kube::runtime::reflector::Store;
use prometheus_client::metrics::histogram::Histogram;

use self::census::Census;
pub(crate) use self::latency::last_end;
use crate::controller::MaybeJob;

/// The reasons for which a Job is finished.
const FINAL: [Reason; 5] = [
    Reason::Completed,
    Reason::NoMatchingNodes,
    Reason::DeadlineExceeded,
    Reason::MaxFailedNodesExceeded,
    Reason::NodesFailed,
];

/// The metrics of the operator. Clones count together.
#[derive(Clone, Debug)]
pub struct Metrics {
    pub(crate) reconciliations: Reconciliations,
    pub(crate) watch_errors: WatchErrors,
    jobs: Jobs,
    durations: Histograms,
    latencies: Histograms,
}

impl Metrics {
    /// Registers them.
    #[must_use]
    pub fn new(registry: &mut Registry) -> Self {
        let this = Self {
            reconciliations: Reconciliations::new(registry),
            watch_errors: WatchErrors::new(registry),
            jobs: Jobs::default(),
            durations: histograms(durations),
            latencies: histograms(latency::buckets),
        };
        registry.register(
            "daemonset_job_jobs",
            "Jobs that exist, by phase",
            this.jobs.count(Census::phases),
        );
        registry.register(
            "daemonset_job_nodes",
            "Nodes of the Jobs that exist, by what has become of the work on them",
            this.jobs.count(Census::nodes),
        );
        let jobs = this.jobs.clone();
        registry.register(
            "daemonset_job_oldest_unfinished_job_age_seconds",
            "Time since the start of the Job that has run for the longest; 0 if none runs",
            Computed::one(move || jobs.census().map(|census| census.oldest(Timestamp::now()))),
        );
        for reason in FINAL {
            drop(this.durations.get_or_create(&[("reason", reason.as_str())]));
        }
        registry.register(
            "daemonset_job_job_duration_seconds",
            "Time from the start of a Job until it was finished, by the reason for which it is",
            this.durations.clone(),
        );
        registry.register(
            "daemonset_job_detection_latency_seconds",
            "Time from the end of the work on the last node until the Job was complete",
            this.latencies.clone(),
        );
        this
    }

    /// Counts what is in `store` until the guard is dropped.
    pub(crate) fn show(&self, store: Store<MaybeJob>) -> Showing {
        self.jobs.set(Some(store));
        Showing(self.jobs.clone())
    }

    /// A Job is finished for `reason`, which took so many seconds.
    pub(crate) fn finished(&self, reason: &str, seconds: f64) {
        if let Some(reason) = FINAL.iter().find(|known| known.as_str() == reason) {
            self.durations.get_or_create(&[("reason", reason.as_str())]).observe(seconds);
        }
    }

    /// A Job in `ExitCode` mode is complete so long after the end of the work on its last node.
    pub(crate) fn noticed(&self, latency: Duration) {
        let labels = [("completion_mode", "ExitCode")];
        self.latencies.get_or_create(&labels).observe(latency.as_secs_f64());
    }
}

impl Default for Metrics {
    /// Metrics that nobody scrapes.
    fn default() -> Self {
        Self::new(&mut Registry::new("operator"))
    }
}

/// From a second to a day.
fn durations() -> Histogram {
    Histogram::new([1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14_400.0, 86_400.0])
}

/// The cache of the Jobs, while there is one: replicas that stand by have none.
#[derive(Clone, Default)]
struct Jobs(Arc<Mutex<Option<Store<MaybeJob>>>>);

impl Jobs {
    fn set(&self, store: Option<Store<MaybeJob>>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = store;
    }

    fn census(&self) -> Option<Census> {
        let store = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()?;
        Some(Census::of(store.state().iter().map(|job| job.0.as_ref().ok())))
    }

    fn count(&self, what: fn(&Census) -> Vec<(Labels<1>, f64)>) -> Computed<1> {
        let jobs = self.clone();
        Computed::new(move || jobs.census().as_ref().map(what).unwrap_or_default())
    }
}

impl fmt::Debug for Jobs {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Jobs")
    }
}

/// While this lives, the Jobs of a cache are counted.
pub(crate) struct Showing(Jobs);

impl Drop for Showing {
    fn drop(&mut self) {
        self.0.set(None);
    }
}
