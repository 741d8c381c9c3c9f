//! What every controller tells of itself: its reconciliations, and its watches.

use std::time::Duration;

use futures::{Stream, StreamExt};
use kube::runtime::watcher;
use prometheus_client::metrics::histogram::Histogram;
use tracing::warn;

use super::{Counters, Registry};
use crate::runtime::error::{self, WatchError};

/// Reconciliations: how long they take, and why they fail. Clones count together.
#[derive(Clone, Debug)]
pub struct Reconciliations {
    durations: Histogram,
    errors: Counters<1>,
}

impl Reconciliations {
    /// Those of the controller of `registry`'s process, of which nothing has been seen yet.
    #[must_use]
    pub fn new(registry: &mut Registry) -> Self {
        let buckets = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0];
        let this = Self { durations: Histogram::new(buckets), errors: Counters::default() };
        // What is counted from zero shows its first error.
        for kind in error::KINDS {
            drop(this.errors.get_or_create(&[("kind", kind)]));
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

    /// One is over, with this [kind](error::kind) of error if it failed.
    pub fn done(&self, duration: Duration, error: Option<&'static str>) {
        self.durations.observe(duration.as_secs_f64());
        if let Some(kind) = error {
            self.errors.get_or_create(&[("kind", kind)]).inc();
        }
    }
}

/// Errors of watches, counted and logged. Clones count together.
#[derive(Clone, Debug)]
pub struct WatchErrors(Counters<1>);

impl WatchErrors {
    /// Those of `registry`'s process.
    #[must_use]
    pub fn new(registry: &mut Registry) -> Self {
        let this = Self(Counters::default());
        registry.register(
            "daemonset_job_watch_errors_total",
            "Errors of watches, which rest and are taken up again, by resource",
            this.0.clone(),
        );
        this
    }

    /// Counts the errors among these events of a watch of `resource`, and logs them.
    pub fn count<T, S>(
        &self,
        resource: &'static str,
        events: S,
    ) -> impl Stream<Item = watcher::Result<T>> + Send + use<T, S>
    where
        T: Send,
        S: Stream<Item = watcher::Result<T>> + Send,
    {
        let errors = self.0.get_or_create_owned(&[("resource", resource)]);
        events.inspect(move |event| {
            if let Err(error) = event {
                errors.inc();
                warn!("the watch of {resource} rests: {}", WatchError(error));
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn errors_of_watches_are_counted_from_zero_and_passed_on() {
        let mut registry = Registry::new("operator");
        let errors = WatchErrors::new(&mut registry);
        let line = |errors| {
            let labels = "process=\"operator\",resource=\"pods\"";
            format!("daemonset_job_watch_errors_total{{{labels}}} {errors}\n")
        };
        let events = [Ok(1), Err(watcher::Error::NoResourceVersion), Ok(2)];
        let events = errors.count("pods", futures::stream::iter(events));
        assert!(registry.scrape().contains(&line(0)), "{}", registry.scrape());
        assert_eq!(events.collect::<Vec<_>>().await.len(), 3);
        assert!(registry.scrape().contains(&line(1)), "{}", registry.scrape());
    }

    #[test]
    fn reconciliations_are_counted_with_their_errors() {
        let mut registry = Registry::new("operator");
        let reconciliations = Reconciliations::new(&mut registry);
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
