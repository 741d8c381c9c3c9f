//! A Job that a scenario watches.

use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use api::conditions;
use api::names;
use api::v1beta1::{Job, JobStatus, NodeStatus, Phase};
use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::runtime::watcher;
use kube::{Api, Client, ResourceExt as _};
use tokio::sync::oneshot;

use crate::wait::{Objects, State, Waiter};

/// A Job by its name, whether it exists yet or not.
#[derive(Clone, Copy)]
pub(super) struct WatchedJob<'a> {
    pub(super) client: &'a Client,
    pub(super) wait: &'a Waiter<'a>,
    pub(super) namespace: &'a str,
    pub(super) name: &'a str,
}

/// What a watch saw of a Job that completed and deleted itself.
pub(super) struct Life {
    /// The Job's UID.
    pub(super) uid: String,
    /// When it was first seen.
    pub(super) creation: Instant,
    /// When its deletion was first seen to be requested.
    pub(super) deletion: Instant,
    /// Its status before that.
    pub(super) status: JobStatus,
    /// How many nodes its statuses said were done, one after the other.
    pub(super) succeeded: Vec<i32>,
}

impl WatchedJob<'_> {
    pub(super) fn api(&self) -> Api<Job> {
        Api::namespaced(self.client.clone(), self.namespace)
    }

    fn config(&self) -> watcher::Config {
        watcher::Config::default().fields(&format!("metadata.name={}", self.name))
    }

    /// The Job as it is now.
    pub(super) async fn get(&self) -> Result<Job> {
        Ok(self.api().get(self.name).await?)
    }

    /// Waits until the Job is as expected, and returns it.
    pub(super) async fn until(
        &self,
        expected: &str,
        mut is_reached: impl FnMut(&Job) -> bool,
    ) -> Result<Job> {
        self.wait
            .watch(self.api(), self.config(), expected, |jobs: &Objects<Job>| {
                match jobs.values().next() {
                    Some(job) if is_reached(job) => State::Reached(job.clone()),
                    Some(job) => State::Waiting(describe(job)),
                    None => State::Waiting("no Job".to_owned()),
                }
            })
            .await
    }

    /// Waits until so many nodes of so many are done: `"1/3"`.
    pub(super) async fn until_completed(&self, completed: &str) -> Result<Job> {
        let expected = format!("{} nodes of Job {} done", completed, self.name);
        self.until(&expected, |job| status(job).completed.as_deref() == Some(completed)).await
    }

    /// Waits until the Job is finished, whichever way, and returns it with the condition that says so.
    pub(super) async fn until_finished(&self) -> Result<(Job, Condition)> {
        let expected = format!("Job {} finished", self.name);
        let job = self.until(&expected, |job| finished(job).is_some()).await?;
        let condition = finished(&job).context("a finished Job says so")?;
        Ok((job, condition))
    }

    /// Waits until the Job is gone or about to go, with every node done before, while `work` is under
    /// way, which starts when the Job is being watched. It must exist from then on, or be made by
    /// `work`.
    pub(super) async fn until_deleted<T>(
        &self,
        work: impl Future<Output = Result<T>>,
    ) -> Result<(Life, T)> {
        let (watching, started_watching) = oneshot::channel();
        let work = async {
            started_watching.await.context("the watch of the Job ended early")?;
            work.await
        };
        tokio::try_join!(self.watch_life(watching), work)
    }

    async fn watch_life(&self, watching: oneshot::Sender<()>) -> Result<Life> {
        let mut watching = Some(watching);
        let mut last: Option<(Job, Instant)> = None;
        let mut succeeded = Vec::new();
        let expected = format!("Job {} deletes itself", self.name);
        let (job, creation) = self
            .wait
            .watch(self.api(), self.config(), &expected, |jobs: &Objects<Job>| {
                if let Some(watching) = watching.take() {
                    // Nobody listens any more only when the scenario has failed already.
                    let _ = watching.send(());
                }
                let job = jobs.values().next();
                if let Some(job) = job {
                    let creation = last.take().map_or_else(Instant::now, |(_, creation)| creation);
                    last = Some((job.clone(), creation));
                    succeeded.push(status(job).succeeded);
                }
                let ending = job.is_none_or(|job| job.metadata.deletion_timestamp.is_some());
                match &last {
                    Some(last) if ending => State::Reached(last.clone()),
                    Some((job, _)) => State::Waiting(describe(job)),
                    None => State::Waiting("no Job".to_owned()),
                }
            })
            .await?;
        let deletion = Instant::now();
        let status = status(&job);
        let all = format!("{0}/{0}", status.desired);
        ensure!(
            status.phase == Some(Phase::Completed) && status.completed.as_ref() == Some(&all),
            "the Job was deleted before its status said Completed, {all}: {}",
            describe(&job)
        );
        let uid = job.uid().context("the Job has no UID")?;
        Ok(Life { uid, creation, deletion, status, succeeded })
    }

    /// Waits for the Job's DaemonSet to appear, and returns it.
    pub(super) async fn daemon_set(&self) -> Result<DaemonSet> {
        let sets: Api<DaemonSet> = Api::namespaced(self.client.clone(), self.namespace);
        let name = names::daemon_set(self.name);
        let config = watcher::Config::default().fields(&format!("metadata.name={name}"));
        let expected = format!("DaemonSet {name}");
        self.wait
            .watch(sets, config, &expected, |sets: &Objects<DaemonSet>| {
                match sets.values().next() {
                    Some(set) => State::Reached(set.clone()),
                    None => State::Waiting("no such DaemonSet".to_owned()),
                }
            })
            .await
    }
}

/// The Job's status; the default before it has one.
pub(super) fn status(job: &Job) -> JobStatus {
    job.status.clone().unwrap_or_default()
}

/// The condition that says that the Job is finished.
pub(super) fn finished(job: &Job) -> Option<Condition> {
    conditions::finished(&job.status.as_ref()?.conditions).cloned()
}

/// What the Job says of a node that is not done.
pub(super) fn node<'a>(status: &'a JobStatus, name: &str) -> Result<&'a NodeStatus> {
    let node = status.nodes.iter().find(|node| node.name == name);
    node.with_context(|| format!("status.nodes does not name {name}: {:?}", status.nodes))
}

/// The Job in one line.
pub(super) fn describe(job: &Job) -> String {
    let status = status(job);
    let mut text = match (status.phase, status.completed) {
        (Some(phase), Some(completed)) => format!("{phase:?} {completed}"),
        (Some(phase), None) => format!("{phase:?}"),
        (None, _) => "no status yet".to_owned(),
    };
    if let Some(NodeStatus { name, state, message: Some(message), .. }) = status.nodes.first() {
        text += &format!("; {name} {state:?}: {message}");
    }
    for condition in status.conditions {
        let (kind, reason, message) = (condition.type_, condition.reason, condition.message);
        text += &format!("; {kind}={} {reason}: {message}", condition.status);
    }
    text
}
