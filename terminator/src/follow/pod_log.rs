//! The log that may hold the termination word of a pod.

use std::sync::Arc;

use api::{job::CompletionMode, labels, views::PodView};
use k8s_openapi::jiff::Timestamp;
use runtime::client::PodId;
use tracing::{Span, info_span};

/// A log to be read.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct PodLog {
    /// UID of the pod.
    pub(crate) uid: Arc<str>,
    /// Namespace of the pod.
    pub(crate) namespace: String,
    /// Name of the pod.
    pub(crate) name: String,
    /// Name of the pod's DaemonSet.
    pub(crate) daemon_set: String,
    /// Name of the pod's node.
    pub(crate) node: String,
    /// The termination word.
    pub(crate) word: String,
    /// ID of the container, each run of which has another one, and a log of its own.
    pub(crate) run: String,
    /// Start of the run, while it goes on.
    pub(crate) started: Option<Timestamp>,
    /// Whether the run is over, so that its log will not grow.
    pub(crate) is_over: bool,
}

impl PodLog {
    /// Identifies the pod.
    pub(crate) fn pod(&self) -> PodId<'_> {
        PodId { namespace: &self.namespace, name: &self.name, uid: &self.uid, version: None }
    }

    /// Makes the span of its log lines, with the names of Job, pod and node.
    pub(crate) fn span(&self) -> Span {
        // The name of the Job, unless that was too long.
        let job = labels::job_of_daemon_set(&self.daemon_set).unwrap_or(&self.daemon_set);
        info_span!("pod", namespace = self.namespace, job, pod = self.name, node = self.node)
    }
}

/// Returns the log of `pod` to be read.
///
/// There is none before its container runs, nor after its work is done.
///
/// Pods without a DaemonSet have none, whatever their labels.
#[must_use]
pub(crate) fn pod_log(pod: &PodView, default_word: &str) -> Option<PodLog> {
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
    let word = annotations.and_then(|all| all.get(labels::ANNOTATION_TERMINATION_WORD));
    Some(PodLog {
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
impl PodLog {
    /// Makes a log of this pod and run, with fixed values in the other fields.
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
        let log = pod_log(&pod(|_| ()), "done").unwrap();
        assert_eq!((log.run.as_str(), log.word.as_str()), ("containerd://c", "done"));
        assert!(!log.is_over);
    }

    #[test]
    fn the_word_of_the_pod_wins_over_the_default() {
        let pod = pod(|pod| {
            pod["metadata"]["annotations"] =
                json!({labels::ANNOTATION_TERMINATION_WORD: "finished"})
        });
        assert_eq!(pod_log(&pod, "done").unwrap().word, "finished");
    }

    #[test]
    fn a_completed_pod_is_not_read() {
        let pod = pod(|pod| {
            pod["status"]["conditions"] = json!([{"type": labels::POD_COMPLETED, "status": "True"}])
        });
        assert_eq!(pod_log(&pod, "done"), None);
    }

    #[test]
    fn a_container_that_has_not_started_is_not_read() {
        let waiting = pod(|pod| {
            pod["status"]["containerStatuses"][1]["containerID"] = json!("");
            pod["status"]["containerStatuses"][1]["state"] =
                json!({"waiting": {"reason": "ContainerCreating"}});
        });
        assert_eq!(pod_log(&waiting, "done"), None);
        assert_eq!(pod_log(&pod(|pod| pod["status"] = json!({})), "done"), None);
    }

    #[test]
    fn a_crashed_container_has_a_log_that_is_over() {
        for state in [
            json!({"terminated": {"exitCode": 1}}),
            json!({"waiting": {"reason": "CrashLoopBackOff"}}),
        ] {
            let pod = pod(|pod| pod["status"]["containerStatuses"][1]["state"] = state);
            assert!(pod_log(&pod, "done").unwrap().is_over);
        }
    }

    #[test]
    fn a_pod_that_no_daemon_set_owns_is_not_read() {
        assert_eq!(
            pod_log(&pod(|pod| pod["metadata"]["ownerReferences"] = json!([])), "done"),
            None
        );
        let other = pod(|pod| pod["metadata"]["ownerReferences"][0]["kind"] = json!("ReplicaSet"));
        assert_eq!(pod_log(&other, "done"), None);
    }
}
