//! Reads the text format of Prometheus. That our processes keep to it is for promtool to check.
//! <https://prometheus.io/docs/instrumenting/exposition_formats/#text-format-details>

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};

/// What a process exposes.
#[derive(Debug, Default)]
pub(crate) struct Exposition {
    /// Kinds of metrics by name.
    kinds: BTreeMap<String, String>,
    pub(crate) samples: Vec<Sample>,
}

/// One time series.
#[derive(Debug, PartialEq)]
pub(crate) struct Sample {
    /// With its ending, such as `_bucket`.
    pub(crate) name: String,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) value: f64,
}

impl Exposition {
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let mut this = Self::default();
        for line in text.lines() {
            if let Some(kind) = line.strip_prefix("# TYPE ") {
                let (name, kind) = kind.split_once(' ').context("no type")?;
                this.kinds.insert(name.to_owned(), kind.to_owned());
            } else if !line.starts_with('#') {
                let sample = Sample::parse(line).with_context(|| format!("in {line:?}"))?;
                let is_it = |it: &Sample| it.name == sample.name && it.labels == sample.labels;
                ensure!(!this.samples.iter().any(is_it), "twice: {line:?}");
                this.samples.push(sample);
            }
        }
        Ok(this)
    }

    /// The name of the metric that a series of this name belongs to.
    pub(crate) fn metric<'n>(&self, series: &'n str) -> Option<&'n str> {
        if self.kinds.contains_key(series) {
            return Some(series);
        }
        let mut endings = ["_bucket", "_sum", "_count"].iter();
        endings
            .find_map(|ending| series.strip_suffix(ending))
            .filter(|name| self.kinds.get(*name).is_some_and(|kind| kind == "histogram"))
    }

    /// Whether a series of this name only grows.
    pub(crate) fn counts(&self, series: &str) -> bool {
        let kind = self.metric(series).and_then(|metric| self.kinds.get(metric));
        kind.is_some_and(|kind| kind != "gauge")
    }

    /// The value of the one series of this name with these labels among its own.
    pub(crate) fn value(&self, name: &str, labels: &[(&str, &str)]) -> Result<f64> {
        let has = |sample: &&Sample| {
            let is_its = |(label, value): &(&str, &str)| {
                sample.labels.get(*label).is_some_and(|found| found == value)
            };
            sample.name == name && labels.iter().all(is_its)
        };
        let mut found = self.samples.iter().filter(has);
        let sample = found.next().with_context(|| format!("no {name} with {labels:?}"))?;
        ensure!(found.next().is_none(), "more than one {name} with {labels:?}");
        Ok(sample.value)
    }
}

impl Sample {
    /// No value of a label of ours needs an escape.
    fn parse(line: &str) -> Result<Self> {
        let (series, value) = line.rsplit_once(' ').context("no value")?;
        let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
        let labels = labels.strip_suffix('}').context("no end of labels")?;
        let labels = labels.split_terminator("\",").map(|label| {
            let (label, value) = label.split_once("=\"").context("a label without a value")?;
            Ok((label.to_owned(), value.trim_end_matches('"').to_owned()))
        });
        let labels = labels.collect::<Result<_>>()?;
        Ok(Self { name: name.to_owned(), labels, value: value.parse()? })
    }
}
