//! The metrics of one process.

use std::fmt;

use prometheus_client::{
    encoding::EncodeMetric,
    metrics::{MetricType, family::Family, gauge::Gauge},
    registry,
};

use super::{
    families::{Computed, Labels},
    leadership::Leadership,
    process,
    requests::Requests,
    text,
};

/// The metrics of one process.
#[derive(Debug)]
pub struct Registry {
    metrics: registry::Registry,
    described: Vec<Description>,
    pub(crate) leadership: Leadership,
    pub(crate) requests: Requests,
}

/// A registered metric.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Description {
    /// Name, as it is scraped.
    pub name: &'static str,
    /// `counter`, `gauge` or `histogram`.
    pub kind: &'static str,
}

impl Registry {
    /// Registers the metrics that every process has, with `process` as a label of all.
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
        this.register_requests();
        this.register_process();
        this
    }

    fn register_requests(&mut self) {
        let Requests { total, durations } = self.requests.clone();
        self.register(
            "daemonset_job_api_requests_total",
            "Requests to the API server, by verb, resource and code of the answer",
            total,
        );
        self.register(
            "daemonset_job_api_request_duration_seconds",
            "Time until the API server began to answer",
            durations,
        );
    }

    fn register_process(&mut self) {
        self.register(
            "process_resident_memory_bytes",
            "Resident memory size in bytes",
            Computed::one(process::resident_memory),
        );
        self.register(
            "process_open_fds",
            "Number of open file descriptors",
            Computed::one(process::open_files),
        );
        let started = process::now();
        self.register(
            "process_start_time_seconds",
            "Start time of the process since the Unix epoch in seconds",
            Computed::one(move || started),
        );
    }

    /// Registers a metric. The name of a counter ends in `_total`.
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
        // The library appends the suffix.
        self.metrics.register(name.strip_suffix(text::TOTAL).unwrap_or(name), help, metric);
    }

    /// Returns the registered metrics, in their order.
    #[must_use]
    pub fn descriptions(&self) -> &[Description] {
        &self.described
    }

    /// Renders all metrics in the text format of Prometheus, version 0.0.4.
    #[must_use]
    pub fn scrape(&self) -> String {
        let mut open_metrics = String::new();
        // Writing to a string does not fail, and neither does encoding these metrics.
        let _ =
            prometheus_client::encoding::text::encode_registry(&mut open_metrics, &self.metrics);
        text::prometheus(&open_metrics)
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::metrics::counter::Counter;

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
