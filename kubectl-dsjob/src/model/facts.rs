//! The few facts of nodes and pods that commands keep.
//!
//! A list of 5,000 pods is read page by page, and of each pod only this is kept.

use api::{
    job::CompletionMode,
    views::{INITIALIZING, PodView},
};
use k8s_openapi::{
    api::core::v1::{ContainerState, ContainerStateTerminated, ContainerStatus},
    jiff::Timestamp,
};
use kube::core::ObjectMeta;

/// A node by name and UID.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct NodeFacts {
    pub(crate) name: Box<str>,
    pub(crate) uid: Box<str>,
}

impl NodeFacts {
    /// The facts of a node with this metadata.
    pub(crate) fn new(metadata: ObjectMeta) -> Self {
        Self {
            name: metadata.name.unwrap_or_default().into(),
            uid: metadata.uid.unwrap_or_default().into(),
        }
    }
}

/// A pod of a Job.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct PodFacts {
    pub(crate) name: Box<str>,
    /// Its node, bound or intended.
    pub(crate) node: Option<Box<str>>,
    pub(crate) created: Option<Timestamp>,
    pub(crate) is_deleted: bool,
    /// Whether it waits for its node's turn.
    pub(crate) waits_for_turn: bool,
    pub(crate) work_hash: Option<Box<str>>,
    /// Whether the terminator has recorded the termination word.
    pub(crate) has_logged_word: bool,
    pub(crate) container: ContainerFacts,
}

/// The job container of a pod.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct ContainerFacts {
    /// ID of the current run, or of the last one.
    pub(crate) run: Option<Box<str>>,
    pub(crate) restarts: i32,
    pub(crate) state: RunState,
    /// The run before the current one.
    pub(crate) last: Option<Ended>,
}

/// State of a container.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum RunState {
    /// It does not run; the reason, if it is more than that it starts.
    Waiting(Option<Box<str>>),
    Running(Option<Timestamp>),
    Ended(Ended),
}

impl Default for RunState {
    fn default() -> Self {
        Self::Waiting(None)
    }
}

/// A run that has ended.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Ended {
    pub(crate) run: Option<Box<str>>,
    pub(crate) exit_code: i32,
    pub(crate) started: Option<Timestamp>,
    pub(crate) finished: Option<Timestamp>,
}

impl PodFacts {
    /// The facts of a pod of a Job of this mode.
    pub(crate) fn new(pod: &PodView, mode: CompletionMode) -> Self {
        let container = pod.job_container(mode).map(ContainerFacts::new).unwrap_or_default();
        Self {
            name: pod.metadata.name.as_deref().unwrap_or_default().into(),
            node: pod.node().map(Into::into),
            created: pod.metadata.creation_timestamp.as_ref().map(|time| time.0),
            is_deleted: pod.metadata.deletion_timestamp.is_some(),
            waits_for_turn: pod.spec.gates.turn,
            work_hash: pod.work_hash().map(Into::into),
            has_logged_word: pod.has_logged_word(),
            container,
        }
    }

    /// Whether its work is done.
    pub(crate) fn is_done(&self, mode: CompletionMode) -> bool {
        match mode {
            CompletionMode::TerminationWord => self.has_logged_word,
            CompletionMode::ExitCode => {
                matches!(&self.container.state, RunState::Ended(run) if run.exit_code == 0)
            }
        }
    }

    /// The last run that has ended.
    pub(crate) fn last_ended(&self) -> Option<&Ended> {
        match &self.container.state {
            RunState::Ended(run) => Some(run),
            _ => self.container.last.as_ref(),
        }
    }

    /// Time at which the current run, or the last one, started.
    pub(crate) fn started(&self) -> Option<Timestamp> {
        match &self.container.state {
            RunState::Running(since) => *since,
            _ => self.last_ended().and_then(|run| run.started),
        }
    }
}

impl ContainerFacts {
    fn new(status: &ContainerStatus) -> Self {
        let state = status.state.clone().unwrap_or_default();
        let last = status.last_state.clone().and_then(|state| state.terminated);
        Self {
            run: status.container_id.as_deref().filter(|id| !id.is_empty()).map(Into::into),
            restarts: status.restart_count,
            state: RunState::new(state),
            last: last.map(Ended::new),
        }
    }
}

impl RunState {
    fn new(state: ContainerState) -> Self {
        if let Some(run) = state.terminated {
            return Self::Ended(Ended::new(run));
        }
        if let Some(run) = state.running {
            return Self::Running(run.started_at.map(|time| time.0));
        }
        let reason = state.waiting.and_then(|waiting| waiting.reason);
        Self::Waiting(reason.filter(|it| !INITIALIZING.contains(&it.as_str())).map(Into::into))
    }
}

impl Ended {
    fn new(run: ContainerStateTerminated) -> Self {
        Self {
            run: run.container_id.filter(|id| !id.is_empty()).map(Into::into),
            exit_code: run.exit_code,
            started: run.started_at.map(|time| time.0),
            finished: run.finished_at.map(|time| time.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn facts_of_a_pod_are_those_of_its_job_container() {
        let ended = json!({"terminated": {
            "exitCode": 3, "containerID": "c://1", "finishedAt": "2026-01-02T03:04:05Z",
        }});
        let pod = json!({
            "metadata": {"name": "a-1", "annotations": {"daemonset.darkowlzz.space/work-hash": "h"}},
            "spec": {"nodeName": "w1", "schedulingGates": []},
            "status": {"initContainerStatuses": [{
                "name": "job-container", "image": "", "imageID": "", "ready": false,
                "restartCount": 2, "containerID": "c://2",
                "state": {"running": {"startedAt": "2026-01-02T03:05:00Z"}}, "lastState": ended,
            }]},
        });
        let pod: PodView = serde_json::from_value(pod).unwrap();
        let facts = PodFacts::new(&pod, CompletionMode::ExitCode);
        assert_eq!((&*facts.name, facts.node.as_deref()), ("a-1", Some("w1")));
        assert_eq!((facts.work_hash.as_deref(), facts.container.restarts), (Some("h"), 2));
        assert_eq!(facts.started(), Some("2026-01-02T03:05:00Z".parse().unwrap()));
        let last = facts.last_ended().unwrap();
        assert_eq!((last.exit_code, last.run.as_deref()), (3, Some("c://1")));
        assert!(!facts.is_done(CompletionMode::ExitCode) && !facts.waits_for_turn);
    }

    #[test]
    fn a_container_that_starts_has_no_reason_to_wait() {
        let waiting = |reason: &str| {
            let state = json!({"waiting": {"reason": reason}});
            RunState::new(serde_json::from_value(state).unwrap())
        };
        assert_eq!(waiting("ContainerCreating"), RunState::Waiting(None));
        assert_eq!(waiting("ErrImagePull"), RunState::Waiting(Some("ErrImagePull".into())));
    }
}
