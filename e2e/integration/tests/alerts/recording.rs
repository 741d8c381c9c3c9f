//! What Prometheus would have scraped while an alert was caused, and a time lapse of it.
//!
//! The processes are scraped each second before, during and after the cause. Rules look at minutes, so each of these
//! times is then drawn out to minutes: gauges keep what they came to, and counters go on counting as fast as they did.
//! promtool evaluates the shipped rules over that.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use harness::paths;
use harness::process::LogDir;
use serde_json::{Value, json};

use crate::cluster::artifacts;
use crate::metrics::{promtool, scrape};
use crate::program::Program;

/// The shipped rules, in the workspace.
const RULES: &str = "deploy/monitoring/alerts.yaml";

/// How often the processes are scraped, and how often at least in each part.
const INTERVAL: Duration = Duration::from_secs(1);
const SCRAPES: usize = 5;

/// How many seconds each part is drawn out to: longer than any rule waits, and then than any looks back.
const LAPSES: [usize; 3] = [10 * 60, 25 * 60, 40 * 60];

/// The processes that are scraped, with the names of their pods.
pub(crate) type Targets<'p> = [(&'static str, &'p Program)];

/// The values of all series at one time, by their names in PromQL.
type Scrape = BTreeMap<String, f64>;

/// Part of a recording.
#[derive(Debug)]
struct Part {
    scrapes: Vec<Scrape>,
    /// Whether what has changed since the part before belongs to this one, and repeats.
    repeats_all: bool,
}

/// What was scraped before, during and after the causes of alerts.
pub(crate) struct Recording {
    /// The rules as shipped, but for their annotations.
    rules: Vec<Value>,
    parts: Vec<Part>,
    /// The series that count.
    counters: BTreeSet<String>,
}

impl Recording {
    pub(crate) fn of(alerts: &[&str]) -> Result<Self> {
        let mut rules = shipped()?;
        rules.retain(|rule| alerts.iter().any(|alert| rule["alert"] == *alert));
        ensure!(rules.len() == alerts.len(), "not one rule for each of {alerts:?}");
        for rule in &mut rules {
            // promtool compares texts, which are no part of what is shown here.
            rule.as_object_mut().context("no rule")?.remove("annotations");
        }
        Ok(Self { rules, parts: Vec::new(), counters: BTreeSet::new() })
    }

    /// Records for a while in which nothing happens.
    pub(crate) async fn quiet(&mut self, targets: &Targets<'_>) -> Result<()> {
        self.record(targets, false, async { Ok(()) }).await
    }

    /// Records while `cause` makes it happen, and a while longer.
    pub(crate) async fn during<T>(
        &mut self,
        targets: &Targets<'_>,
        cause: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        self.record(targets, true, cause).await
    }

    async fn record<T>(
        &mut self,
        targets: &Targets<'_>,
        repeats_all: bool,
        work: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let mut scrapes = Vec::new();
        let mut work = std::pin::pin!(work);
        let mut done = None;
        let mut left = SCRAPES;
        while left > 0 {
            scrapes.push(self.scrape(targets).await?);
            let next = tokio::time::sleep(INTERVAL);
            if done.is_some() {
                left -= 1;
                next.await;
                continue;
            }
            let mut next = std::pin::pin!(next);
            tokio::select! {
                result = &mut work => {
                    done = Some(result?);
                    next.await;
                }
                () = &mut next => {}
            }
        }
        self.parts.push(Part { scrapes, repeats_all });
        done.context("it was not done")
    }

    /// Scrapes what the rules ask for.
    async fn scrape(&mut self, targets: &Targets<'_>) -> Result<Scrape> {
        let expressions = self.rules.iter().filter_map(|rule| rule["expr"].as_str());
        let words =
            expressions.flat_map(|it| it.split(|c: char| !c.is_ascii_alphanumeric() && c != '_'));
        let names: BTreeSet<_> = words.collect();
        let mut values = Scrape::new();
        for (pod, program) in targets {
            let (_, exposition) = scrape(program).await?;
            for sample in &exposition.samples {
                if names.contains(sample.name.as_str()) {
                    let mut labels = sample.labels.clone();
                    labels.insert("namespace".to_owned(), "n".to_owned());
                    labels.insert("pod".to_owned(), (*pod).to_owned());
                    let labels: Vec<_> =
                        labels.iter().map(|(label, value)| format!("{label}={value:?}")).collect();
                    let series = format!("{}{{{}}}", sample.name, labels.join(","));
                    if exposition.counts(&sample.name) {
                        self.counters.insert(series.clone());
                    }
                    values.insert(series, sample.value);
                }
            }
        }
        Ok(values)
    }

    /// Sees that the alerts fire with these labels at the end of their causes, and neither before nor in the end.
    pub(crate) async fn verify(&self, fire: &[(&str, Value)]) -> Result<()> {
        ensure!(self.parts.len() == LAPSES.len(), "{} parts were recorded", self.parts.len());
        let rules = json!({"groups": [{"name": "shipped", "rules": self.rules}]});
        let mut end = 0;
        let mut tests = Vec::new();
        for (lapse, is_caused) in LAPSES.into_iter().zip([false, true, false]) {
            end += lapse;
            for rule in &self.rules {
                let fires = fire.iter().filter(|(alert, _)| is_caused && rule["alert"] == *alert);
                let alerts: Vec<_> = fires
                    .map(|(_, labels)| {
                        let mut labels = labels.clone();
                        labels["severity"] = rule["labels"]["severity"].clone();
                        json!({"exp_labels": labels})
                    })
                    .collect();
                ensure!(is_caused != alerts.is_empty(), "{} is not to fire at all", rule["alert"]);
                tests.push(json!({
                    "eval_time": format!("{}s", end - 1),
                    "alertname": rule["alert"],
                    "exp_alerts": alerts,
                }));
            }
        }
        let series = self.lapse().into_iter();
        let series: Vec<_> =
            series.map(|(series, values)| json!({"series": series, "values": values})).collect();
        ensure!(!series.is_empty(), "nothing was scraped");
        let test = json!({
            "rule_files": ["rules.yaml"],
            "evaluation_interval": "15s",
            "tests": [{"interval": "1s", "input_series": series, "alert_rule_test": tests}],
        });
        let name = self.rules.iter().find_map(|rule| rule["alert"].as_str()).context("no rule")?;
        let folder = artifacts().join("alerts").join(name);
        let logs = LogDir::create(&folder)?;
        fs_err::write(folder.join("rules.yaml"), rules.to_string())?;
        let file = folder.join("test.yaml");
        fs_err::write(&file, test.to_string())?;
        promtool().args(["test", "rules"]).arg(file).run(&logs).await?;
        Ok(())
    }

    /// All series, drawn out, in promtool's words.
    fn lapse(&self) -> BTreeMap<&str, String> {
        let scrapes = self.parts.iter().flat_map(|part| &part.scrapes);
        let all: BTreeSet<_> = scrapes.flat_map(BTreeMap::keys).map(String::as_str).collect();
        all.into_iter().map(|series| (series, self.lapse_of(series))).collect()
    }

    fn lapse_of(&self, series: &str) -> String {
        let counts = self.counters.contains(series);
        let mut words = Vec::new();
        let mut last_scraped = None;
        let mut last: Option<f64> = None;
        for (part, lapse) in self.parts.iter().zip(LAPSES) {
            // A counter goes on from where the time lapse has brought it.
            let offset = match (counts, last, last_scraped) {
                (true, Some(last), Some(scraped)) => last - scraped,
                _ => 0.0,
            };
            let values: Vec<_> = part.scrapes.iter().map(|it| it.get(series).copied()).collect();
            let first = values.iter().flatten().next().copied();
            let before = last_scraped.filter(|_| part.repeats_all).or(first);
            let end = values.last().copied().flatten();
            let growth = match (before, end) {
                (Some(before), Some(end)) if counts => (end - before).max(0.0),
                _ => 0.0,
            };
            for second in 0..lapse {
                let (rounds, index) = if counts || second < values.len() {
                    (second / values.len(), second % values.len())
                } else {
                    let kept = SCRAPES.min(values.len());
                    (0, values.len() - kept + second % kept)
                };
                let value = values[index].map(|value| value + offset + growth * rounds as f64);
                words.push(match (value, last) {
                    (Some(value), _) => value.to_string(),
                    // As Prometheus marks a series whose target is gone.
                    (None, Some(_)) => "stale".to_owned(),
                    (None, None) => "_".to_owned(),
                });
                last = value;
            }
            last_scraped = end;
        }
        words.join(" ")
    }
}

/// The shipped rules.
pub(crate) fn shipped() -> Result<Vec<Value>> {
    let text = fs_err::read_to_string(paths::workspace().join(RULES))?;
    let file: Value = serde_saphyr::from_str(&text)?;
    let groups = file["groups"].as_array().context("no groups")?;
    let rules = groups.iter().filter_map(|group| group["rules"].as_array()).flatten();
    Ok(rules.cloned().collect())
}

#[test]
fn time_lapse_repeats_samples_and_lets_counters_go_on() {
    let scrape = |value: f64| Scrape::from([("c{}".to_owned(), value), ("g{}".to_owned(), value)]);
    let part = |values: &[f64], repeats_all| Part {
        scrapes: values.iter().copied().map(scrape).collect(),
        repeats_all,
    };
    let gone = Part { scrapes: vec![Scrape::new()], repeats_all: false };
    let recording = Recording {
        rules: Vec::new(),
        parts: vec![part(&[1.0, 1.0], false), part(&[2.0, 3.0], true), gone],
        counters: BTreeSet::from(["c{}".to_owned()]),
    };
    let values = |series: &str| {
        let lapse = recording.lapse_of(series);
        lapse.split(' ').map(str::to_owned).collect::<Vec<_>>()
    };
    let [before, during, _] = LAPSES;
    let counter = values("c{}");
    assert_eq!(counter[..before], vec!["1"; before]);
    // Two more in each round of two seconds.
    assert_eq!(counter[before..before + 6], ["2", "3", "4", "5", "6", "7"]);
    assert_eq!(counter[before + during..before + during + 3], ["stale", "_", "_"]);
    let gauge = values("g{}");
    assert_eq!(gauge[before..before + 4], ["2", "3", "2", "3"]);
    let whole: Vec<_> = (0..20).map(f64::from).collect();
    let long = [vec![0.0], whole, vec![0.0]].map(|values| part(&values, true)).into();
    let recording = Recording { parts: long, ..recording };
    let lapse = recording.lapse_of("g{}");
    let kept = lapse.split(' ').skip(before + 20).take(during - 20);
    assert!(kept.eq(["15", "16", "17", "18", "19"].into_iter().cycle().take(during - 20)));
}
