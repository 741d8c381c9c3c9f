//! Which log tells whether a pod's work is done.

use std::sync::Arc;

use api::{names, v1beta1::CompletionMode, views::PodView};
use k8s_openapi::jiff::Timestamp;
use tracing::{Span, info_span};

/// A log that is to be read.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Target {
    /// UID of the pod.
    pub uid: Arc<str>,
    /// Namespace of the pod.
    pub namespace: String,
    /// Name of the pod.
    pub name: String,
    /// Name of its DaemonSet.
    pub daemon_set: String,
    /// Name of its node.
    pub node: String,
    /// What to look for.
    pub word: String,
    /// Identifies the run of the container: each run has a log of its own.
    pub run: String,
    /// When the run began, while it goes on.
    pub started: Option<Timestamp>,
    /// Whether the run is over, so that its log will not grow.
    pub is_over: bool,
}

impl Target {
    /// What is logged of it bears these names.
    pub(crate) fn span(&self) -> Span {
        // That of the Job, unless it was too long.
        let job = names::job_of_daemon_set(&self.daemon_set).unwrap_or(&self.daemon_set);
        info_span!("pod", namespace = self.namespace, job, pod = self.name, node = self.node)
    }
}

/// The log of `pod` that is to be read: none once its work is done, nor before its container runs.
/// Only pods of DaemonSets count, whatever other pods are labelled.
#[must_use]
pub fn target(pod: &PodView, default_word: &str) -> Option<Target> {
    let owner = pod.daemon_set()?;
    if pod.has_logged_word() {
        return None;
    }
    let container = pod.job_container(CompletionMode::TerminationWord)?;
    let state = container.state.as_ref();
    let terminated = state.and_then(|state| state.terminated.as_ref());
    let running = state.and_then(|state| state.running.as_ref());
    // A container that waits to be started again has the log of its last run.
    let run = container.container_id.clone().filter(|id| !id.is_empty())?;
    let annotations = pod.metadata.annotations.as_ref();
    let word = annotations.and_then(|all| all.get(names::ANNOTATION_TERMINATION_WORD));
    Some(Target {
        uid: pod.metadata.uid.as_deref()?.into(),
        namespace: pod.metadata.namespace.clone()?,
        name: pod.metadata.name.clone()?,
        daemon_set: owner.name.clone(),
        node: pod.spec.node_name.clone().unwrap_or_default(),
        word: word.map_or_else(|| default_word.to_owned(), Clone::clone),
        run,
        started: running.and_then(|running| Some(running.started_at.as_ref()?.0)),
        is_over: terminated.is_some() || running.is_none(),
    })
}

#[cfg(test)]
impl Target {
    /// One of a pod and a run, of which the other fields say little.
    pub(crate) fn of_run(uid: &str, run: &str) -> Self {
        Self {
            uid: uid.into(),
            namespace: "n".to_owned(),
            name: "p".to_owned(),
            daemon_set: "d".to_owned(),
            node: "node".to_owned(),
            word: "done".to_owned(),
            run: run.to_owned(),
            started: None,
            is_over: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(changes: impl FnOnce(&mut serde_json::Value)) -> PodView {
        let mut pod = json!({
            "metadata": {
                "name": "p", "namespace": "n", "uid": "u",
                "ownerReferences": [
                    {"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "d", "uid": "du", "controller": true},
                ],
            },
            "spec": {"nodeName": "node"},
            "status": {
                "containerStatuses": [
                    {"name": "sidecar", "containerID": "containerd://s", "image": "", "imageID": "", "ready": true,
                     "restartCount": 0, "state": {"running": {}}},
                    {"name": "job-container", "containerID": "containerd://c", "image": "", "imageID": "",
                     "ready": true, "restartCount": 0, "state": {"running": {}}},
                ],
            },
        });
        changes(&mut pod);
        serde_json::from_value(pod).unwrap()
    }

    #[test]
    fn the_log_of_a_running_job_container_is_read_for_the_default_word() {
        let target = target(&pod(|_| ()), "done").unwrap();
        assert_eq!((target.run.as_str(), target.word.as_str()), ("containerd://c", "done"));
        assert!(!target.is_over);
    }

    #[test]
    fn the_word_of_the_pod_wins_over_the_default() {
        let pod = pod(|pod| {
            pod["metadata"]["annotations"] = json!({names::ANNOTATION_TERMINATION_WORD: "finished"})
        });
        assert_eq!(target(&pod, "done").unwrap().word, "finished");
    }

    #[test]
    fn a_completed_pod_is_not_read() {
        let pod = pod(|pod| {
            pod["status"]["conditions"] = json!([{"type": names::POD_COMPLETED, "status": "True"}])
        });
        assert_eq!(target(&pod, "done"), None);
    }

    #[test]
    fn a_container_that_has_not_started_is_not_read() {
        let waiting = pod(|pod| {
            pod["status"]["containerStatuses"][1]["containerID"] = json!("");
            pod["status"]["containerStatuses"][1]["state"] =
                json!({"waiting": {"reason": "ContainerCreating"}});
        });
        assert_eq!(target(&waiting, "done"), None);
        assert_eq!(target(&pod(|pod| pod["status"] = json!({})), "done"), None);
    }

    #[test]
    fn a_crashed_container_has_a_log_that_is_over() {
        for state in [
            json!({"terminated": {"exitCode": 1}}),
            json!({"waiting": {"reason": "CrashLoopBackOff"}}),
        ] {
            let pod = pod(|pod| pod["status"]["containerStatuses"][1]["state"] = state);
            assert!(target(&pod, "done").unwrap().is_over);
        }
    }

    #[test]
    fn a_pod_that_no_daemon_set_owns_is_not_read() {
        assert_eq!(
            target(&pod(|pod| pod["metadata"]["ownerReferences"] = json!([])), "done"),
            None
        );
        let other = pod(|pod| pod["metadata"]["ownerReferences"][0]["kind"] = json!("ReplicaSet"));
        assert_eq!(target(&other, "done"), None);
    }
}
