//! The objects of the API server, and how it shows them to the operator.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use api::{
    job::Job,
    views::{DaemonSetView, NodeView, PodView},
};
use k8s_openapi::{
    apimachinery::pkg::apis::meta::v1::Time,
    jiff::{SignedDuration, Timestamp},
};
use serde_json::json;

use super::key::Digests;
use crate::{
    job::decide::observation::Nodes,
    testing::fixtures::{self, PodBuilder},
};

/// Name of a node.
pub(crate) type Name = u32;
/// UID of an object; never used twice.
pub(crate) type Uid = u32;
/// A result: done or failed for a Job, on a node, for some work.
pub(crate) type Result = (String, Uid, String);

#[derive(Clone, Debug, Hash)]
pub(crate) struct DaemonSetState {
    pub(crate) uid: String,
    /// UID of the Job that owns it.
    pub(crate) owner: String,
    pub(crate) created: Uid,
    /// A later one is greater.
    pub(crate) version: Uid,
    pub(crate) generation: i64,
    /// Hash of the work that its annotation names.
    pub(crate) work_hash: String,
    pub(crate) template: Template,
    pub(crate) template_generation: i64,
    /// The templates that it had before.
    pub(crate) history: Vec<Template>,
    pub(crate) observed_generation: i64,
    /// The template that the controller knows as the latest.
    pub(crate) revision: Option<Template>,
    /// The nodes that the controller wanted, and those with a pod, by its status.
    pub(crate) wanted: BTreeMap<Name, Uid>,
    pub(crate) scheduled: BTreeSet<Name>,
    /// The nodes that it would have wanted had nobody edited its selector.
    pub(crate) ought_to_want: BTreeMap<Name, Uid>,
    /// Whether it is being deleted, and waits for its pods.
    pub(crate) is_going: bool,
}

/// A pod template.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) struct Template {
    /// Hash of the work that its annotation names.
    pub(crate) work_hash: String,
    /// UID of the Job that its annotation names.
    pub(crate) job: String,
    /// The edit of a stranger: another image, for example. 0: none.
    pub(crate) edit: u8,
    /// Whether a stranger made it select no node.
    pub(crate) is_asleep: bool,
    /// Whether its pods wait for their nodes' turns.
    pub(crate) is_gated: bool,
}

impl Template {
    /// The template for this work, as the operator writes it.
    pub(crate) fn of(work_hash: &str, job: &str, is_gated: bool) -> Self {
        let (work_hash, job) = (work_hash.to_owned(), job.to_owned());
        Self { work_hash, job, edit: 0, is_asleep: false, is_gated }
    }

    /// The hash by which pods refer to it.
    pub(crate) fn hash(&self) -> String {
        let Self { work_hash, job, edit, is_asleep, is_gated } = self;
        format!("{work_hash}-{job}-{edit}-{is_asleep}-{is_gated}")
    }
}

impl DaemonSetState {
    /// Replaces the pod template, as the API server does for anybody.
    pub(crate) fn set_template(&mut self, template: Template) {
        if self.template != template {
            self.history.push(std::mem::replace(&mut self.template, template));
            self.template_generation += 1;
            self.generation += 1;
            self.version += 1;
        }
    }
}

#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(crate) struct PodState {
    /// UID of the DaemonSet.
    pub(crate) owner: String,
    /// UID of the Job that it was created for.
    pub(crate) job: String,
    pub(crate) node: Name,
    pub(crate) node_uid: Uid,
    pub(crate) created: Timestamp,
    pub(crate) template: Template,
    pub(crate) template_generation: i64,
    /// Whether it waits for its node's turn.
    pub(crate) is_gated: bool,
    /// When the scheduler has bound it; then its container runs.
    pub(crate) bound: Option<Timestamp>,
    /// The leave to start that the operator has given it.
    pub(crate) leave: Option<Leave>,
    /// When its work was done.
    pub(crate) done: Option<Timestamp>,
    /// Its container has crashed. The word may be found in its log all the same.
    pub(crate) has_failed: bool,
    pub(crate) run: Run,
    pub(crate) is_leaving: bool,
}

/// Leave to start: a release of the operator that has removed the gate of a pod.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) struct Leave {
    /// The node that it was given to.
    pub(crate) node: Uid,
    /// The nodes that were allowed to hold places then.
    pub(crate) limit: usize,
}

/// The job container of a pod, and its sandbox.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub(crate) struct Run {
    restarts: i32,
    /// How the run before ended, and this one, if it has.
    before: Option<End>,
    pub(crate) ended: Option<End>,
    /// Since when the sandbox is there, or not any more; unset, it is the first one.
    sandbox: Option<(bool, Timestamp)>,
    /// The tally that the operator has recorded.
    pub(crate) recorded: Option<String>,
}

#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) struct End {
    pub(crate) code: i32,
    pub(crate) at: Timestamp,
}

impl Run {
    pub(crate) fn is_running(&self) -> bool {
        self.ended.is_none()
    }

    /// Kills the container, if it runs, and its sandbox.
    pub(crate) fn lose_sandbox(&mut self, now: Timestamp) {
        if self.has_sandbox() {
            self.ended.get_or_insert(End { code: 137, at: now });
            self.sandbox = Some((false, now));
        }
    }

    pub(crate) fn create_sandbox(&mut self, now: Timestamp) {
        if !self.has_sandbox() {
            self.sandbox = Some((true, now));
            self.restarts += 1;
            self.before = self.ended.take();
        }
    }

    fn has_sandbox(&self) -> bool {
        self.sandbox.is_none_or(|(is_ready, _)| is_ready)
    }

    /// Adds the run to `pod`, as the kubelet reports it.
    ///
    /// It reports the first one only when it has ended.
    fn show(&self, pod: PodBuilder) -> PodBuilder {
        let terminated = |end: End, restarts: i32| {
            json!({"terminated": {
                "exitCode": end.code, "finishedAt": end.at.to_string(),
                "containerID": format!("containerd://{restarts}"),
            }})
        };
        if self.is_running() && self.restarts == 0 {
            return pod;
        }
        let running = || json!({"running": {}});
        let before = self.before.map(|end| terminated(end, self.restarts - 1));
        let pod = pod.container(json!({
            "name": "job-container", "image": "", "imageID": "", "ready": false,
            "containerID": format!("containerd://{}", self.restarts), "restartCount": self.restarts,
            "state": self.ended.map_or_else(running, |end| terminated(end, self.restarts)),
            "lastState": before,
        }));
        let pod = match self.sandbox {
            Some((is_ready, since)) => pod.sandbox(is_ready, since),
            None => pod,
        };
        match &self.recorded {
            Some(recorded) => pod.recorded(recorded),
            None => pod,
        }
    }
}

/// All objects of the API server, or those that the caches of a process show.
#[derive(Clone, Debug)]
pub(crate) struct Objects {
    pub(crate) job: Option<Arc<Job>>,
    /// Their digests, where decisions are remembered.
    pub(super) digests: Digests,
    pub(crate) daemon_set: Option<Arc<DaemonSetState>>,
    pub(crate) pods: Arc<BTreeMap<Uid, PodState>>,
    pub(crate) nodes: Arc<BTreeMap<Name, NodeState>>,
}

/// A node.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) struct NodeState {
    pub(crate) uid: Uid,
    pub(crate) created: Timestamp,
    /// Our own selector does not select it, for a label or a taint.
    pub(crate) is_deselected: bool,
    /// The control plane has lost it.
    pub(crate) is_unreachable: bool,
}

impl NodeState {
    pub(crate) fn new(uid: Uid, created: Timestamp) -> Self {
        Self { uid, created, is_deselected: false, is_unreachable: false }
    }
}

/// Whether the canary group of `spec.order` has the node.
pub(crate) fn is_canary(name: Name) -> bool {
    name.is_multiple_of(2)
}

impl Objects {
    /// UID of the node of this name.
    pub(crate) fn node_uid(&self, name: Name) -> Option<Uid> {
        self.nodes.get(&name).map(|node| node.uid)
    }
}

impl PodState {
    pub(crate) fn result(&self) -> Result {
        (self.job.clone(), self.node_uid, self.template.work_hash.clone())
    }

    /// Whether it runs the work of the Job as the Job says.
    pub(crate) fn does_the_work(&self) -> bool {
        self.template.edit == 0
    }

    pub(crate) fn is_done(&self) -> bool {
        self.done.is_some()
    }
}

pub(crate) fn node_uid(uid: Uid) -> String {
    format!("node-{uid}")
}

/// A time of creation: later objects have higher UIDs.
pub(crate) fn created(uid: Uid) -> Timestamp {
    Timestamp::UNIX_EPOCH + SignedDuration::from_secs(uid.into())
}

pub(crate) fn view(state: Option<&DaemonSetState>) -> Option<Arc<DaemonSetView>> {
    let state = state?;
    let mut owner = fixtures::job();
    owner.metadata.uid = Some(state.owner.clone());
    let count = |nodes: usize| i32::try_from(nodes).unwrap();
    let mut daemon_set = fixtures::daemon_set()
        .of(&owner)
        .work_hash(&state.work_hash)
        .scheduled(count(state.wanted.len()), count(state.scheduled.len()))
        .observed_generation(Some(state.observed_generation));
    if state.template.is_gated {
        daemon_set = daemon_set.gated();
    }
    if state.is_going {
        daemon_set = daemon_set.deleted();
    }
    let mut view = daemon_set.build();
    view.metadata.uid = Some(state.uid.clone());
    view.metadata.generation = Some(state.generation);
    view.metadata.resource_version = Some(state.version.to_string());
    view.metadata.creation_timestamp = Some(Time(created(state.created)));
    view.template_generation = Some(state.template_generation);
    Some(Arc::new(view))
}

pub(crate) fn pods(pods: &BTreeMap<Uid, PodState>) -> Vec<Arc<PodView>> {
    let view = |(uid, state): (&Uid, &PodState)| {
        let name = state.node.to_string();
        let mut pod = fixtures::pod(&name).owner(&state.owner).work_hash(&state.template.work_hash);
        pod = pod.template(state.template_generation, &state.template.hash());
        pod = pod.of_job(&state.job).identity(&uid.to_string(), "1");
        pod = pod.created(state.created);
        if state.is_gated {
            pod = pod.gated();
        }
        match state.bound {
            Some(at) => pod = pod.scheduled_at(at),
            None if !state.is_gated => pod = pod.unbound(),
            None => {}
        }
        pod = state.run.show(pod);
        if let Some(at) = state.done {
            pod = pod.done_at(at);
        }
        if state.is_leaving {
            pod = pod.deleted();
        }
        pod.build()
    };
    pods.iter().map(view).collect()
}

pub(crate) fn nodes(nodes: &BTreeMap<Name, NodeState>) -> Arc<Nodes> {
    let view = |(name, state): (&Name, &NodeState)| {
        let node = match state.is_unreachable {
            true => fixtures::unreachable_node(&name.to_string()),
            false => fixtures::node(&name.to_string()),
        };
        let mut metadata = node.metadata.clone();
        metadata.uid = Some(node_uid(state.uid));
        metadata.creation_timestamp = Some(Time(state.created));
        metadata.labels =
            is_canary(*name).then(|| BTreeMap::from([("canary".to_owned(), "true".to_owned())]));
        (name.to_string(), Arc::new(NodeView::new(metadata, node.spec.clone())))
    };
    Arc::new(nodes.iter().map(view).collect())
}
