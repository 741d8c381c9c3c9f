//! Rollouts: a limited number of nodes at work at once, beside a rolling update of a DaemonSet.

pub(super) mod table;

use std::time::Duration;

use anyhow::{Context as _, Result};
use api::job::Job;
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::DaemonSet;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use testbed::control_plane::Audited;
use testbed::simulated_work::{Distribution, End, Work};

use super::cluster::{Testbed, within};
use super::cost::Cost;
use super::jobs::{self, Mode, seconds, sorted};
use super::report::Rollout;
use super::summary::median;

/// Time that the work of each node takes.
const TASK: Duration = Duration::from_secs(2);

/// Nodes that work one after the other, to learn how long one of them takes.
const SINGLE: usize = 5;

/// Measures Jobs of all nodes with these limits, one after the other.
///
/// # Errors
/// When something takes too long, or a process ends.
pub(super) async fn measure(testbed: &Testbed, limits: &[Value]) -> Result<Vec<Rollout>> {
    let mut rollouts = Vec::new();
    let without_turns = run(testbed, &Value::Null, None).await?;
    for limit in limits {
        let hostnames = testbed.nodes.iter().take(SINGLE).cloned().collect();
        let single = run(testbed, &json!(1), Some(hostnames)).await?;
        let all = run(testbed, limit, None).await?;
        let places = places(limit, testbed.nodes.len());
        let naive = rolling_update(testbed, places, all.daemon_set.clone()).await?;
        rollouts.push(Rollout {
            parallelism: limit.to_string(),
            places: u32::try_from(places)?,
            single: median(single.turns()).unwrap_or_default(),
            whole: seconds(all.created, all.last),
            most_at_once: u32::try_from(all.most_at_once())?,
            hand_overs: all.hand_overs(places),
            until_status: all.until_status(places),
            without_turns: Some(without_turns.usage),
            cost: all.cost,
            usage: all.usage,
            naive,
        });
    }
    Ok(rollouts)
}

/// Number of nodes at work at once that a limit allows on so many nodes.
fn places(limit: &Value, nodes: usize) -> usize {
    let per_cent = limit.as_str().and_then(|text| text.strip_suffix('%')?.parse::<usize>().ok());
    match per_cent {
        Some(per_cent) => (nodes * per_cent).div_ceil(100),
        None => limit.as_u64().and_then(|number| usize::try_from(number).ok()).unwrap_or(nodes),
    }
}

/// What happened in one Job.
struct Run {
    created: Timestamp,
    /// Arrivals of the requests that write a status, in order.
    stored: Vec<Timestamp>,
    /// Arrivals of the requests that release pods, and ends of the pods' work, each in order.
    released: Vec<Timestamp>,
    ended: Vec<Timestamp>,
    last: Timestamp,
    cost: Cost,
    usage: [testbed::program::Usage; 2],
    daemon_set: Value,
}

impl Run {
    /// For each node, when they work one after the other: from its release to the end of its work.
    fn turns(&self) -> Vec<f64> {
        self.released.iter().zip(&self.ended).map(|(from, to)| seconds(*from, *to)).collect()
    }

    /// From the end of a node's work to the release of the next one, sorted.
    fn hand_overs(&self, places: usize) -> Vec<f64> {
        let released = self.released.iter().skip(places);
        sorted(self.ended.iter().zip(released).map(|(from, to)| seconds(*from, *to)))
    }

    /// The part of the hand-overs until the last status before the release, sorted.
    fn until_status(&self, places: usize) -> Vec<f64> {
        let released = self.released.iter().skip(places);
        let until = |(ended, released): (&Timestamp, &Timestamp)| {
            let before = self.stored.partition_point(|stored| stored <= released);
            let stored = before.checked_sub(1).and_then(|last| self.stored.get(last))?;
            Some(seconds(*ended, *stored).max(0.0))
        };
        sorted(self.ended.iter().zip(released).filter_map(until))
    }

    /// The largest number of nodes that were released and had not ended.
    fn most_at_once(&self) -> usize {
        let at_release = self.released.iter().enumerate().map(|(before, release)| {
            let ended = self.ended.partition_point(|end| end <= release);
            before + 1 - ended.min(before + 1)
        });
        at_release.max().unwrap_or_default()
    }
}

/// Runs one Job with this limit, or without turns, on all nodes or on these.
async fn run(testbed: &Testbed, limit: &Value, nodes: Option<Vec<String>>) -> Result<Run> {
    let namespace = testbed.namespace("rollout").await?;
    let work = Work::new(Distribution::constant(TASK), |_| End::Exit(0));
    work.assign(&testbed.sim, &namespace);
    let mut both = testbed.start_both()?;
    both.ready().await?;
    testbed.requests().await?;
    let mut job = jobs::manifest(Mode::ExitCode);
    if !limit.is_null() {
        job["spec"]["parallelism"] = limit.clone();
    }
    if let Some(nodes) = nodes {
        job["spec"]["template"] = jobs::on_nodes(&nodes);
    }
    let created = Timestamp::now();
    testbed.create::<Job>(&namespace, job).await?;
    let daemon_set = testbed.by_hand(&namespace, jobs::NAME).await?;
    testbed.until_job_is_gone(&namespace, jobs::NAME).await?;
    let usage = both.usage()?;
    let requests = testbed.requests().await?;
    both.end().await?;
    testbed.clear(&namespace).await?;
    let mut ended: Vec<Timestamp> = work.ended().values().map(|ended| ended.at).collect();
    ended.sort_unstable();
    let last = *ended.last().context("no pod has ended")?;
    let patches = |resource: &str| {
        // A dry run changes nothing.
        let is_one = |request: &&Audited| {
            request.verb == "patch"
                && request.resource == resource
                && request.namespace == namespace
                && !request.uri.contains("dryRun=All")
        };
        let arrivals = requests.iter().filter(is_one).map(|request| request.received);
        let mut arrivals: Vec<Timestamp> = arrivals.collect();
        arrivals.sort_unstable();
        arrivals
    };
    let (stored, released) = (patches("jobs/status"), patches("pods"));
    let cost = Cost::of(&requests);
    Ok(Run { created, stored, released, ended, last, cost, usage, daemon_set })
}

/// The naive way: a DaemonSet whose pod template is edited, with so many pods unavailable at most.
///
/// Returns the time from the edit to the end of the last pod's work.
async fn rolling_update(testbed: &Testbed, places: usize, mut daemon_set: Value) -> Result<f64> {
    let namespace = testbed.namespace("naive").await?;
    let before = Work::new(Distribution::constant(Duration::ZERO), |_| End::Exit(0));
    before.assign(&testbed.sim, &namespace);
    if let Some(pod) = daemon_set["spec"]["template"]["spec"].as_object_mut() {
        pod.remove("schedulingGates");
    }
    daemon_set["spec"]["updateStrategy"] =
        json!({"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": places}});
    testbed.create::<DaemonSet>(&namespace, daemon_set).await?;
    let nodes = testbed.nodes.len();
    let api: Api<DaemonSet> = Api::namespaced(testbed.client.clone(), &namespace);
    testbed.until_available(&namespace, "by-hand").await?;

    let work = Work::new(Distribution::constant(TASK), |_| End::Exit(0));
    work.assign(&testbed.sim, &namespace);
    let edit = json!({"spec": {"template": {"metadata": {"annotations": {"run": "2"}}}}});
    let edited = Timestamp::now();
    api.patch("by-hand", &PatchParams::default(), &Patch::Merge(edit)).await?;
    within(work.until(|counts| counts.ended >= nodes), "the rolling update").await?;
    let last = work.last().context("no pod has ended")?;
    testbed.clear(&namespace).await?;
    Ok(seconds(edited, last.at))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: &[i64]) -> Vec<Timestamp> {
        seconds.iter().map(|second| Timestamp::from_second(*second).unwrap()).collect()
    }

    fn ran(released: &[i64], ended: &[i64]) -> Run {
        let (released, ended) = (at(released), at(ended));
        let last = *ended.last().unwrap();
        Run {
            created: Timestamp::UNIX_EPOCH,
            stored: Vec::new(),
            released,
            ended,
            last,
            cost: Cost::default(),
            usage: Default::default(),
            daemon_set: Value::Null,
        }
    }

    #[test]
    fn a_hand_over_is_from_an_end_to_the_release_that_it_allows() {
        let run = ran(&[0, 0, 3, 5], &[2, 4, 6, 8]);
        assert_eq!(run.hand_overs(2), [1.0, 1.0]);
        assert_eq!(run.most_at_once(), 2);
        assert_eq!(ran(&[0, 1, 1], &[2, 3, 4]).most_at_once(), 3);
        assert_eq!(ran(&[0, 2, 5], &[1, 4, 7]).turns(), [1.0, 2.0, 2.0]);
    }

    #[test]
    fn the_status_before_a_release_divides_the_hand_over() {
        // A release may be due to a status from before the end.
        let stored = at(&[0, 3, 5]);
        let run = Run { stored, ..ran(&[0, 0, 4, 5, 6], &[2, 4, 6, 8]) };
        assert_eq!(run.until_status(2), [0.0, 1.0, 1.0]);
    }

    #[test]
    fn per_cent_of_nodes_are_rounded_up() {
        let places = |limit: Value| places(&limit, 1001);
        assert_eq!([json!(50), json!("10%"), json!("100%")].map(places), [50, 101, 1001]);
    }
}
