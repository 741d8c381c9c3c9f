//! A Job in a cluster: what tests do with it, and how they see what becomes of it.

use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use api::job::{Job, JobStatus, NodeStatus, Phase, conditions};
use api::labels;
use k8s_openapi::api::apps::v1::{ControllerRevision, DaemonSet};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, ObjectMeta};
use kube::api::DeleteParams;
use kube::{Api, ResourceExt as _};
use tokio::sync::oneshot;

use crate::wait::{Namespaced, Objects, State, Waiter, named};

/// A Job by its name, whether it exists yet or not. There may be several of a name, one after another.
#[derive(Clone)]
pub struct JobHandle<'a> {
    /// Its name.
    pub name: String,
    namespace: String,
    wait: Waiter<'a>,
}

/// The life of a Job that completed and deleted itself, as a watch saw it.
#[derive(Clone, Debug)]
pub struct Life {
    /// The Job's UID.
    pub uid: String,
    /// When it was first seen.
    pub creation: Instant,
    /// When its deletion was first seen to be requested.
    pub deletion: Instant,
    /// Its status before that.
    pub status: JobStatus,
    /// The numbers of nodes that its statuses said were done, one after the other.
    pub succeeded: Vec<i32>,
}

impl<'a> JobHandle<'a> {
    /// The Job of this name in a namespace.
    pub fn new(name: &str, namespace: &str, wait: Waiter<'a>) -> Self {
        Self { name: name.to_owned(), namespace: namespace.to_owned(), wait }
    }

    /// The waits of this Job.
    pub fn waiter(&self) -> &Waiter<'a> {
        &self.wait
    }

    /// Its namespace.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The objects of a kind in the Job's namespace.
    pub fn api<K: Namespaced>(&self) -> Api<K> {
        Api::namespaced(self.wait.client().clone(), &self.namespace)
    }

    /// The name of its DaemonSet.
    pub fn daemon_set_name(&self) -> String {
        labels::daemon_set(&self.name)
    }

    /// The Job as it is now.
    pub async fn get(&self) -> Result<Job> {
        Ok(self.api::<Job>().get(&self.name).await?)
    }

    /// Deletes the Job.
    pub async fn delete(&self) -> Result<()> {
        self.api::<Job>().delete(&self.name, &DeleteParams::background()).await?;
        Ok(())
    }

    /// Waits until the Job is as expected, and returns it.
    pub async fn until(
        &self,
        expected: &str,
        mut is_reached: impl FnMut(&Job) -> bool,
    ) -> Result<Job> {
        let expected = format!("Job {}: {expected}", self.name);
        let check = |jobs: &Objects<Job>| match jobs.values().next() {
            Some(job) if is_reached(job) => State::Reached(job.clone()),
            Some(job) => State::Waiting(describe(job)),
            None => State::Waiting("no Job".to_owned()),
        };
        self.wait.watch(self.api(), named(&self.name), &expected, check).await
    }

    /// Waits until so many nodes of so many are done: `1/3`.
    pub async fn until_completed(&self, completed: &str) -> Result<Job> {
        let is_so = |job: &Job| status(job).completed.as_deref() == Some(completed);
        self.until(&format!("{completed} nodes done"), is_so).await
    }

    /// Waits until the status is that of the Job's latest edit.
    pub async fn until_observed(&self) -> Result<Job> {
        let generation = self.get().await?.metadata.generation;
        let is_so = |job: &Job| status(job).observed_generation == generation;
        self.until("the edit seen", is_so).await
    }

    /// Waits until a condition is true, and returns it.
    pub async fn until_condition(&self, type_: &str) -> Result<Condition> {
        let is_so = |job: &Job| condition(job, type_).is_some();
        let job = self.until(&format!("condition {type_}"), is_so).await?;
        condition(&job, type_).cloned().context("just seen")
    }

    /// Waits until the Job is complete or has failed.
    pub async fn until_finished(&self) -> Result<Job> {
        self.until("finished", |job| finished(job).is_some()).await
    }

    /// Waits until the Job is complete or has failed, which must be for this reason.
    pub async fn until_ended(&self, reason: &str, message: &str) -> Result<Job> {
        let job = self.until_finished().await?;
        let condition = finished(&job).context("just seen")?;
        ensure!(
            condition.reason == reason && condition.message == message,
            "expected {reason}: {message}\n  but the Job says {}",
            describe(&job)
        );
        Ok(job)
    }

    /// Waits until the Job's status lists a node that is as expected, and returns that.
    pub async fn until_node(
        &self,
        node: &str,
        expected: &str,
        mut is_reached: impl FnMut(&NodeStatus) -> bool,
    ) -> Result<NodeStatus> {
        let expected = format!("{node}: {expected}");
        let is_so = |job: &Job| find_node(job, node).is_some_and(&mut is_reached);
        let job = self.until(&expected, is_so).await?;
        find_node(&job, node).cloned().context("just seen")
    }

    /// Waits for the Job's DaemonSet, and returns it.
    pub async fn daemon_set(&self) -> Result<DaemonSet> {
        self.wait.object(self.api(), &self.daemon_set_name(), "a DaemonSet", |_| true).await
    }

    /// Waits until nothing runs for the Job any more: its DaemonSet and its pods are gone.
    pub async fn until_stopped(&self) -> Result<()> {
        let name = self.daemon_set_name();
        let is_its = |meta: &ObjectMeta| meta.name.as_ref() == Some(&name);
        self.wait.none_left::<DaemonSet>(&self.namespace, "", is_its).await?;
        self.wait.none_left::<Pod>(&self.namespace, &self.selector(), |_| true).await
    }

    /// Waits until nothing is left of the Job.
    pub async fn until_gone(&self) -> Result<()> {
        let is_it = |meta: &ObjectMeta| meta.name.as_ref() == Some(&self.name);
        self.wait.none_left::<Job>(&self.namespace, "", is_it).await?;
        self.until_stopped().await?;
        self.wait.none_left::<ControllerRevision>(&self.namespace, &self.selector(), |_| true).await
    }

    /// Selects the objects of the Job's DaemonSet.
    fn selector(&self) -> String {
        let label = labels::label_value(&self.daemon_set_name());
        format!("{}={label}", labels::LABEL_DAEMON_SET)
    }

    /// Waits, beside `work`, until the Job goes, with every node done before.
    ///
    /// `work` starts when the Job is watched. The Job must exist by then, or be made by `work`.
    pub async fn until_deleted<T>(
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
        let check = |jobs: &Objects<Job>| {
            if let Some(watching) = watching.take() {
                // Nobody listens any more only when the test has failed already.
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
        };
        let (job, creation) =
            self.wait.watch(self.api(), named(&self.name), &expected, check).await?;
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
}

/// The Job's status; the default before it has one.
pub fn status(job: &Job) -> JobStatus {
    job.status.clone().unwrap_or_default()
}

/// The phase of a Job.
pub fn phase(job: &Job) -> Option<Phase> {
    job.status.as_ref()?.phase
}

/// The condition of a Job, if it is true.
pub fn condition<'j>(job: &'j Job, type_: &str) -> Option<&'j Condition> {
    conditions::find_true(&job.status.as_ref()?.conditions, type_)
}

/// The condition that says that the Job is finished.
pub fn finished(job: &Job) -> Option<&Condition> {
    conditions::finished(&job.status.as_ref()?.conditions)
}

/// A node in the list of a Job's status, which has those that are not done.
pub fn find_node<'j>(job: &'j Job, name: &str) -> Option<&'j NodeStatus> {
    job.status.as_ref()?.nodes.iter().find(|node| node.name == name)
}

/// The name of a pod's node.
pub fn node_of(pod: &Pod) -> Option<&str> {
    pod.spec.as_ref()?.node_name.as_deref()
}

/// The Job in one line.
pub fn describe(job: &Job) -> String {
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
