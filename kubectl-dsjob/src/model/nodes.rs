//! The nodes of a Job: one row a node, whatever source knows of it.

use std::collections::{BTreeMap, HashMap};

use api::job::{CompletionMode, Job, JobStatus, NodeState, NodeStatus, node_set::Member};
use k8s_openapi::jiff::Timestamp;
use serde::Serialize;

use super::facts::{NodeFacts, PodFacts, RunState};

/// A node that a Job runs on, or has run on.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct NodeRow {
    pub(crate) name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) uid: Option<String>,
    pub(crate) state: State,
    /// Number of runs of the container, if the pod is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) runs: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) exit_code: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) message: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) output: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) started: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) finished: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) pod: Option<String>,
}

/// State of a node, those that need attention first.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub(crate) enum State {
    /// The Job does not wait for the node any more.
    Failed,
    /// The control plane has lost the node.
    Unreachable,
    /// The container does not run.
    #[default]
    Pending,
    /// The container runs.
    Running,
    /// The node waits for its turn.
    Waiting,
    /// The work is done.
    Done,
}

impl State {
    /// All states, in their order.
    pub(crate) const ALL: [Self; 6] =
        [Self::Failed, Self::Unreachable, Self::Pending, Self::Running, Self::Waiting, Self::Done];

    /// The state as people read it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Failed => "Failed",
            Self::Unreachable => "Unreachable",
            Self::Pending => "Pending",
            Self::Running => "Running",
            Self::Waiting => "Waiting",
            Self::Done => "Done",
        }
    }
}

impl From<NodeState> for State {
    fn from(state: NodeState) -> Self {
        match state {
            NodeState::Failed => Self::Failed,
            NodeState::Unreachable => Self::Unreachable,
            NodeState::Pending => Self::Pending,
            NodeState::Running => Self::Running,
        }
    }
}

/// The rows of a Job, worst states first, then by name.
///
/// The status decides: it names nodes that are not done, and has the sets of those that are done or failed. Pods
/// add times and runs, and the nodes for which the status has no room.
pub(crate) fn rows(job: &Job, nodes: &[NodeFacts], pods: &[PodFacts]) -> Vec<NodeRow> {
    let Some(status) = job.status.as_ref().filter(|status| status.is_observed()) else {
        return Vec::new();
    };
    let mode = job.spec.completion_mode;
    let listed: HashMap<_, _> =
        status.nodes.iter().map(|node| (node.name.as_str(), node)).collect();
    let pods = newest_by_node(pods, status.work_hash.as_deref());
    let mut known: BTreeMap<&str, Option<&NodeFacts>> =
        nodes.iter().map(|node| (&*node.name, Some(node))).collect();
    for name in listed.keys().copied().chain(pods.keys().copied()) {
        known.entry(name).or_default();
    }
    let mut rows = Vec::new();
    for (name, node) in known {
        let (listed, pod) = (listed.get(name).copied(), pods.get(name).copied());
        let settled = node.and_then(|node| settled(status, node));
        let seen = pod.map(|pod| match () {
            () if pod.is_done(mode) => State::Done,
            () if pod.waits_for_turn => State::Waiting,
            () if matches!(pod.container.state, RunState::Running(_)) => State::Running,
            () => State::Pending,
        });
        let told = listed.map(|node| State::from(node.state));
        // A pod that waits for its turn is Pending for those who do not know the gate.
        let told = told.filter(|told| *told != State::Pending || seen != Some(State::Waiting));
        if let Some(state) = settled.or(told).or(seen) {
            rows.push(row(name, state, mode, Sources { node, listed, pod }));
        }
    }
    rows.sort_by(|a, b| (a.state, &a.name).cmp(&(b.state, &b.name)));
    rows
}

/// Whether the status counts a node as done or failed.
fn settled(status: &JobStatus, node: &NodeFacts) -> Option<State> {
    let member = Member::from(&*node.uid);
    let has = |set: &Option<api::job::node_set::NodeSet>| {
        set.as_ref().is_some_and(|set| set.contains(member))
    };
    if has(&status.completed_nodes) {
        Some(State::Done)
    } else if has(&status.failed_nodes) {
        Some(State::Failed)
    } else {
        None
    }
}

/// The pod of each node that counts: the newest one of the current work.
///
/// One that is being deleted counts only if there is no other.
fn newest_by_node<'p>(pods: &'p [PodFacts], work: Option<&str>) -> HashMap<&'p str, &'p PodFacts> {
    let mut newest: HashMap<&str, &PodFacts> = HashMap::new();
    for pod in pods.iter().filter(|pod| pod.work_hash.as_deref() == work) {
        let Some(node) = pod.node.as_deref() else { continue };
        let rank = |pod: &PodFacts| (!pod.is_deleted, pod.created);
        let kept = newest.entry(node).or_insert(pod);
        if rank(pod) > rank(kept) {
            *kept = pod;
        }
    }
    newest
}

/// What is known of a node, by source.
#[derive(Clone, Copy)]
struct Sources<'s> {
    node: Option<&'s NodeFacts>,
    listed: Option<&'s NodeStatus>,
    pod: Option<&'s PodFacts>,
}

fn row(name: &str, state: State, mode: CompletionMode, sources: Sources<'_>) -> NodeRow {
    let Sources { node, listed, pod } = sources;
    let ended = pod.and_then(PodFacts::last_ended);
    let has_run = pod.filter(|pod| pod.started().is_some());
    let waits = pod.and_then(|pod| match &pod.container.state {
        RunState::Waiting(reason) => reason.as_deref(),
        _ => None,
    });
    let pod_exit = ended.map(|run| run.exit_code);
    NodeRow {
        name: name.to_owned(),
        uid: node.map(|node| node.uid.to_string()),
        state,
        runs: has_run
            .map(|pod| pod.container.restarts + 1)
            .or(listed.filter(|node| node.exit_code.is_some()).map(|node| node.restarts + 1)),
        exit_code: match state {
            // By definition, also when the pod is gone.
            State::Done if mode == CompletionMode::ExitCode => Some(0),
            State::Done => None,
            _ => listed.and_then(|node| node.exit_code).or(pod_exit),
        },
        reason: listed.and_then(|node| node.reason.clone()).or(waits.map(str::to_owned)),
        message: listed.and_then(|node| node.message.clone()),
        output: listed.and_then(|node| node.output.clone()),
        started: pod.and_then(PodFacts::started),
        finished: ended
            .filter(|_| matches!(state, State::Done | State::Failed))
            .and_then(|run| run.finished),
        pod: pod.map(|pod| pod.name.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use api::job::JobSpec;
    use serde_json::json;

    use super::*;
    use crate::model::facts::{ContainerFacts, Ended};

    fn job(status: serde_json::Value) -> Job {
        let spec = JobSpec { completion_mode: CompletionMode::ExitCode, ..JobSpec::default() };
        let mut job = Job::new("a", spec);
        job.status = Some(serde_json::from_value(status).unwrap());
        job
    }

    fn node(name: &str) -> NodeFacts {
        NodeFacts { name: name.into(), uid: format!("uid-{name}").into() }
    }

    fn pod(node: &str, state: RunState) -> PodFacts {
        PodFacts {
            name: format!("pod-{node}").into(),
            node: Some(node.into()),
            work_hash: Some("h".into()),
            container: ContainerFacts { state, ..ContainerFacts::default() },
            ..PodFacts::default()
        }
    }

    fn ended(exit_code: i32) -> RunState {
        RunState::Ended(Ended { exit_code, ..Ended::default() })
    }

    fn set(names: &[&str]) -> serde_json::Value {
        let mut set = api::job::node_set::NodeSet::default();
        names.iter().for_each(|name| set.insert(&format!("uid-{name}")));
        json!(set)
    }

    fn states(rows: &[NodeRow]) -> Vec<(&str, State)> {
        rows.iter().map(|row| (row.name.as_str(), row.state)).collect()
    }

    #[test]
    fn done_nodes_are_found_in_the_set_though_their_pods_are_gone() {
        let job = job(json!({
            "observedGeneration": 1, "workHash": "h",
            "completedNodes": set(&["done", "gone"]), "failedNodes": set(&["bad"]),
            "nodes": [{"name": "bad", "state": "Failed", "exitCode": 7, "restarts": 2},
                {"name": "lost", "state": "Unreachable"}],
        }));
        let nodes = ["bad", "done", "lost", "other", "run"].map(node);
        let pods = [pod("run", RunState::Running(None)), pod("bad", ended(0))];
        let rows = rows(&job, &nodes, &pods);
        let expected = [
            ("bad", State::Failed),
            ("lost", State::Unreachable),
            ("run", State::Running),
            ("done", State::Done),
        ];
        assert_eq!(states(&rows), expected);
        assert_eq!((rows[0].exit_code, rows[0].runs), (Some(7), Some(3)));
        assert_eq!((rows[3].exit_code, rows[3].runs), (Some(0), None));
    }

    #[test]
    fn pods_tell_of_nodes_when_nodes_may_not_be_listed() {
        let job = job(json!({"observedGeneration": 1, "workHash": "h"}));
        let gated = PodFacts { waits_for_turn: true, ..pod("w", RunState::default()) };
        let old = PodFacts { work_hash: Some("old".into()), ..pod("o", ended(1)) };
        let rows = rows(&job, &[], &[pod("d", ended(0)), gated, old]);
        assert_eq!(states(&rows), [("w", State::Waiting), ("d", State::Done)]);
    }

    #[test]
    fn the_newest_pod_of_a_node_counts_and_a_deleted_one_does_not() {
        let at = |second| Some(Timestamp::from_second(second).unwrap());
        let old = PodFacts { created: at(1), ..pod("n", ended(1)) };
        let new = PodFacts { created: at(2), ..pod("n", RunState::Running(None)) };
        let going = PodFacts { created: at(3), is_deleted: true, ..pod("n", ended(2)) };
        let pods = [new.clone(), going, old];
        assert_eq!(newest_by_node(&pods, Some("h"))["n"], &new);
    }

    #[test]
    fn a_job_that_nobody_has_looked_at_has_no_rows() {
        let job = job(json!({"observedGeneration": -1}));
        assert!(rows(&job, &[node("a")], &[]).is_empty());
    }
}
