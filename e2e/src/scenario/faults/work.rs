//! The work that faults disturb.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use futures::future::try_join_all;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use kube::ResourceExt as _;

use super::history::{History, Proofs};
use crate::cluster::Node;
use crate::scenario::job::{self, WatchedJob};
use crate::scenario::scene::Scene;
use crate::scenario::{leftovers, manifest};

/// A Job that logs the word when its work is done.
pub(in crate::scenario) const WORD: &str = "logs-a-word";
/// A Job whose container then exits.
pub(in crate::scenario) const EXIT: &str = "exits";

/// The file that a Job's containers wait for, less the name of the Job.
const GATE: &str = "go-";
/// The file that they leave when their work is done.
const PROOF: &str = "ran-";

/// Jobs, and what has been seen of them. They forgive no failure.
pub(in crate::scenario) struct Work<'a> {
    scene: &'a Scene<'a>,
    jobs: Vec<String>,
    history: History,
}

impl<'a> Work<'a> {
    /// One Job of each mode.
    pub(in crate::scenario) async fn start(scene: &'a Scene<'a>) -> Result<Self> {
        Self::start_pairs(scene, 1).await
    }

    /// So many pairs of Jobs: one that logs a word, and one that exits.
    pub(in crate::scenario) async fn start_pairs(
        scene: &'a Scene<'a>,
        pairs: usize,
    ) -> Result<Self> {
        // What is asked to end says so.
        Self::start_ending(scene, pairs, 143).await
    }

    /// As [`Work::start`], with containers that exit with this code on SIGTERM.
    pub(in crate::scenario) async fn start_that_ends_with(
        scene: &'a Scene<'a>,
        code: u8,
    ) -> Result<Self> {
        Self::start_ending(scene, 1, code).await
    }

    async fn start_ending(scene: &'a Scene<'a>, pairs: usize, code: u8) -> Result<Self> {
        let history = History::record(scene).await?;
        let mut jobs = Vec::new();
        for number in 1..=pairs {
            for mode in [WORD, EXIT] {
                let name = format!("{mode}-{number}");
                scene.apply(&manifest(scene, mode, &name, code)).await?;
                jobs.push(name);
            }
        }
        Ok(Self { scene, jobs, history })
    }

    /// The names of the Jobs.
    pub(in crate::scenario) fn jobs(&self) -> &[String] {
        &self.jobs
    }

    fn watched(&self) -> Vec<WatchedJob<'_>> {
        self.jobs.iter().map(|name| self.scene.job(name)).collect()
    }

    /// Waits until the containers of all Jobs run on these nodes, and on no other.
    pub(in crate::scenario) async fn until_running_on(
        &self,
        nodes: &[&Node],
    ) -> Result<Containers> {
        self.until_containers(nodes, &Containers::new()).await
    }

    /// Waits until the containers of all Jobs run on these nodes that are others than `before`.
    pub(in crate::scenario) async fn until_running_again(
        &self,
        nodes: &[&Node],
        before: &Containers,
    ) -> Result<Containers> {
        self.until_containers(nodes, before).await
    }

    async fn until_containers(&self, nodes: &[&Node], not: &Containers) -> Result<Containers> {
        let expected = format!("{} Jobs running on {} nodes", self.jobs.len(), nodes.len());
        self.scene
            .until_pods(&expected, |pods| {
                let on_nodes = pods.iter().filter(|pod| {
                    let node = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref());
                    nodes.iter().any(|wanted| Some(wanted.name()) == node)
                });
                let running: Containers = on_nodes
                    .filter_map(|pod| Some((pod.name_any(), running_container(pod)?.to_owned())))
                    .filter(|(pod, container)| not.get(pod) != Some(container))
                    .collect();
                (running.len() == self.jobs.len() * nodes.len()).then_some(running)
            })
            .await
    }

    /// Lets all Jobs be done on these nodes.
    pub(in crate::scenario) async fn open(&self, nodes: &[&Node]) -> Result<()> {
        let gates = self.jobs.iter().map(|job| self.open_gate(job, nodes));
        try_join_all(gates).await?;
        Ok(())
    }

    /// Lets one Job be done on these nodes.
    pub(in crate::scenario) async fn open_gate(&self, job: &str, nodes: &[&Node]) -> Result<()> {
        self.scene.touch(nodes.iter().copied(), &format!("{GATE}{job}")).await
    }

    /// Waits until all Jobs have been recorded as done on so many nodes of so many, and sees that none
    /// is finished.
    pub(in crate::scenario) async fn until_done_on(
        &self,
        done: usize,
        wanted: usize,
    ) -> Result<()> {
        let completed = format!("{done}/{wanted}");
        for job in self.watched() {
            job.until_completed(&completed).await?;
        }
        self.none_is_finished().await
    }

    /// Waits until all Jobs say of a node that it is unreachable.
    pub(in crate::scenario) async fn until_unreachable(&self, node: &Node) -> Result<()> {
        use api::v1beta1::NodeState::Unreachable;
        for job in self.watched() {
            job.until(&format!("{} unreachable", node.name()), |job| {
                let status = job::status(job);
                job::node(&status, node.name()).is_ok_and(|node| node.state == Unreachable)
            })
            .await?;
        }
        Ok(())
    }

    /// Waits until the work of all Jobs is done on a node, whether anybody knows or not.
    pub(in crate::scenario) async fn until_proven_on(&self, node: &Node) -> Result<()> {
        let folder = self.scene.folder();
        let deadline = self.scene.wait.deadline();
        self.scene.cx.phase.detail(format_args!("work done on {}", node.name()));
        for job in &self.jobs {
            node.wait_there(&format!("{folder}/{PROOF}{job}"), deadline).await?;
        }
        Ok(())
    }

    /// Sees that no Job ends in the time in which that would show.
    pub(in crate::scenario) async fn none_ends(&self) -> Result<()> {
        self.scene.settle().await;
        self.none_is_finished().await
    }

    async fn none_is_finished(&self) -> Result<()> {
        for job in self.watched() {
            let job = job.get().await?;
            ensure!(
                job::finished(&job).is_none() && job.metadata.deletion_timestamp.is_none(),
                "Job {} has ended early: {}",
                job.name_any(),
                job::describe(&job)
            );
        }
        Ok(())
    }

    /// Waits until all Jobs have deleted themselves, and sees that they did so when they were done on
    /// these nodes, and kept all promises on the way there.
    pub(in crate::scenario) async fn until_gone(self, nodes: &[&Node]) -> Result<()> {
        let Self { scene, jobs, history } = self;
        let wait = &scene.wait;
        leftovers::wait_until_none_of::<api::v1beta1::Job>(scene.cx.client, wait, scene.namespace)
            .await?;
        let folder = scene.folder();
        let times = try_join_all(nodes.iter().map(|node| node.file_times(&folder))).await?;
        let mut proofs = Proofs::new();
        for (name, time) in times.into_iter().flatten() {
            if let Some(job) = name.strip_prefix(PROOF) {
                proofs.entry(job.to_owned()).or_default().push(time);
            }
        }
        history.judge(scene, &jobs, nodes.len(), &proofs).await
    }
}

/// The working containers that run: their ids, by pod.
pub(in crate::scenario) type Containers = BTreeMap<String, String>;

/// The id of the pod's working container if that runs and the pod is to stay.
pub(super) fn running_container(pod: &Pod) -> Option<&str> {
    let status = pod.status.as_ref()?;
    let statuses = status.init_container_statuses.iter().chain(&status.container_statuses);
    let is_running = |container: &&ContainerStatus| {
        container.name == api::names::JOB_CONTAINER
            && container.state.as_ref().is_some_and(|state| state.running.is_some())
    };
    let running = statuses.flatten().find(is_running)?;
    let stays = pod.metadata.deletion_timestamp.is_none();
    running.container_id.as_deref().filter(|_| stays)
}

fn manifest(scene: &Scene<'_>, mode: &str, name: &str, code: u8) -> String {
    let work = format!(
        "trap 'exit {code}' TERM\n\
         until [ -e /basetarget/{GATE}{name} ]; do sleep 0.2; done\n\
         [ -e /basetarget/{PROOF}{name} ] || touch /basetarget/{PROOF}{name}\n"
    );
    let script = match mode {
        WORD => format!("{work}echo done\nwhile :; do sleep 1; done\n"),
        _ => work,
    };
    let mut job = manifest::shell(scene, name, &script);
    job["spec"]["backoffLimitPerNode"] = 0.into();
    if mode == EXIT {
        job["spec"]["completionMode"] = "ExitCode".into();
    }
    job.to_string()
}
