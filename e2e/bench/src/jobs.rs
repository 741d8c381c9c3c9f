//! Jobs from their creation to their deletion.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::{Context as _, Result};
use api::job::Job;
use jiff::Timestamp;
use serde_json::{Value, json};
use testbed::control_plane::Audited;
use testbed::simulated_work::{Distribution, End, Work};

use super::cluster::{Both, Testbed, within};
use super::cost::{Cost, Counters, is_record};
use super::report::JobRun;

/// The name of every Job: each has its namespace.
pub const NAME: &str = "work";

/// How the nodes of a Job are done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// By a word in their logs.
    Word,
    /// By an exit code.
    ExitCode,
}

/// The manifest of a Job for all nodes.
pub fn manifest(mode: Mode) -> Value {
    let mode = match mode {
        Mode::Word => "TerminationWord",
        Mode::ExitCode => "ExitCode",
    };
    json!({
        "apiVersion": "daemonset.darkowlzz.space/v1beta1",
        "kind": "Job",
        "metadata": {"name": NAME},
        "spec": {"image": "example.com/work:1", "completionMode": mode},
    })
}

/// The pod template of a Job for these nodes alone.
pub fn on_nodes(nodes: &[String]) -> Value {
    let expression = json!({"key": "kubernetes.io/hostname", "operator": "In", "values": nodes});
    json!({"spec": {"affinity": {"nodeAffinity": {
        "requiredDuringSchedulingIgnoredDuringExecution": {
            "nodeSelectorTerms": [{"matchExpressions": [expression]}],
        },
    }}}})
}

/// Runs one Job while both processes run, and leaves its pods to be cleared away. Also returns the
/// DaemonSet that the operator made of it, see [`Testbed::by_hand`].
pub async fn run(
    testbed: &Testbed,
    both: &Both,
    mode: Mode,
    times: Distribution,
) -> Result<(JobRun, Value)> {
    let namespace = testbed.namespace("job").await?;
    let work = Work::new(times, move |_| match mode {
        Mode::Word => End::Word,
        Mode::ExitCode => End::Exit(0),
    });
    work.assign(&testbed.sim, &namespace);
    // What went before is none of this Job's.
    testbed.requests().await?;
    let counters = Counters::parse(&testbed.control_plane.metrics().await?);
    let served = testbed.sim.log_bytes_served();

    let created = Timestamp::now();
    testbed.create::<Job>(&namespace, manifest(mode)).await?;
    let daemon_set = testbed.by_hand(&namespace, NAME).await?;
    testbed.until_job_is_gone(&namespace, NAME).await?;

    let log_bytes_read = testbed.sim.log_bytes_served() - served;
    let usage = both.usage()?;
    let (all_requests, watch_events) =
        Counters::parse(&testbed.control_plane.metrics().await?).since(&counters);
    let requests = testbed.requests().await?;
    testbed.clear(&namespace).await?;

    let deleted = deletion(&requests, &namespace, NAME).context("nobody has deleted the Job")?;
    let last = work.last().context("no pod has ended")?;
    let nodes = u64::try_from(work.ended().len())?;
    Ok((
        JobRun {
            whole: seconds(created, deleted),
            detection: seconds(last.at, deleted),
            detection_parts: parts(&requests, &namespace, last.at, deleted),
            recorded: recorded(&requests, &namespace, &work),
            cost: Cost::of(&requests),
            log_bytes_read,
            log_bytes: nodes * work.bytes_up_to_the_word(),
            all_requests,
            watch_events,
            usage,
        },
        daemon_set,
    ))
}

/// When the request has arrived that deleted a Job.
fn deletion(requests: &[Audited], namespace: &str, job: &str) -> Option<Timestamp> {
    let deletion = requests.iter().find(|request| {
        let object = (request.namespace.as_str(), request.name.as_str());
        request.verb == "delete" && request.resource == "jobs" && object == (namespace, job)
    });
    deletion.map(|request| request.received)
}

/// From the last word to the last record, the last status, and the deletion.
fn parts(requests: &[Audited], namespace: &str, word: Timestamp, deleted: Timestamp) -> [f64; 3] {
    let last = |is_meant: fn(&Audited) -> bool, otherwise| {
        let all = requests.iter().filter(|request| {
            request.namespace == namespace && request.received <= deleted && is_meant(request)
        });
        all.map(|request| request.received).max().unwrap_or(otherwise)
    };
    let recorded = last(is_record, word);
    let reported =
        last(|request| request.verb == "patch" && request.resource == "jobs/status", recorded);
    [seconds(word, recorded), seconds(recorded, reported), seconds(reported, deleted)]
}

/// For each pod, from the end of its work to the request that records it, sorted.
fn recorded(requests: &[Audited], namespace: &str, work: &Work) -> Vec<f64> {
    let by_pod: HashMap<&str, Timestamp> = requests
        .iter()
        .filter(|request| request.namespace == namespace && is_record(request))
        .map(|request| (request.name.as_str(), request.received))
        .collect();
    let ended = work.ended();
    sorted(
        ended
            .values()
            .filter_map(|ended| Some(seconds(ended.at, *by_pod.get(ended.pod.as_str())?))),
    )
}

/// Times in their order.
pub fn sorted(times: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut times: Vec<f64> = times.collect();
    times.sort_by(f64::total_cmp);
    times
}

/// Many Jobs at once, each on its share of the nodes.
pub async fn at_once(testbed: &Testbed, count: usize, times: Distribution) -> Result<Vec<f64>> {
    let namespace = testbed.namespace("jobs").await?;
    let share = (testbed.nodes.len() / count).max(1);
    let work = Work::new(times, |_| End::Word);
    work.assign(&testbed.sim, &namespace);
    testbed.requests().await?;
    let mut shares = HashMap::new();
    for (index, nodes) in testbed.nodes.chunks(share).take(count).enumerate() {
        let name = format!("{NAME}-{index}");
        let mut job = manifest(Mode::Word);
        job["metadata"]["name"] = json!(name);
        job["spec"]["template"] = on_nodes(nodes);
        testbed.create::<Job>(&namespace, job).await?;
        shares.insert(name, nodes);
    }
    for name in shares.keys() {
        testbed.until_job_is_gone(&namespace, name).await?;
    }
    let requests = testbed.requests().await?;
    let ended = work.ended();
    let detections = shares.iter().filter_map(|(name, nodes)| {
        let deletion = deletion(&requests, &namespace, name)?;
        let last = nodes.iter().filter_map(|node| Some(ended.get(node)?.at)).max()?;
        Some(seconds(last, deletion))
    });
    let detections = detections.collect();
    testbed.clear(&namespace).await?;
    Ok(detections)
}

/// A Job whose pods all run and wait for [`Work::finish`], but those that `ends` names.
pub async fn held(
    testbed: &Testbed,
    times: Distribution,
    ends: impl Fn(&str) -> bool + Send + Sync + 'static,
) -> Result<(String, Work)> {
    let namespace = testbed.namespace("held").await?;
    let work = Work::new(times, move |node| if ends(node) { End::Word } else { End::Held });
    work.assign(&testbed.sim, &namespace);
    testbed.create::<Job>(&namespace, manifest(Mode::Word)).await?;
    let nodes = testbed.nodes.len();
    within(work.until(|counts| counts.started >= nodes), "the pods to start").await?;
    Ok((namespace, work))
}

/// Seconds between two times, negative if the second was first.
pub fn seconds(from: Timestamp, to: Timestamp) -> f64 {
    to.duration_since(from).as_secs_f64()
}

/// How long processes are given to come to rest.
pub const REST: Duration = Duration::from_secs(3);
