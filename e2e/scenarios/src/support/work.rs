//! The work that faults disturb.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use api::job::NodeState::Unreachable;
use api::job::{Job, NodeStatus};
use api::labels;
use futures::future::try_join_all;
use harness::job_builder::JobBuilder;
use harness::job_handle::{JobHandle, describe, finished, node_of};
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use kube::ResourceExt as _;
use testbed::kind::Node;

use crate::support::env::ScenarioEnv;
use crate::support::history::{History, Proofs};

/// A Job that logs the word when its work is done.
pub(crate) const WORD: &str = "logs-a-word";
/// A Job whose container then exits.
pub(crate) const EXIT: &str = "exits";

/// The file that a Job's containers wait for, less the name of the Job.
const RELEASE: &str = "go-";
/// The file that they leave when their work is done.
const PROOF: &str = "ran-";

/// Jobs, and what has been seen of them. They forgive no failure.
pub(crate) struct Work<'a> {
    env: &'a ScenarioEnv<'a>,
    jobs: Vec<String>,
    history: History,
}

impl<'a> Work<'a> {
    /// One Job of each mode.
    pub(crate) async fn start(env: &'a ScenarioEnv<'a>) -> Result<Self> {
        Self::start_pairs(env, 1).await
    }

    /// So many pairs of Jobs: one that logs a word, and one that exits.
    pub(crate) async fn start_pairs(env: &'a ScenarioEnv<'a>, pairs: usize) -> Result<Self> {
        // What is asked to end says so.
        Self::start_ending(env, pairs, 143).await
    }

    /// As [`Work::start`], with containers that exit with this code on SIGTERM.
    pub(crate) async fn start_that_ends_with(env: &'a ScenarioEnv<'a>, code: u8) -> Result<Self> {
        Self::start_ending(env, 1, code).await
    }

    async fn start_ending(env: &'a ScenarioEnv<'a>, pairs: usize, code: u8) -> Result<Self> {
        let history = History::record(env).await?;
        let mut jobs = Vec::new();
        for number in 1..=pairs {
            for mode in [WORD, EXIT] {
                let name = format!("{mode}-{number}");
                env.apply(&manifest(env, mode, &name, code)).await?;
                jobs.push(name);
            }
        }
        Ok(Self { env, jobs, history })
    }

    /// The names of the Jobs.
    pub(crate) fn jobs(&self) -> &[String] {
        &self.jobs
    }

    fn handles(&self) -> Vec<JobHandle<'_>> {
        self.jobs.iter().map(|name| self.env.job(name)).collect()
    }

    /// Waits until the containers of all Jobs run on these nodes.
    pub(crate) async fn until_running_on(&self, nodes: &[&Node]) -> Result<Containers> {
        self.until_running_again(nodes, &Containers::new()).await
    }

    /// Waits until the containers of all Jobs run on these nodes that are others than `not`.
    pub(crate) async fn until_running_again(
        &self,
        nodes: &[&Node],
        not: &Containers,
    ) -> Result<Containers> {
        let expected = format!("{} Jobs running on {} nodes", self.jobs.len(), nodes.len());
        self.env
            .until_pods(&expected, |pods| {
                let running = running_containers(pods, nodes, not);
                (running.len() == self.jobs.len() * nodes.len()).then_some(running)
            })
            .await
    }

    /// Lets all Jobs be done on these nodes.
    pub(crate) async fn open(&self, nodes: &[&Node]) -> Result<()> {
        let released = self.jobs.iter().map(|job| self.release(job, nodes));
        try_join_all(released).await?;
        Ok(())
    }

    /// Lets one Job be done on these nodes.
    pub(crate) async fn release(&self, job: &str, nodes: &[&Node]) -> Result<()> {
        self.env.touch(nodes.iter().copied(), &format!("{RELEASE}{job}")).await
    }

    /// Waits until all Jobs are done on so many nodes of so many, and verifies that none is finished.
    pub(crate) async fn until_done_on(&self, done: usize, wanted: usize) -> Result<()> {
        let completed = format!("{done}/{wanted}");
        for job in self.handles() {
            job.until_completed(&completed).await?;
        }
        self.none_is_finished().await
    }

    /// Waits until all Jobs say of a node that it is unreachable.
    pub(crate) async fn until_unreachable(&self, node: &Node) -> Result<()> {
        for job in self.handles() {
            let is_so = |node: &NodeStatus| node.state == Unreachable;
            job.until_node(node.name(), "unreachable", is_so).await?;
        }
        Ok(())
    }

    /// Waits until the work of all Jobs is done on a node, whether anybody knows or not.
    pub(crate) async fn until_proven_on(&self, node: &Node) -> Result<()> {
        let folder = self.env.folder();
        let deadline = self.env.wait.deadline();
        self.env.cx.phase.detail(format_args!("work done on {}", node.name()));
        for job in &self.jobs {
            node.wait_there(&format!("{folder}/{PROOF}{job}"), deadline).await?;
        }
        Ok(())
    }

    /// Sees that no Job ends in the time in which that would show.
    pub(crate) async fn none_ends(&self) -> Result<()> {
        self.env.settle().await;
        self.none_is_finished().await
    }

    async fn none_is_finished(&self) -> Result<()> {
        for job in self.handles() {
            let job = job.get().await?;
            ensure!(
                finished(&job).is_none() && job.metadata.deletion_timestamp.is_none(),
                "Job {} has ended early: {}",
                job.name_any(),
                describe(&job)
            );
        }
        Ok(())
    }

    /// Waits until all Jobs, done on these nodes, are gone; verifies their histories.
    pub(crate) async fn until_gone(self, nodes: &[&Node]) -> Result<()> {
        let Self { env, jobs, history } = self;
        env.until_none_of::<Job>().await?;
        let folder = env.folder();
        let times = try_join_all(nodes.iter().map(|node| node.file_times(&folder))).await?;
        let mut proofs = Proofs::new();
        for (name, time) in times.into_iter().flatten() {
            if let Some(job) = name.strip_prefix(PROOF) {
                proofs.entry(job.to_owned()).or_default().push(time);
            }
        }
        history.verify(env, &jobs, nodes.len(), &proofs).await
    }
}

/// The working containers that run: their ids, by pod.
pub(crate) type Containers = BTreeMap<String, String>;

/// The working containers that run on these nodes and are others than `not`.
pub(crate) fn running_containers(pods: &[&Pod], nodes: &[&Node], not: &Containers) -> Containers {
    let is_there = |pod: &&&Pod| nodes.iter().any(|node| Some(node.name()) == node_of(pod));
    pods.iter()
        .filter(is_there)
        .filter_map(|pod| Some((pod.name_any(), running_container(pod)?.to_owned())))
        .filter(|(pod, container)| not.get(pod) != Some(container))
        .collect()
}

/// The id of the pod's working container if that runs and the pod is to stay.
fn running_container(pod: &Pod) -> Option<&str> {
    let status = pod.status.as_ref()?;
    let statuses = status.init_container_statuses.iter().chain(&status.container_statuses);
    let is_running = |container: &&ContainerStatus| {
        container.name == labels::JOB_CONTAINER
            && container.state.as_ref().is_some_and(|state| state.running.is_some())
    };
    let running = statuses.flatten().find(is_running)?;
    let stays = pod.metadata.deletion_timestamp.is_none();
    running.container_id.as_deref().filter(|_| stays)
}

fn manifest(env: &ScenarioEnv<'_>, mode: &str, name: &str, code: u8) -> JobBuilder {
    let work = format!(
        "trap 'exit {code}' TERM\n\
         until [ -e /basetarget/{RELEASE}{name} ]; do sleep 0.2; done\n\
         [ -e /basetarget/{PROOF}{name} ] || touch /basetarget/{PROOF}{name}\n"
    );
    let script = match mode {
        WORD => format!("{work}echo done\nwhile :; do sleep 1; done\n"),
        _ => work,
    };
    let job = env.shell(name, &script).backoff_limit(0);
    match mode {
        EXIT => job.exit_code(),
        _ => job,
    }
}
