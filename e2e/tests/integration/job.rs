//! What tests do with Jobs, and how they see what becomes of them.

use anyhow::{Result, ensure};
use api::names;
use api::v1beta1::{Job, NodeStatus, Phase};
use e2e::sim::SimPod;
use k8s_openapi::api::apps::v1::{ControllerRevision, DaemonSet};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::api::{DeleteParams, Patch, PatchParams};
use kube::{Api, Client, ResourceExt as _};
use serde_json::{Value, json};

use crate::cluster::NODES;
use crate::test::Test;
use crate::wait::{until, until_none};

/// The Job of the README, under another name.
pub(crate) fn manifest(name: &str) -> Value {
    json!({
        "apiVersion": "daemonset.darkowlzz.space/v1beta1",
        "kind": "Job",
        "metadata": {"name": name},
        "spec": {
            "image": "darkowlzz/cleanup:v0.0.2",
            "args": ["/basetarget/foo"],
            "mountPath": "/tmp",
        },
    })
}

/// A Job whose containers are done when they exit with 0. It stays when it is complete, for tests to
/// look at.
pub(crate) fn exit_code_manifest(name: &str) -> Value {
    let mut manifest = manifest(name);
    manifest["spec"]["completionMode"] = json!("ExitCode");
    manifest["spec"]["ttlSecondsAfterFinished"] = json!(3600);
    manifest
}

/// The Job without a TTL.
pub(crate) fn without_ttl(mut manifest: Value) -> Value {
    let spec = manifest["spec"].as_object_mut().expect("a spec");
    spec.remove("ttlSecondsAfterFinished");
    manifest
}

/// A Job in a namespace, by name: there may be several of that name, one after another.
#[derive(Clone)]
pub(crate) struct JobHandle<'t> {
    pub(crate) name: String,
    namespace: String,
    test: &'t Test,
}

impl Test {
    /// Applies the manifest of a Job in the test's namespace, as a user does.
    pub(crate) async fn apply(&self, manifest: &Value) -> Result<JobHandle<'_>> {
        self.apply_in(&self.namespace, manifest).await
    }

    pub(crate) async fn apply_in(
        &self,
        namespace: &str,
        manifest: &Value,
    ) -> Result<JobHandle<'_>> {
        let name = manifest["metadata"]["name"].as_str().unwrap_or_default();
        let job = JobHandle { name: name.to_owned(), namespace: namespace.to_owned(), test: self };
        let params = PatchParams::apply("a-user").force();
        job.api::<Job>().patch(name, &params, &Patch::Apply(manifest)).await?;
        Ok(job)
    }
}

impl Test {
    /// Sees whether the API server would create a Job with this spec, as `kubectl create` does.
    pub(crate) async fn dry_run(&self, spec: &Value) -> kube::Result<()> {
        let mut job = manifest("dry-run");
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

impl JobHandle<'_> {
    fn client(&self) -> Client {
        self.test.client.clone()
    }

    /// An interface to the objects of a kind in the Job's namespace.
    pub(crate) fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = kube::core::NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client(), &self.namespace)
    }

    pub(crate) fn daemon_set_name(&self) -> String {
        names::daemon_set(&self.name)
    }

    /// The Job as it is now.
    pub(crate) async fn get(&self) -> Result<Job> {
        Ok(self.api::<Job>().get(&self.name).await?)
    }

    /// Waits until there is a DaemonSet.
    pub(crate) async fn daemon_set(&self) -> Result<DaemonSet> {
        let name = self.daemon_set_name();
        until(&self.api::<DaemonSet>(), &name, "to exist", |_| true).await
    }

    pub(crate) async fn delete(&self) -> Result<()> {
        let params = DeleteParams::background();
        self.api::<Job>().delete(&self.name, &params).await?;
        Ok(())
    }

    /// Waits until the Job is as wanted.
    pub(crate) async fn until(&self, what: &str, matches: impl Fn(&Job) -> bool) -> Result<Job> {
        until(&self.api::<Job>(), &self.name, what, matches).await
    }

    /// Waits until `status.completed` reads so.
    pub(crate) async fn until_completed(&self, completed: &str) -> Result<Job> {
        self.until(&format!("{completed} completed"), |job| {
            let status = job.status.as_ref();
            status.and_then(|s| s.completed.as_deref()) == Some(completed)
        })
        .await
    }

    /// Waits until a condition is true.
    pub(crate) async fn until_condition(&self, type_: &str) -> Result<Condition> {
        let what = format!("condition {type_}");
        let job = self.until(&what, |job| condition(job, type_).is_some()).await?;
        Ok(condition(&job, type_).expect("just seen").clone())
    }

    /// Waits until the Job is complete or has failed.
    pub(crate) async fn until_finished(&self) -> Result<Job> {
        self.until("finished", |job| {
            job.status.as_ref().is_some_and(|s| api::conditions::finished(&s.conditions).is_some())
        })
        .await
    }

    /// Waits until the Job is complete or has failed for `reason`, and says `message`.
    pub(crate) async fn until_ended(&self, reason: &str, message: &str) -> Result<Job> {
        let job = self.until_finished().await?;
        let conditions = &job.status.as_ref().expect("it is finished").conditions;
        ensure!(conditions.len() == 1, "{conditions:?}");
        let condition = &conditions[0];
        ensure!(condition.reason == reason && condition.message == message, "{condition:?}");
        Ok(job)
    }

    /// Waits until a node is listed in the Job's status, and as wanted.
    pub(crate) async fn until_node(
        &self,
        node: &str,
        what: &str,
        matches: impl Fn(&NodeStatus) -> bool,
    ) -> Result<NodeStatus> {
        let what = format!("{node}: {what}");
        let job = self.until(&what, |job| find_node(job, node).is_some_and(&matches)).await?;
        Ok(find_node(&job, node).expect("just seen").clone())
    }

    /// Waits until nothing runs for the Job any more: its DaemonSet and its pods are gone.
    pub(crate) async fn until_stopped(&self) -> Result<()> {
        let name = self.daemon_set_name();
        until_none(&self.api::<DaemonSet>(), "", |set| set.name_any() == name).await?;
        let label = names::label_value(&name);
        let selector = format!("{}={label}", names::LABEL_DAEMON_SET);
        until_none(&self.api::<Pod>(), &selector, |_| true).await
    }

    /// Waits until nothing is left of the Job.
    pub(crate) async fn until_gone(&self) -> Result<()> {
        until_none(&self.api::<Job>(), "", |job| job.name_any() == self.name).await?;
        let name = self.daemon_set_name();
        until_none(&self.api::<DaemonSet>(), "", |set| set.name_any() == name).await?;
        let label = names::label_value(&name);
        let selector = format!("{}={label}", names::LABEL_DAEMON_SET);
        until_none(&self.api::<Pod>(), &selector, |_| true).await?;
        until_none(&self.api::<ControllerRevision>(), &selector, |_| true).await
    }

    /// Waits for a running pod of the Job on a node.
    pub(crate) async fn pod(&self, node: &str) -> Result<SimPod> {
        self.pod_other_than(node, &[]).await
    }

    /// Waits for a running pod of the Job on a node that is none of these.
    pub(crate) async fn pod_other_than(&self, node: &str, old: &[SimPod]) -> Result<SimPod> {
        let what = format!("running pod of {} on {node}", self.name);
        let label = names::label_value(&self.name);
        self.test
            .sim()
            .wait_for(&self.namespace, &what, |pod| {
                pod.node().as_deref() == Some(node)
                    && pod.is_running()
                    && pod.object().labels().get(names::LABEL_JOB) == Some(&label)
                    && old.iter().all(|old| old.uid() != pod.uid())
            })
            .await
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

    /// Waits until a pod is recorded as completed.
    pub(crate) async fn until_recorded(&self, pod: &SimPod) -> Result<()> {
        until(&self.api::<Pod>(), &pod.name(), "completed", is_recorded).await?;
        Ok(())
    }
}

/// A node in the list of a Job's status.
pub(crate) fn find_node<'j>(job: &'j Job, node: &str) -> Option<&'j NodeStatus> {
    job.status.as_ref()?.nodes.iter().find(|status| status.name == node)
}

/// Whether the pod has the condition by which the terminator records its completion.
pub(crate) fn is_recorded(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|s| s.conditions.as_ref());
    conditions
        .into_iter()
        .flatten()
        .any(|condition| condition.type_ == names::POD_COMPLETED && condition.status == "True")
}

/// The condition of a Job, if it is true.
pub(crate) fn condition<'j>(job: &'j Job, type_: &str) -> Option<&'j Condition> {
    api::conditions::find_true(&job.status.as_ref()?.conditions, type_)
}

/// The phase of a Job.
pub(crate) fn phase(job: &Job) -> Option<Phase> {
    job.status.as_ref()?.phase
}
