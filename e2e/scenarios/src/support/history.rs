//! What was seen of Jobs, from before their creation to their end, and what must hold for all of it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result, ensure};
use api::job::{Job, JobStatus, Phase};
use api::labels;
use futures::StreamExt as _;
use harness::job_handle::{describe, finished, status};
use harness::wait::EverySecond;
use k8s_openapi::api::core::v1::Event;
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, ResourceExt as _};
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio_util::task::AbortOnDropHandle;

use crate::support::env::ScenarioEnv;

/// How long the watch of the history may lag behind another one.
const LAG: Duration = Duration::from_secs(30);

/// When work was done, by the name of the Job.
pub(crate) type Proofs = BTreeMap<String, Vec<SystemTime>>;

/// A watch of a namespace's Jobs, which goes on through errors.
pub(crate) struct History {
    /// Nothing, when all that was there at first has been seen.
    seen: UnboundedReceiver<Option<Sighting>>,
    _watch: AbortOnDropHandle<()>,
}

/// What was seen of a Job, and when.
struct Sighting {
    at: SystemTime,
    job: Job,
    is_gone: bool,
}

impl History {
    /// Starts to watch.
    pub(crate) async fn record(env: &ScenarioEnv<'_>) -> Result<Self> {
        let (sender, mut seen) = mpsc::unbounded_channel();
        let watch = AbortOnDropHandle::new(tokio::spawn(watch(env.api(), sender)));
        seen.recv().await.context("the watch of the Jobs ended")?;
        Ok(Self { seen, _watch: watch })
    }

    /// Sees that all was well with these Jobs, which are gone, given when each was done on its nodes.
    pub(crate) async fn verify(
        self,
        env: &ScenarioEnv<'_>,
        jobs: &[String],
        nodes: usize,
        proofs: &Proofs,
    ) -> Result<()> {
        let mut lives = self.lives(jobs).await?;
        let events: Vec<Event> = env.api().list(&Default::default()).await?.items;
        for name in jobs {
            let life = lives.remove(name).unwrap_or_default();
            let proofs = proofs.get(name).map(Vec::as_slice).unwrap_or_default();
            verify(&life, nodes, proofs).with_context(|| format!("Job {name}"))?;
            let uid = life.first().and_then(|sighting| sighting.job.uid());
            let events = events.iter().filter(|event| event.involved_object.uid == uid);
            verify_events(events, name, nodes).with_context(|| format!("Job {name}"))?;
        }
        Ok(())
    }

    /// What was seen of each Job.
    async fn lives(mut self, jobs: &[String]) -> Result<BTreeMap<String, Vec<Sighting>>> {
        let mut lives: BTreeMap<String, Vec<Sighting>> = BTreeMap::new();
        let mut gone = BTreeSet::new();
        while gone.len() < jobs.len() {
            let seen = tokio::time::timeout(LAG, self.seen.recv()).await.ok().flatten();
            let seen =
                seen.with_context(|| format!("of {jobs:?} only {gone:?} were seen to go"))?;
            if let Some(sighting) = seen {
                let name = sighting.job.name_any();
                if sighting.is_gone {
                    gone.insert(name.clone());
                }
                lives.entry(name).or_default().push(sighting);
            }
        }
        Ok(lives)
    }
}

async fn watch(jobs: Api<Job>, seen: UnboundedSender<Option<Sighting>>) {
    let events = watcher(jobs, watcher::Config::default()).backoff(EverySecond);
    let mut events = std::pin::pin!(events);
    let mut known: BTreeMap<Option<String>, Job> = BTreeMap::new();
    let mut listed = BTreeSet::new();
    // Nobody listens any more only when the scenario has ended.
    let record = |job: Job, is_gone| {
        let _ = seen.send(Some(Sighting { at: SystemTime::now(), job, is_gone }));
    };
    while let Some(event) = events.next().await {
        match event {
            Ok(watcher::Event::Init) => listed.clear(),
            Ok(watcher::Event::InitApply(job)) => {
                listed.insert(job.uid());
                known.insert(job.uid(), job.clone());
                record(job, false);
            }
            Ok(watcher::Event::InitDone) => {
                let gone = known.extract_if(.., |uid, _| !listed.contains(uid));
                gone.for_each(|(_, job)| record(job, true));
                let _ = seen.send(None);
            }
            Ok(watcher::Event::Apply(job)) => {
                known.insert(job.uid(), job.clone());
                record(job, false);
            }
            Ok(watcher::Event::Delete(job)) => {
                known.remove(&job.uid());
                record(job, true);
            }
            // The API server may be out; the watch tries again.
            Err(_) => {}
        }
    }
}

/// What must hold for what was seen of a Job, given when its nodes were done.
fn verify(life: &[Sighting], nodes: usize, proofs: &[SystemTime]) -> Result<()> {
    let uids: BTreeSet<_> = life.iter().map(|sighting| sighting.job.uid()).collect();
    ensure!(uids.len() == 1, "there was not one Job of the name, but {}: {uids:?}", uids.len());
    for pair in life.windows(2) {
        if let [before, after] = pair {
            nothing_is_taken_back(&status(&before.job), &status(&after.job)).with_context(
                || format!("{} became {}", describe(&before.job), describe(&after.job)),
            )?;
        }
    }
    for Sighting { at, job, is_gone } in life {
        let status = status(job);
        let done = proofs.iter().filter(|proof| *proof <= at).count();
        let text = || format!("with the work done on {done} nodes: {}", describe(job));
        ensure!(usize::try_from(status.succeeded)? <= done, "nodes are counted early {}", text());
        ensure!(status.failed == 0, "nodes failed {}", text());
        let is_leaving = *is_gone || job.metadata.deletion_timestamp.is_some();
        let has_ended = is_leaving || finished(job).is_some();
        ensure!(!has_ended || done == nodes, "ended early, on {nodes} nodes, {}", text());
    }
    Ok(())
}

/// What is known of the same work grows, and its end is final.
fn nothing_is_taken_back(before: &JobStatus, after: &JobStatus) -> Result<()> {
    if before.work_hash.is_none() {
        return Ok(());
    }
    ensure!(before.work_hash == after.work_hash, "the work changed");
    let known = |status: &JobStatus| status.completed_nodes.clone().unwrap_or_default();
    ensure!(known(after).is_superset(&known(before)), "completed nodes were forgotten");
    let is_end = matches!(before.phase, Some(Phase::Completed | Phase::Failed));
    ensure!(!is_end || before.phase == after.phase, "the end was taken back");
    Ok(())
}

/// Of a Job that went as it should there are two events, once each.
fn verify_events<'a>(
    events: impl Iterator<Item = &'a Event>,
    job: &str,
    nodes: usize,
) -> Result<()> {
    let mut reported: Vec<_> = events
        .map(|event| {
            let reason = event.reason.clone().unwrap_or_default();
            let message = event.message.clone().unwrap_or_default();
            let series = event.series.as_ref().and_then(|series| series.count);
            (reason, message, event.count.or(series).unwrap_or(1).max(1))
        })
        .collect();
    reported.sort();
    let once = |reason: &str, message: String| (reason.to_owned(), message, 1);
    let expected = [
        once("Completed", format!("done on {nodes} of {nodes} nodes")),
        once("SuccessfulCreate", format!("Created DaemonSet {}", labels::daemon_set(job))),
    ];
    ensure!(reported == expected, "expected the events {expected:?}, but there are {reported:?}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use api::job::conditions::{self, Reason};
    use api::job::node_set::NodeSet;
    use k8s_openapi::jiff::Timestamp;

    use super::*;

    fn at(second: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(second)
    }

    fn seen(second: u64, phase: Phase, completed: &[&str]) -> Sighting {
        let mut set = NodeSet::default();
        completed.iter().for_each(|node| set.insert(node));
        let mut status = JobStatus {
            phase: Some(phase),
            work_hash: Some("work".to_owned()),
            succeeded: i32::try_from(completed.len()).expect("a few"),
            completed_nodes: Some(set),
            ..JobStatus::default()
        };
        if phase == Phase::Completed {
            let now = Timestamp::UNIX_EPOCH;
            let message = String::new();
            let condition = conditions::condition(Reason::Completed, message, None, now);
            status.conditions.push(condition);
        }
        let mut job = Job { status: Some(status), ..Job::default() };
        job.metadata.uid = Some("uid".to_owned());
        Sighting { at: at(second), job, is_gone: false }
    }

    fn gone(second: u64, phase: Phase, completed: &[&str]) -> Sighting {
        Sighting { is_gone: true, ..seen(second, phase, completed) }
    }

    const PROOFS: [u64; 2] = [10, 20];

    fn verified(life: &[Sighting]) -> Result<(), String> {
        let proofs = PROOFS.map(at);
        verify(life, proofs.len(), &proofs).map_err(|error| format!("{error:#}"))
    }

    fn is_blamed(life: &[Sighting], for_what: &str) {
        let error = verified(life).expect_err("a broken rule");
        assert!(error.contains(for_what), "{error}");
    }

    #[test]
    fn job_that_ends_when_its_work_is_done_is_well() {
        let life = [
            seen(1, Phase::Running, &[]),
            seen(11, Phase::Running, &["a"]),
            seen(21, Phase::Completed, &["a", "b"]),
            gone(22, Phase::Completed, &["a", "b"]),
        ];
        assert_eq!(verified(&life), Ok(()));
    }

    #[test]
    fn job_that_was_seen_to_go_before_it_was_seen_to_complete_is_well() {
        let life = [seen(11, Phase::Running, &["a"]), gone(22, Phase::Running, &["a"])];
        assert_eq!(verified(&life), Ok(()));
    }

    #[test]
    fn early_count_and_early_end_are_blamed() {
        is_blamed(&[seen(9, Phase::Running, &["a"])], "counted early");
        is_blamed(&[seen(19, Phase::Completed, &["a"])], "ended early");
        is_blamed(&[gone(19, Phase::Running, &["a"])], "ended early");
    }

    #[test]
    fn result_and_end_that_are_taken_back_are_blamed() {
        let life = [seen(11, Phase::Running, &["a"]), seen(12, Phase::Running, &[])];
        is_blamed(&life, "forgotten");
        let done = ["a", "b"];
        let life = [seen(21, Phase::Completed, &done), seen(22, Phase::Running, &done)];
        is_blamed(&life, "taken back");
    }

    #[test]
    fn second_job_of_a_name_is_blamed() {
        let mut other = seen(2, Phase::Running, &[]);
        other.job.metadata.uid = Some("other".to_owned());
        is_blamed(&[seen(1, Phase::Running, &[]), other], "not one Job");
        is_blamed(&[], "not one Job");
    }

    fn event(reason: &str, message: &str) -> Event {
        Event {
            reason: Some(reason.to_owned()),
            message: Some(message.to_owned()),
            ..Event::default()
        }
    }

    #[test]
    fn doubled_missing_and_other_events_are_blamed() {
        let created = event("SuccessfulCreate", "Created DaemonSet j-daemonset-job");
        let completed = event("Completed", "done on 2 of 2 nodes");
        let twice = Event { count: Some(2), ..completed.clone() };
        let failed = event("NodesFailed", "done on 1 of 2 nodes, failed on: a");
        let well = |events: &[&Event]| verify_events(events.iter().copied(), "j", 2).is_ok();
        assert!(well(&[&created, &completed]));
        assert!(!well(&[&created]));
        assert!(!well(&[&created, &twice]));
        assert!(!well(&[&created, &completed, &completed]));
        assert!(!well(&[&created, &completed, &failed]));
    }
}
