//! A Job of a test, with the simulated pods of it.

use std::borrow::Borrow;
use std::ops::Deref;

use anyhow::Result;
use api::job::Job;
use api::labels;
use harness::job_builder::JobBuilder;
use harness::job_handle::JobHandle;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::ResourceExt as _;
use kube::api::{Patch, PatchParams};
use serde::Serialize;
use serde_json::{Value, json};
use testbed::simulation::SimPod;

use crate::cluster::NODES;
use crate::test::Test;

pub(crate) use harness::job_handle::{condition, find_node, phase};

/// The Job of the README, under another name.
pub(crate) fn manifest(name: &str) -> JobBuilder {
    JobBuilder::cleanup(name)
}

/// A Job that is done by exit codes, and stays when it is complete.
pub(crate) fn exit_code_manifest(name: &str) -> JobBuilder {
    JobBuilder::cleanup(name).exit_code().ttl(3600)
}

/// A Job in a namespace of a test.
#[derive(Clone)]
pub(crate) struct TestJob<'t> {
    handle: JobHandle<'static>,
    test: &'t Test,
}

impl Deref for TestJob<'_> {
    type Target = JobHandle<'static>;

    fn deref(&self) -> &Self::Target {
        &self.handle
    }
}

impl Test {
    /// Applies the manifest of a Job in the test's namespace, as a user does.
    pub(crate) async fn apply(&self, manifest: &impl Serialize) -> Result<TestJob<'_>> {
        self.apply_in(&self.namespace, manifest).await
    }

    /// Applies the manifest of a Job, and waits until it runs on all nodes, in the order of [`NODES`].
    pub(crate) async fn running(
        &self,
        manifest: &impl Serialize,
    ) -> Result<(TestJob<'_>, [SimPod; NODES.len()])> {
        let job = self.apply(manifest).await?;
        let pods = job.pods().await?;
        Ok((job, pods))
    }

    /// The same, and lets the first of them succeed.
    pub(crate) async fn running_with_one_done(
        &self,
        manifest: &impl Serialize,
    ) -> Result<(TestJob<'_>, [SimPod; NODES.len()])> {
        let (job, pods) = self.running(manifest).await?;
        pods[0].exit(0)?;
        job.until_completed("1/3").await?;
        Ok((job, pods))
    }

    /// The Job of this name in the test's namespace, whoever makes it.
    pub(crate) fn job(&self, name: &str) -> TestJob<'_> {
        self.job_in(&self.namespace, name)
    }

    fn job_in(&self, namespace: &str, name: &str) -> TestJob<'_> {
        TestJob { handle: JobHandle::new(name, namespace, self.wait()), test: self }
    }

    pub(crate) async fn apply_in(
        &self,
        namespace: &str,
        manifest: &impl Serialize,
    ) -> Result<TestJob<'_>> {
        let manifest = json!(manifest);
        let name = manifest["metadata"]["name"].as_str().unwrap_or_default();
        let job = self.job_in(namespace, name);
        let params = PatchParams::apply("a-user").force();
        job.api::<Job>().patch(name, &params, &Patch::Apply(&manifest)).await?;
        Ok(job)
    }

    /// Sees whether the API server would create a Job with this spec, as `kubectl create` does.
    pub(crate) async fn dry_run(&self, spec: &Value) -> kube::Result<()> {
        let mut job = manifest("dry-run").json();
        job["spec"] = spec.clone();
        let path = format!(
            "/apis/daemonset.darkowlzz.space/v1beta1/namespaces/{}/jobs?dryRun=All&fieldValidation=Strict",
            self.namespace
        );
        let body = job.to_string().into_bytes();
        let request = http::Request::post(path).header("Content-Type", "application/json");
        let request = request.body(body).map_err(kube::core::request::Error::BuildRequest);
        let request = request.map_err(kube::Error::BuildRequest)?;
        self.client.request::<Value>(request).await?;
        Ok(())
    }
}

impl TestJob<'_> {
    /// Waits for a running pod of the Job on a node.
    pub(crate) async fn pod(&self, node: &str) -> Result<SimPod> {
        self.pod_other_than(node, &[]).await
    }

    /// Waits for a running pod of the Job on a node that is none of these.
    pub(crate) async fn pod_other_than(&self, node: &str, old: &[SimPod]) -> Result<SimPod> {
        let is_there = |pod: &SimPod| pod.node().as_deref() == Some(node);
        self.running_pod(&format!(" on {node}"), old, is_there).await
    }

    /// Waits for a running pod of the Job on any node that is none of these.
    pub(crate) async fn another_pod(&self, old: &[SimPod]) -> Result<SimPod> {
        self.running_pod(", another one", old, |_| true).await
    }

    async fn running_pod(
        &self,
        which: &str,
        old: &[SimPod],
        is_it: impl Fn(&SimPod) -> bool,
    ) -> Result<SimPod> {
        let what = format!("running pod of {}{which}", self.name);
        let label = labels::label_value(&self.name);
        let matches = |pod: &SimPod| {
            pod.is_running()
                && pod.object().labels().get(labels::LABEL_JOB) == Some(&label)
                && old.iter().all(|old| old.uid() != pod.uid())
                && is_it(pod)
        };
        self.test.sim().wait_for(self.namespace(), &what, matches).await
    }

    /// Waits for running pods on all nodes, in the order of [`NODES`].
    pub(crate) async fn pods(&self) -> Result<[SimPod; NODES.len()]> {
        self.pods_other_than(&[]).await
    }

    pub(crate) async fn pods_other_than(&self, old: &[SimPod]) -> Result<[SimPod; NODES.len()]> {
        let [a, b, c] = NODES;
        Ok([
            self.pod_other_than(a, old).await?,
            self.pod_other_than(b, old).await?,
            self.pod_other_than(c, old).await?,
        ])
    }

    /// Lets all pods log the word, and waits until nothing is left of the Job.
    pub(crate) async fn complete_by_word(&self) -> Result<()> {
        log_done(self.pods().await?)?;
        self.until_gone().await
    }

    /// Lets all pods succeed, and waits until the Job is complete.
    pub(crate) async fn complete_by_exit_code(&self) -> Result<()> {
        exit_well(self.pods().await?)?;
        self.until_all_done().await
    }

    /// Lets the pod on worker-1 fail with these last words and the others succeed, and waits for the end.
    pub(crate) async fn fail_on_worker_1(&self, code: i32, words: &str) -> Result<Job> {
        let [first, failing, third] = self.pods().await?;
        failing.exit_with(code, words)?;
        exit_well([&first, &third])?;
        self.until_finished().await
    }

    /// Waits until the Job is complete on all nodes.
    pub(crate) async fn until_all_done(&self) -> Result<()> {
        self.until_ended("Completed", "done on 3 of 3 nodes").await.map(drop)
    }

    /// Writes into the status that the Job started seven hours ago.
    pub(crate) async fn start_long_ago(&self) -> Result<()> {
        let start = Time(Timestamp::now() - SignedDuration::from_hours(7));
        let start = Patch::Merge(json!({"status": {"startTime": start}}));
        self.api::<Job>().patch_status(&self.name, &PatchParams::default(), &start).await?;
        Ok(())
    }

    /// Waits until a pod is recorded as completed.
    pub(crate) async fn until_recorded(&self, pod: &SimPod) -> Result<()> {
        self.waiter().object(self.api::<Pod>(), &pod.name(), "completed", is_recorded).await?;
        Ok(())
    }
}

/// Lets the first containers of pods log the word.
pub(crate) fn log_done<P: Borrow<SimPod>>(pods: impl IntoIterator<Item = P>) -> Result<()> {
    pods.into_iter().try_for_each(|pod| pod.borrow().log("done\n"))
}

/// Lets the first containers of pods succeed.
pub(crate) fn exit_well<P: Borrow<SimPod>>(pods: impl IntoIterator<Item = P>) -> Result<()> {
    pods.into_iter().try_for_each(|pod| pod.borrow().exit(0))
}

/// Whether the pod has the condition by which the terminator records its completion.
pub(crate) fn is_recorded(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|s| s.conditions.as_ref());
    conditions
        .into_iter()
        .flatten()
        .any(|condition| condition.type_ == labels::POD_COMPLETED && condition.status == "True")
}
