//! What a process tells Prometheus.
//!
//! Every label's values are known beforehand: no Job, pod or node is named, so that the number of time
//! series does not grow with the cluster. `docs/metrics.md` lists all of them, and a test compares.

mod controller;
mod leadership;
mod process;
mod requests;
mod text;

use std::fmt;

use prometheus_client::{
    encoding::{EncodeMetric, MetricEncoder},
    metrics::{MetricType, counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry,
};

pub use controller::{Reconciliations, WatchErrors};
pub(super) use leadership::Leadership;
pub(super) use requests::Requests;

/// `N` labels, as names and values.
pub type Labels<const N: usize> = [(&'static str, &'static str); N];
/// A counter for each combination of `N` labels.
pub type Counters<const N: usize> = Family<Labels<N>, Counter>;
/// A histogram for each value of a label.
pub type Histograms = Family<Labels<1>, Histogram>;

/// The metrics of one process.
#[derive(Debug)]
pub struct Registry {
    metrics: registry::Registry,
    described: Vec<Description>,
    pub(super) leadership: Leadership,
    pub(super) requests: Requests,
}

/// A metric that is registered.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Description {
    /// Its name, as it is scraped.
    pub name: &'static str,
    /// `counter`, `gauge` or `histogram`.
    pub kind: &'static str,
}

impl Registry {
    /// The metrics that every process has. `process` tells the two apart, as a label of all their
    /// metrics.
    #[must_use]
    pub fn new(process: &'static str) -> Self {
        let label = ("process".into(), process.into());
        let mut this = Self {
            metrics: registry::Registry::with_labels(std::iter::once(label)),
            described: Vec::new(),
            leadership: Leadership::default(),
            requests: Requests::default(),
        };
        let build = Family::<Labels<1>, Gauge>::default();
        build.get_or_create(&[("version", env!("CARGO_PKG_VERSION"))]).set(1);
        this.register("daemonset_job_build_info", "Always 1; the label is the version", build);
        let leadership = this.leadership.clone();
        this.register(
            "daemonset_job_leader",
            "Whether this replica leads, and so works: 1 or 0",
            Computed::one(move || Some(f64::from(u8::from(leadership.leads())))),
        );
        let requests = this.requests.clone();
        requests.register(&mut this);
        process::register(&mut this);
        this
    }

    /// Adds a metric. Of a counter, `name` ends in `_total`.
    pub fn register(
        &mut self,
        name: &'static str,
        help: &'static str,
        metric: impl EncodeMetric + fmt::Debug + Send + Sync + 'static,
    ) {
        let kind = match metric.metric_type() {
            MetricType::Counter => "counter",
            MetricType::Histogram => "histogram",
            _ => "gauge",
        };
        self.described.push(Description { name, kind });
        // The library appends it.
        self.metrics.register(name.strip_suffix(text::TOTAL).unwrap_or(name), help, metric);
    }

    /// The metrics that are registered, in their order.
    #[must_use]
    pub fn descriptions(&self) -> &[Description] {
        &self.described
    }

    /// All metrics as they are now, in the text format of Prometheus, version 0.0.4.
    #[must_use]
    pub fn scrape(&self) -> String {
        let mut open_metrics = String::new();
        // Writing to a string does not fail, and neither does encoding what is registered here.
        let _ =
            prometheus_client::encoding::text::encode_registry(&mut open_metrics, &self.metrics);
        text::prometheus(&open_metrics)
    }
}

/// Histograms of durations that are told apart by a label, with these upper bounds in seconds.
#[must_use]
pub fn histograms(buckets: fn() -> Histogram) -> Histograms {
    Family::new_with_constructor(buckets)
}

/// Gauges that are computed when they are scraped.
pub struct Computed<const N: usize>(Box<dyn Fn() -> Vec<(Labels<N>, f64)> + Send + Sync>);

impl<const N: usize> Computed<N> {
    /// A gauge for each combination of labels that `compute` tells of.
    pub fn new(compute: impl Fn() -> Vec<(Labels<N>, f64)> + Send + Sync + 'static) -> Self {
        Self(Box::new(compute))
    }
}

impl Computed<0> {
    /// One gauge, which is absent while its value is not known.
    pub fn one(compute: impl Fn() -> Option<f64> + Send + Sync + 'static) -> Self {
        Self::new(move || compute().map(|value| ([], value)).into_iter().collect())
    }
}

impl<const N: usize> EncodeMetric for Computed<N> {
    fn encode(&self, mut encoder: MetricEncoder) -> Result<(), fmt::Error> {
        (self.0)()
            .iter()
            .try_for_each(|(labels, value)| encoder.encode_family(labels)?.encode_gauge(value))
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Gauge
    }
}

impl<const N: usize> fmt::Debug for Computed<N> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Computed")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_registered_is_scraped_with_the_label_of_its_process() {
        let mut registry = Registry::new("operator");
        let words = Counter::<u64>::default();
        registry.register("daemonset_job_words_found_total", "Words", words.clone());
        words.inc_by(3);
        registry.register("daemonset_job_answer", "Known", Computed::one(|| Some(42.5)));
        registry.register("daemonset_job_riddle", "Not known", Computed::one(|| None));
        let text = registry.scrape();
        assert!(text.contains("# TYPE daemonset_job_words_found_total counter\n"), "{text}");
        for line in [
            "daemonset_job_words_found_total{process=\"operator\"} 3\n",
            "daemonset_job_answer{process=\"operator\"} 42.5\n",
        ] {
            assert!(text.contains(line), "{text}");
        }
        assert!(!text.contains("\ndaemonset_job_riddle"), "{text}");
        let last = registry.descriptions()[registry.descriptions().len() - 3];
        assert_eq!(last, Description { name: "daemonset_job_words_found_total", kind: "counter" });
    }

    #[test]
    fn a_process_tells_of_itself() {
        let text = Registry::new("terminator").scrape();
        for name in [
            "daemonset_job_build_info",
            "daemonset_job_leader",
            "process_resident_memory_bytes",
            "process_open_fds",
            "process_start_time_seconds",
        ] {
            let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default();
            assert!(line.contains("{process=\"terminator\""), "{name}: {line:?}");
        }
    }
}
