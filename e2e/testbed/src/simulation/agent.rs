//! What the kubelets do of their own accord.
//!
//! There is one watch over all pods, and a task for each pod that brings its object up to date.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::{Pod, PodStatus};
use kube::api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client, ResourceExt as _};
use serde_json::json;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::pod::SimPod;
use super::pods::{Hold, Pods};
use super::status;

/// How many calls to the API server are under way at once, however many pods there are.
const MAX_CALLS: usize = 64;

/// How long to wait before a call that failed is tried again.
const RETRY: Duration = Duration::from_millis(200);

/// How long a kubelet takes to stop the containers of a pod, at least.
const STOPPING: Duration = Duration::from_millis(100);

/// How long the watch may take to show a change that the API server has accepted.
const SHOWN: Duration = Duration::from_secs(1);

pub(super) struct Agent {
    pub(super) client: Client,
    pub(super) pods: Arc<Pods>,
    pub(super) stop: CancellationToken,
    calls: Semaphore,
}

/// What the kubelet (or, for the first, the scheduler) does next with a pod.
#[derive(Debug, PartialEq)]
enum Step {
    Bind(String),
    Start,
    Report(Box<PodStatus>),
    Remove,
    Wait,
}

impl Agent {
    pub(super) fn new(client: Client, pods: Arc<Pods>, stop: CancellationToken) -> Self {
        Self { client, pods, stop, calls: Semaphore::new(MAX_CALLS) }
    }

    /// Watches all pods until it is stopped.
    pub(super) async fn run(self: Arc<Self>) {
        let api: Api<Pod> = Api::all(self.client.clone());
        let mut events = watcher(api, watcher::Config::default())
            .default_backoff()
            .modify(|pod| pod.managed_fields_mut().clear())
            .boxed();
        let mut listed = HashSet::new();
        loop {
            let event = tokio::select! {
                event = events.next() => event,
                () = self.stop.cancelled() => return,
            };
            match event {
                None => return,
                Some(Err(error)) => tracing::warn!(%error, "the watch of all pods starts over"),
                Some(Ok(watcher::Event::Init)) => listed.clear(),
                Some(Ok(watcher::Event::InitApply(pod))) => {
                    listed.extend(pod.uid());
                    self.observe(pod);
                }
                Some(Ok(watcher::Event::InitDone)) => self.pods.retain(&listed),
                Some(Ok(watcher::Event::Apply(pod))) => self.observe(pod),
                Some(Ok(watcher::Event::Delete(pod))) => {
                    self.pods.forget(&pod.uid().unwrap_or_default());
                }
            }
        }
    }

    fn observe(self: &Arc<Self>, object: Pod) {
        if let Some(pod) = self.pods.observe(object, &self.stop) {
            tokio::spawn(self.clone().tend(pod));
        }
    }

    /// Looks after one pod until it is gone.
    async fn tend(self: Arc<Self>, pod: SimPod) {
        let gone = pod.gone().clone();
        gone.run_until_cancelled(self.tend_forever(&pod)).await;
    }

    async fn tend_forever(&self, pod: &SimPod) {
        let (mut object, mut run) = pod.changes();
        let mut holds = self.pods.hold_changes();
        let mut begun = false;
        loop {
            run.mark_unchanged();
            holds.mark_unchanged();
            let seen = object.borrow_and_update().clone();
            let step = self.next(pod, &seen);
            match step {
                Step::Wait => {
                    // None of the senders goes away while this pod and these pods are held here.
                    let _ = tokio::select! {
                        changed = object.changed() => changed,
                        changed = run.changed() => changed,
                        changed = holds.changed() => changed,
                    };
                }
                Step::Start => pod.start(),
                step => {
                    let reports = matches!(step, Step::Report(_));
                    let patience = match self.act(&seen, step).await {
                        Ok(()) => {
                            if reports && !std::mem::replace(&mut begun, true) {
                                self.begin(pod);
                            }
                            SHOWN
                        }
                        // The pod has changed meanwhile, or is about to go with its namespace.
                        Err(kube::Error::Api(status)) if matches!(status.code, 403 | 404 | 409) => {
                            SHOWN
                        }
                        Err(error) => {
                            let pod = pod.name();
                            tracing::warn!(%error, pod, "a simulated kubelet tries again");
                            RETRY
                        }
                    };
                    // The watch shows what came of it; until then the next step would be the same.
                    // It shows nothing when there was nothing left to change.
                    let _ = tokio::time::timeout(patience, object.changed()).await;
                }
            }
        }
    }

    /// Lets happen in a pod what was said to happen in those of its namespace.
    ///
    /// Not before the API server knows that it runs: all nodes share one connection to the API server and
    /// one limit of calls, and would tell of their pods seconds after their start when many start at once.
    /// Of a thousand real kubelets, each tells of its own at once.
    fn begin(&self, pod: &SimPod) {
        if let Some(behaviour) = self.pods.behaviour(&pod.namespace()) {
            let gone = pod.gone().clone();
            let work = behaviour(pod.clone());
            tokio::spawn(async move { gone.run_until_cancelled(work).await });
        }
    }

    fn next(&self, pod: &SimPod, object: &Pod) -> Step {
        let spec = object.spec.as_ref();
        let Some(node) = spec.and_then(|spec| spec.node_name.as_deref()) else {
            // As the scheduler, which leaves pods with gates alone.
            let is_gated = spec
                .and_then(|spec| spec.scheduling_gates.as_ref())
                .is_some_and(|gates| !gates.is_empty());
            return match meant_for(object).filter(|_| !is_gated) {
                Some(node) if self.pods.has_node(&node) => Step::Bind(node),
                _ => Step::Wait,
            };
        };
        if !self.pods.has_node(node) {
            return Step::Wait;
        }
        let namespace = object.namespace().unwrap_or_default();
        let held = |hold| self.pods.is_held(hold, &namespace, node);
        let run = pod.run();
        // A kubelet reports how containers have ended before it removes their pod.
        if let Some(status) = run.as_ref().and_then(|run| status::update(object, run, pod.ip())) {
            return Step::Report(Box::new(status));
        }
        if object.metadata.deletion_timestamp.is_some() && !held(Hold::Stop) {
            return Step::Remove;
        }
        if run.is_none() && !held(Hold::Start) { Step::Start } else { Step::Wait }
    }

    async fn act(&self, object: &Pod, step: Step) -> kube::Result<()> {
        if step == Step::Remove {
            tokio::time::sleep(STOPPING).await;
        }
        // Fails only when it is closed, which nobody does.
        let _permit = self.calls.acquire().await.ok();
        let namespace = object.namespace().unwrap_or_default();
        let api: Api<Pod> = Api::namespaced(self.client.clone(), &namespace);
        let name = object.name_any();
        match step {
            Step::Wait | Step::Start => {}
            Step::Bind(node) => bind(&api, object, &node).await?,
            Step::Report(status) => {
                let patch = status_patch(object, &status)?;
                let params = PatchParams::default();
                api.patch_status(&name, &params, &Patch::Strategic(patch)).await?;
            }
            Step::Remove => {
                let its = Preconditions { uid: object.uid(), resource_version: None };
                let params = DeleteParams::default().grace_period(0).preconditions(its);
                api.delete(&name, &params).await?;
            }
        }
        Ok(())
    }
}

/// A strategic merge, by which conditions of others stay. What is unset in one of ours has to be named.
fn status_patch(object: &Pod, status: &PodStatus) -> kube::Result<serde_json::Value> {
    let mut status = serde_json::to_value(status).map_err(kube::Error::SerdeError)?;
    for condition in status["conditions"].as_array_mut().into_iter().flatten() {
        for field in ["reason", "message"] {
            if condition[field].is_null() {
                condition[field] = serde_json::Value::Null;
            }
        }
    }
    Ok(json!({"metadata": {"uid": object.uid()}, "status": status}))
}

async fn bind(api: &Api<Pod>, object: &Pod, node: &str) -> kube::Result<()> {
    let name = object.name_any();
    let binding = json!({
        "apiVersion": "v1",
        "kind": "Binding",
        "metadata": {"name": name, "uid": object.uid()},
        "target": {"kind": "Node", "name": node},
    });
    // Answers with a Status.
    let _: serde_json::Value =
        api.create_subresource("binding", &name, &PostParams::default(), &binding).await?;
    Ok(())
}

/// The node that the DaemonSet controller has made a pod for, as the scheduler would read it.
fn meant_for(pod: &Pod) -> Option<String> {
    let affinity = pod.spec.as_ref()?.affinity.as_ref()?.node_affinity.as_ref()?;
    let required = affinity.required_during_scheduling_ignored_during_execution.as_ref()?;
    let fields = required.node_selector_terms.iter().flat_map(|term| term.match_fields.iter());
    let name = fields.flatten().find(|field| field.key == "metadata.name")?;
    name.values.as_ref()?.first().cloned()
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::PodCondition;

    use super::*;

    #[test]
    fn patch_takes_away_the_reason_that_a_condition_no_longer_has() {
        let condition = PodCondition {
            type_: "Ready".to_owned(),
            status: "True".to_owned(),
            ..PodCondition::default()
        };
        let status = PodStatus { conditions: Some(vec![condition]), ..PodStatus::default() };
        let patch = status_patch(&Pod::default(), &status).expect("a patch");
        let condition = &patch["status"]["conditions"][0];
        let fields = condition.as_object().expect("an object");
        assert!(fields.contains_key("reason"), "{condition}");
        assert!(fields.contains_key("message"), "{condition}");
    }
}
