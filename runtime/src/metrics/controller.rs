//! The metrics of a controller: its reconciliations, and the errors of its watches.

use std::time::Duration;

use prometheus_client::metrics::{counter::Counter, histogram::Histogram};

use super::{families::Counters, registry::Registry};

/// Durations and errors of reconciliations. Clones count together.
#[derive(Clone, Debug)]
pub struct Reconciliations {
    durations: Histogram,
    errors: Counters<1>,
}

impl Reconciliations {
    /// Registers them, with these kinds of errors.
    #[must_use]
    pub fn new(registry: &mut Registry, error_kinds: &[&'static str]) -> Self {
        let buckets = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0];
        let this = Self { durations: Histogram::new(buckets), errors: Counters::default() };
        // A counter that starts at zero shows its first error.
        for kind in error_kinds {
            drop(this.errors.get_or_create(&[("kind", *kind)]));
        }
        registry.register(
            "daemonset_job_reconcile_duration_seconds",
            "Time that one reconciliation of a Job took",
            this.durations.clone(),
        );
        registry.register(
            "daemonset_job_reconcile_errors_total",
            "Reconciliations of a Job that failed and are tried again, by kind of error",
            this.errors.clone(),
        );
        this
    }

    /// Counts a reconciliation that is over, with the kind of its error if it failed.
    pub fn done(&self, duration: Duration, error: Option<&'static str>) {
        self.durations.observe(duration.as_secs_f64());
        if let Some(kind) = error {
            self.errors.get_or_create(&[("kind", kind)]).inc();
        }
    }
}

/// Errors of watches, by resource. Clones count together.
#[derive(Clone, Debug)]
pub struct WatchErrors(Counters<1>);

impl WatchErrors {
    /// Registers them.
    #[must_use]
    pub fn new(registry: &mut Registry) -> Self {
        let this = Self(Counters::default());
        registry.register(
            "daemonset_job_watch_errors_total",
            "Errors of watches, which are resumed after a wait, by resource",
            this.0.clone(),
        );
        this
    }

    /// Returns the counter of a resource.
    pub(crate) fn of(&self, resource: &'static str) -> Counter {
        self.0.get_or_create_owned(&[("resource", resource)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reconciliations_are_counted_with_their_errors() {
        let mut registry = Registry::new("operator");
        let reconciliations = Reconciliations::new(&mut registry, &["conflict", "server"]);
        reconciliations.done(Duration::from_millis(30), None);
        reconciliations.done(Duration::from_secs(2), Some("server"));
        let text = registry.scrape();
        for line in [
            "daemonset_job_reconcile_duration_seconds_count{process=\"operator\"} 2\n",
            "daemonset_job_reconcile_duration_seconds_bucket{le=\"0.05\",process=\"operator\"} 1\n",
            "daemonset_job_reconcile_errors_total{process=\"operator\",kind=\"server\"} 1\n",
            "daemonset_job_reconcile_errors_total{process=\"operator\",kind=\"conflict\"} 0\n",
        ] {
            let sorted = |line: &str| {
                let mut line: Vec<char> = line.chars().collect();
                line.sort_unstable();
                line
            };
            // The order of labels is the library's.
            assert!(text.lines().any(|found| sorted(found) == sorted(line.trim())), "{line}{text}");
        }
    }
}
