//! Types of metrics with labels.

use std::fmt;

use prometheus_client::{
    encoding::{EncodeMetric, MetricEncoder},
    metrics::{MetricType, counter::Counter, family::Family, histogram::Histogram},
};

/// `N` labels, as names and values.
pub type Labels<const N: usize> = [(&'static str, &'static str); N];
/// A counter for each combination of `N` labels.
pub type Counters<const N: usize> = Family<Labels<N>, Counter>;
/// A histogram for each value of a label.
pub type Histograms = Family<Labels<1>, Histogram>;

/// Makes a histogram for each value of a label, with these buckets.
#[must_use]
pub fn histograms(buckets: fn() -> Histogram) -> Histograms {
    Family::new_with_constructor(buckets)
}

/// Gauges that are computed at each scrape.
pub struct Computed<const N: usize>(Box<dyn Fn() -> Vec<(Labels<N>, f64)> + Send + Sync>);

impl<const N: usize> Computed<N> {
    /// Makes a gauge for each combination of labels that `compute` returns.
    pub fn new(compute: impl Fn() -> Vec<(Labels<N>, f64)> + Send + Sync + 'static) -> Self {
        Self(Box::new(compute))
    }
}

impl Computed<0> {
    /// Makes one gauge, which is absent while `compute` returns nothing.
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
