//! The environment of a scenario: its namespace, and its folder on every node.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use api::job::Job;
use futures::future::try_join_all;
use harness::deadline::Deadline;
use harness::job_builder::JobBuilder;
use harness::job_handle::{self, JobHandle, node_of};
use harness::kubectl;
use harness::process::Cmd;
use harness::wait::{Namespaced, Objects, State, Waiter};
use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::api::{DeleteParams, PostParams};
use kube::runtime::watcher;
use kube::{Api, ResourceExt as _};
use testbed::deploy;
use testbed::kind::Node;

use crate::support::context::{Context, LABEL_SCENARIO};
use crate::support::leftovers;

/// How long a scenario may take. On two processors a pod takes half a minute.
const LIMIT: Duration = Duration::from_secs(300);

/// How long to look for what must not happen. What happens to a Job shows within a second.
const SETTLE: Duration = Duration::from_secs(3);

/// How long each step may take that leaves the cluster as it was, after a scenario that took too long.
const CLEANUP: Duration = Duration::from_secs(60);

/// The environment of a scenario.
pub(crate) struct ScenarioEnv<'a> {
    pub(crate) cx: Context<'a>,
    pub(crate) nodes: Vec<Node>,
    pub(crate) wait: Waiter<'a>,
    pub(crate) namespace: &'a str,
}

impl<'a> ScenarioEnv<'a> {
    /// Makes the namespace, and the folder on the nodes; what an earlier run left of them goes first.
    pub(crate) async fn open(cx: Context<'a>, namespace: &'a str) -> Result<Self> {
        let deadline = Deadline::after(LIMIT);
        let wait = Waiter::new(cx.client, cx.phase, namespace, deadline);
        let nodes = cx.cluster.nodes().await?;
        let env = Self { cx, nodes, wait, namespace };
        env.remove_earlier().await?;
        let mut object = Namespace::default();
        object.metadata.name = Some(namespace.to_owned());
        object.labels_mut().insert(LABEL_SCENARIO.to_owned(), "true".to_owned());
        let namespaces: Api<Namespace> = Api::all(cx.client.clone());
        namespaces.create(&PostParams::default(), &object).await?;
        let folder = env.folder();
        env.on_all_nodes(&["mkdir", "-p", "--", &folder]).await?;
        Ok(env)
    }

    /// Deletes the Jobs that are left, verifies that all that is of them goes, and removes the rest.
    ///
    /// Nobody waits for the removal of what [`ScenarioEnv::open`] made: an invariant covers it.
    pub(crate) async fn close(self) -> Result<()> {
        let jobs: Api<Job> = self.api();
        jobs.delete_collection(&DeleteParams::default(), &Default::default()).await?;
        self.until_none_of_jobs().await?;
        let namespaces: Api<Namespace> = Api::all(self.cx.client.clone());
        namespaces.delete(self.namespace, &DeleteParams::default()).await?;
        self.remove_folder().await
    }

    async fn remove_earlier(&self) -> Result<()> {
        let namespaces: Api<Namespace> = Api::all(self.cx.client.clone());
        if namespaces.get_opt(self.namespace).await?.is_some() {
            namespaces.delete(self.namespace, &DeleteParams::default()).await?;
            let pods: Api<Pod> = self.api();
            let at_once = DeleteParams::default().grace_period(0);
            pods.delete_collection(&at_once, &Default::default()).await?;
            self.wait.gone(namespaces, self.namespace).await?;
        }
        self.remove_folder().await
    }

    async fn remove_folder(&self) -> Result<()> {
        let folder = self.folder();
        let folder = [folder.as_str()];
        try_join_all(self.nodes.iter().map(|node| node.remove(&folder))).await?;
        Ok(())
    }

    /// The folder on every node, for Jobs to mount. It outlives a reboot, which `/tmp` does not.
    pub(crate) fn folder(&self) -> String {
        format!("/var/tmp/{}", self.namespace)
    }

    fn path(&self, file: &str) -> String {
        format!("{}/{file}", self.folder())
    }

    /// Makes a file in the folder of these nodes.
    pub(crate) async fn touch(
        &self,
        nodes: impl IntoIterator<Item = &Node>,
        file: &str,
    ) -> Result<()> {
        let path = self.path(file);
        let path = [path.as_str()];
        try_join_all(nodes.into_iter().map(|node| node.touch(&path))).await?;
        Ok(())
    }

    /// The names of the nodes that have a file in their folder.
    pub(crate) async fn nodes_with(&self, file: &str) -> Result<Vec<&str>> {
        let path = self.path(file);
        let has = try_join_all(self.nodes.iter().map(|node| node.has(&path))).await?;
        Ok(self
            .nodes
            .iter()
            .zip(has)
            .filter(|(_, has)| *has)
            .map(|(node, _)| node.name())
            .collect())
    }

    /// Runs a command on every node.
    pub(crate) async fn on_all_nodes(&self, command: &[&str]) -> Result<()> {
        try_join_all(self.nodes.iter().map(|node| node.exec(command).run(self.cx.logs))).await?;
        Ok(())
    }

    /// A Job that runs a shell script on every node, with the folder of the scenario at `/basetarget`.
    pub(crate) fn shell(&self, name: &str, script: &str) -> JobBuilder {
        JobBuilder::shell(name, script).mount(&self.folder())
    }

    /// Applies a manifest as users do, who are warned of nothing.
    pub(crate) async fn apply(&self, manifest: &impl ToString) -> Result<()> {
        let apply = self.kubectl_command(&["apply", "--filename", "-"]).stdin(manifest.to_string());
        kubectl::without_warning(apply, self.cx.logs).await?;
        Ok(())
    }

    /// Runs kubectl in the namespace.
    pub(crate) async fn kubectl(&self, args: &[&str], stdin: &str) -> Result<()> {
        self.kubectl_command(args).stdin(stdin).run(self.cx.logs).await?;
        Ok(())
    }

    /// A command of kubectl in the namespace.
    pub(crate) fn kubectl_command(&self, args: &[&str]) -> Cmd {
        let verb = args.first().copied().unwrap_or_default();
        // What follows a double dash is for somebody else.
        let namespace = ["--namespace", self.namespace];
        self.cx
            .cluster
            .kubectl(namespace.iter().chain(args))
            .timeout(self.wait.deadline().remaining().max(CLEANUP))
            .name(format!("kubectl-{verb}-{}", self.namespace))
    }

    /// Runs kubectl in the namespace of our own Deployment.
    pub(crate) async fn kubectl_ours(&self, args: &[&str]) -> Result<()> {
        let verb = args.first().copied().unwrap_or_default();
        self.cx
            .cluster
            .kubectl(args.iter().chain(&["--namespace", &self.cx.deployed.namespace]))
            .timeout(self.wait.deadline().remaining().max(CLEANUP))
            .name(format!("kubectl-{verb}-ours"))
            .run(self.cx.logs)
            .await?;
        Ok(())
    }

    /// Deletes what is in `deploy/`, some of which goes with the namespace before.
    pub(crate) async fn uninstall(&self) -> Result<()> {
        self.kubectl_ours(&["delete", "--ignore-not-found", "--filename", deploy::MANIFESTS]).await
    }

    /// The name of the namespace.
    pub(crate) fn namespace(&self) -> &str {
        self.namespace
    }

    /// The Job of this name.
    pub(crate) fn job(&self, name: &str) -> JobHandle<'a> {
        JobHandle::new(name, self.namespace, self.wait.clone())
    }

    /// Access to the objects of the namespace.
    pub(crate) fn api<K: Namespaced>(&self) -> Api<K> {
        Api::namespaced(self.cx.client.clone(), self.namespace)
    }

    /// Waits until the pods of the namespace satisfy a check.
    pub(crate) async fn until_pods<T>(
        &self,
        expected: &str,
        mut check: impl FnMut(&[&Pod]) -> Option<T>,
    ) -> Result<T> {
        let pods: Api<Pod> = self.api();
        self.wait
            .watch(pods, watcher::Config::default(), expected, |pods: &Objects<Pod>| {
                let pods: Vec<_> = pods.values().collect();
                State::of(check(&pods), || pods.into_iter().map(describe).collect())
            })
            .await
    }

    /// The UIDs of the pods.
    pub(crate) async fn pod_uids(&self) -> Result<BTreeSet<String>> {
        let pods = self.api::<Pod>().list(&Default::default()).await?;
        Ok(pods.items.iter().filter_map(|pod| pod.uid()).collect())
    }

    /// The nodes on which our own pods do not run.
    pub(crate) async fn nodes_without_ours(&self) -> Result<Vec<&Node>> {
        let pods = self.cx.deployed.pods(self.cx.client).await?;
        let is_ours = |node: &&Node| pods.iter().any(|pod| node_of(pod) == Some(node.name()));
        Ok(self.nodes.iter().filter(|node| !is_ours(node)).collect())
    }

    /// Waits until each node has one pod, with all of its containers running.
    pub(crate) async fn until_running_everywhere(&self) -> Result<()> {
        self.until_pods_run(self.nodes.len()).await
    }

    /// Waits until there are so many pods, with all of their containers running.
    pub(crate) async fn until_pods_run(&self, wanted: usize) -> Result<()> {
        self.until_pods(&format!("{wanted} running pods"), |pods| {
            (pods.len() == wanted && pods.iter().all(|pod| is_running(pod))).then_some(())
        })
        .await
    }

    /// Waits until a file is gone from the folder of every node.
    pub(crate) async fn until_removed(&self, file: &str) -> Result<()> {
        let path = self.path(file);
        let deadline = self.wait.deadline();
        self.cx.phase.detail(format_args!("{path} gone from every node"));
        try_join_all(self.nodes.iter().map(|node| node.wait_gone(&path, deadline))).await?;
        Ok(())
    }

    /// Waits until no Job is left, nor anything of one.
    async fn until_none_of_jobs(&self) -> Result<()> {
        leftovers::until_gone(&self.wait, self.namespace, |_| true).await
    }

    /// Waits until nothing runs any more, whether the Job stays or not, and until the pods are gone.
    pub(crate) async fn until_stopped(&self) -> Result<()> {
        self.until_none_of::<DaemonSet>().await?;
        self.until_none_of::<Pod>().await
    }

    /// Waits until the namespace holds no object of the kind.
    pub(crate) async fn until_none_of<K: Namespaced>(&self) -> Result<()> {
        self.wait.none_left::<K>(self.namespace, "", |_| true).await
    }

    /// Sees that a Job says of no node that it is done.
    pub(crate) fn none_is_done(&self, job: &Job) -> Result<()> {
        let none = self.of_all(0);
        ensure!(
            job_handle::status(job).completed.as_ref() == Some(&none),
            "expected {none} nodes done: {}",
            job_handle::describe(job)
        );
        Ok(())
    }

    /// Sees that these nodes, and no others, have a file in their folder.
    pub(crate) async fn only_these_have<'n>(
        &self,
        file: &str,
        nodes: impl IntoIterator<Item = &'n Node>,
    ) -> Result<()> {
        let have = self.nodes_with(file).await?;
        let wanted: Vec<_> = nodes.into_iter().map(Node::name).collect();
        ensure!(have == wanted, "{file} is on {have:?}, and it should be on {wanted:?}");
        Ok(())
    }

    /// Gives what must not happen the time to happen.
    pub(crate) async fn settle(&self) {
        self.cx.phase.detail("looking for what must not happen");
        tokio::time::sleep(SETTLE).await;
    }

    /// `done` nodes of all: `1/3`.
    pub(crate) fn of_all(&self, done: usize) -> String {
        format!("{done}/{}", self.nodes.len())
    }

    /// One node, for what is to happen on one only, and the others.
    pub(crate) fn special_node(&self) -> Result<(&Node, &[Node])> {
        self.nodes.split_last().context("the cluster has no node")
    }
}

/// Whether the pod stays, and all of its containers run.
pub(crate) fn is_running(pod: &Pod) -> bool {
    let statuses = pod.status.iter().flat_map(|status| &status.container_statuses).flatten();
    let running = statuses
        .filter(|container| container.state.as_ref().is_some_and(|state| state.running.is_some()));
    let wanted = pod.spec.as_ref().map_or(0, |spec| spec.containers.len());
    pod.metadata.deletion_timestamp.is_none() && wanted > 0 && running.count() == wanted
}

/// The pod in a few words.
pub(crate) fn describe(pod: &Pod) -> String {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    let leaving = if pod.metadata.deletion_timestamp.is_some() { ", leaving" } else { "" };
    format!("{} {}{leaving}; ", pod.name_any(), phase.unwrap_or("-"))
}
