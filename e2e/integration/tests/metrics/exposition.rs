//! Reads the text format of Prometheus, and nothing that is not it.
//! <https://prometheus.io/docs/instrumenting/exposition_formats/#text-format-details>

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result, bail, ensure};

/// What a process exposes.
#[derive(Debug, Default)]
pub(crate) struct Exposition {
    /// Kinds of metrics by name.
    pub(crate) kinds: BTreeMap<String, String>,
    pub(crate) samples: Vec<Sample>,
}

/// One time series.
#[derive(Debug)]
pub(crate) struct Sample {
    /// With its ending, such as `_bucket`.
    pub(crate) name: String,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) value: f64,
}

impl Exposition {
    /// # Errors
    /// With the line that is not as the format has it.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        ensure!(text.ends_with('\n'), "the last line has no end");
        let mut this = Self::default();
        let (mut helped, mut seen) = (BTreeSet::new(), BTreeSet::new());
        for line in text.lines() {
            this.add(line, &mut helped).with_context(|| format!("in {line:?}"))?;
            if let Some(sample) = this.samples.last().filter(|_| !line.starts_with('#')) {
                let series = (sample.name.clone(), sample.labels.clone());
                ensure!(seen.insert(series), "twice: {line:?}");
            }
        }
        Ok(this)
    }

    fn add(&mut self, line: &str, helped: &mut BTreeSet<String>) -> Result<()> {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, text) = help.split_once(' ').context("no help")?;
            ensure!(!text.is_empty() && helped.insert(name.to_owned()), "none, or more than one");
            return Ok(());
        }
        if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').context("no type")?;
            ensure!(["counter", "gauge", "histogram"].contains(&kind), "no type of ours");
            ensure!(helped.contains(name), "no help before it");
            let known = self.kinds.insert(name.to_owned(), kind.to_owned());
            ensure!(known.is_none(), "a second type");
            return Ok(());
        }
        let sample = Sample::parse(line)?;
        let metric = self.metric(&sample.name).context("no type before it")?;
        ensure!(self.kinds.keys().next_back().is_some(), "no metric");
        if self.kinds[metric] == "counter" {
            ensure!(sample.name.ends_with("_total") && sample.value >= 0.0, "no counter");
        }
        self.samples.push(sample);
        Ok(())
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

    /// The value of the one series of this name with these labels among its own.
    ///
    /// # Errors
    /// When there is none, or more than one.
    pub(crate) fn value(&self, name: &str, labels: &[(&str, &str)]) -> Result<f64> {
        let has = |sample: &&Sample| {
            sample.name == name
                && labels.iter().all(|(label, value)| {
                    sample.labels.get(*label).is_some_and(|found| found == value)
                })
        };
        let mut found = self.samples.iter().filter(has);
        let sample = found.next().with_context(|| format!("no {name} with {labels:?}"))?;
        ensure!(found.next().is_none(), "more than one {name} with {labels:?}");
        Ok(sample.value)
    }
}

impl Sample {
    fn parse(line: &str) -> Result<Self> {
        let (series, value) = line.rsplit_once(' ').context("no value")?;
        let (name, mut rest) = match series.split_once('{') {
            Some((name, labels)) => (name, labels.strip_suffix('}').context("no end of labels")?),
            None => (series, ""),
        };
        ensure!(is_name(name), "not a name");
        let mut labels = BTreeMap::new();
        while !rest.is_empty() {
            let (label, quoted) = rest.split_once("=\"").context("a label without a value")?;
            ensure!(is_name(label), "not a label");
            // No value of ours needs an escape.
            let (value, after) = quoted.split_once('"').context("no end of a value")?;
            ensure!(!value.contains('\\'), "an escape");
            ensure!(labels.insert(label.to_owned(), value.to_owned()).is_none(), "a label twice");
            rest = match after.strip_prefix(',') {
                Some(after) if !after.is_empty() => after,
                None if after.is_empty() => after,
                _ => bail!("something after a value"),
            };
        }
        let value = if value == "+Inf" { f64::INFINITY } else { value.parse()? };
        Ok(Self { name: name.to_owned(), labels, value })
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty()
        && !text.starts_with(|c: char| c.is_ascii_digit())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

#[test]
fn what_is_not_the_format_is_refused() {
    let header = "# HELP a_total A.\n# TYPE a_total counter\n";
    assert!(Exposition::parse(&format!("{header}a_total{{b=\"c\"}} 1\n")).is_ok());
    for bad in [
        "a_total 1",
        "a_total\n",
        "b 1\n",
        "a_total{b=\"c} 1\n",
        "a_total{b=\"c\"d=\"e\"} 1\n",
        "a_total -1\n",
        "a_total x\n",
        "a_total 1\na_total 2\n",
        "# TYPE a_total counter\n",
        "# EOF\n",
    ] {
        assert!(Exposition::parse(&format!("{header}{bad}")).is_err(), "{bad}");
    }
}
