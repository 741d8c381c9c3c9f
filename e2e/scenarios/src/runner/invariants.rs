//! The checks of the cluster as a whole, after the scenarios.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Result, ensure};
use harness::deadline::Deadline;
use harness::progress::Phase;
use harness::report::{Entry, Kind};
use harness::wait::{State, Waiter};
use scenarios::invariants::jobs::{self, Counter};
use scenarios::invariants::leftover::Ours;
use scenarios::invariants::resources::Samples;
use scenarios::invariants::{leftover, restarts, usage};

use super::prepare::Ready;
use super::run::Run;
use super::selection::MAIN_JOB;

/// The processes of ours.
const PROCESSES: [&str; 2] = ["operator", "terminator"];

/// How long the cluster may take to be as it was, once all has ended.
const LIMIT: Duration = Duration::from_secs(90);

/// How long connections that nobody uses may stay open: the client keeps them for 90 s.
const IDLE_LIMIT: Duration = Duration::from_secs(150);

/// How long the first Jobs may take.
const FIRST_JOBS_LIMIT: Duration = Duration::from_secs(300);

/// What was there before the scenarios, and what has been seen since.
pub(super) struct Invariants {
    /// The UIDs of objects of Jobs that others had made.
    before: BTreeSet<String>,
    jobs: Counter,
    samples: Samples,
    /// Whether enough is to run to assess what our processes need.
    is_verified: bool,
}

impl Invariants {
    /// Looks at the cluster before the scenarios.
    pub(super) async fn begin(run: &Run, ready: &Ready) -> Result<Self> {
        let before = leftover::ours(&ready.client).await?;
        let mut this = Self {
            before: before.into_iter().map(|ours| ours.uid).collect(),
            jobs: Counter::start(&ready.client),
            samples: Samples::default(),
            is_verified: false,
        };
        this.look(run, ready).await;
        Ok(this)
    }

    /// Runs the first Jobs, so that there is a level to compare with.
    pub(super) async fn settle(&mut self, run: &Run, ready: &Ready) {
        self.is_verified = true;
        let settled = run
            .progress
            .phase("first Jobs", async |phase| {
                let deadline = Deadline::after(FIRST_JOBS_LIMIT);
                let wait = Waiter::new(&ready.client, phase, jobs::NAMESPACE, deadline);
                jobs::the_first(&ready.client, &wait).await
            })
            .await;
        match settled {
            Ok(()) => self.look(run, ready).await,
            Err(error) => run.progress.say(format_args!("no level of resources: {error:#}")),
        }
    }

    /// Looks at our processes, while no Job is there.
    pub(super) async fn look(&mut self, run: &Run, ready: &Ready) {
        // A node that is away for a moment fails nothing here: what comes next will find it.
        match usage::sample(&ready.cluster, &PROCESSES, &run.folder.logs).await {
            Ok(sample) => self.samples.add(self.jobs.count(), sample),
            Err(error) => run.progress.say(format_args!("cannot measure resources: {error:#}")),
        }
    }

    /// Checks that the cluster is as it was; returns whether it is.
    pub(super) async fn verify(mut self, run: &Run, ready: &Ready) -> bool {
        let client = &ready.client;
        let ready_nodes = check("all-nodes-ready", run, async |phase| {
            let wait = Waiter::new(client, phase, "default", Deadline::after(LIMIT));
            ready.cluster.wait_for_nodes(client, &wait).await
        });
        let ready_nodes = ready_nodes.await;
        let nothing_left =
            check("no-object-left", run, async |phase| self.nothing_left(run, ready, phase).await)
                .await;
        let no_end = check("no-process-ended-by-itself", run, async |_| {
            let found = restarts::by_themselves(&ready.deployed.pods(client).await?);
            ensure!(found.is_empty(), "{}", found.join("\n"));
            Ok(())
        });
        let no_end = no_end.await;
        let no_growth = self.no_growth(run, ready).await;
        ready_nodes && nothing_left && no_end && no_growth
    }

    async fn nothing_left(&self, run: &Run, ready: &Ready, phase: &Phase) -> Result<()> {
        let failed = namespaces_left(run);
        let wait = Waiter::new(&ready.client, phase, "default", Deadline::after(LIMIT));
        wait.poll("no object of a Job left in the cluster", Duration::from_secs(1), || async {
            let mut left = leftover::ours(&ready.client).await?;
            left.retain(|ours| {
                let is_known = self.before.contains(&ours.uid);
                !is_known && !is_in(&failed, ours)
            });
            let left: Vec<_> = left.iter().map(ToString::to_string).collect();
            Ok(State::of(left.is_empty().then_some(()), || left.join(", ")))
        })
        .await
    }

    /// Looks until what is idle was given back, or for too long.
    async fn no_growth(&mut self, run: &Run, ready: &Ready) -> bool {
        self.look(run, ready).await;
        if self.samples.assess(0).is_empty() && !self.is_verified {
            // Too few Jobs ran to compare anything.
            return true;
        }
        check("resources-as-before", run, async |phase| {
            let deadline = Deadline::after(IDLE_LIMIT);
            let failed = namespaces_left(run);
            let objects = leftover::ours(&ready.client).await?;
            let left = objects.iter().filter(|ours| ours.kind == "Pod" && is_in(&failed, ours));
            let left = left.count() as u64;
            loop {
                let assessed = self.samples.assess(left);
                ensure!(
                    !self.is_verified || assessed.len() >= PROCESSES.len(),
                    "of {PROCESSES:?} only these have lived from their first Jobs to the end: {assessed:?}"
                );
                let reported: Vec<_> = assessed.iter().map(ToString::to_string).collect();
                let is_good = assessed.iter().all(|assessed| assessed.excess.is_empty());
                if is_good || deadline.remaining().is_zero() {
                    for line in &reported {
                        run.progress.say(line);
                    }
                    let figures = serde_json::to_value(&assessed)?;
                    run.report.change(|report| report.figures.insert("resources".to_owned(), figures));
                    ensure!(is_good, "{}", reported.join("\n"));
                    return Ok(());
                }
                phase.detail(reported.join("; "));
                tokio::time::sleep(Duration::from_secs(5)).await;
                self.look(run, ready).await;
            }
        })
        .await
    }
}

/// What has failed leaves its namespace, to be looked at.
fn namespaces_left(run: &Run) -> Vec<String> {
    run.report.read(|report| report.failures().map(namespace).collect())
}

fn is_in(namespaces: &[String], ours: &Ours) -> bool {
    namespaces.iter().any(|name| ours.namespace.starts_with(name))
}

/// The namespace that a scenario leaves when it fails.
fn namespace(entry: &Entry) -> String {
    match entry.name.as_str() {
        MAIN_JOB => "default".to_owned(),
        name => name.to_owned(),
    }
}

/// Runs one check, and enters it into the report.
async fn check(name: &str, run: &Run, work: impl AsyncFnOnce(&Phase) -> Result<()>) -> bool {
    let handle = run.report.change(|report| {
        let handle = report.plan(name, 1, Kind::Check);
        report.begin(handle);
        handle
    });
    let result = run.progress.phase(name, work).await;
    run.report.change(|report| {
        report.finish(handle, result.as_ref().err().map(|error| format!("{error:#}")));
    });
    result.is_ok()
}
