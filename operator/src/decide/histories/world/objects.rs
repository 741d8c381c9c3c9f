//! What the API server holds, and how it shows it to the operator.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use api::{
    v1beta1::Job,
    views::{DaemonSetView, PodView},
};
use k8s_openapi::{
    apimachinery::pkg::apis::meta::v1::Time,
    jiff::{SignedDuration, Timestamp},
};
use serde_json::json;

use crate::{
    fixtures::{self, PodBuilder},
    observed::Nodes,
};

/// Name of a node.
pub(super) type Name = u32;
/// Tells objects apart; never used twice.
pub(super) type Uid = u32;
/// What was done, or failed: for which Job, on which node, for which work.
pub(super) type Result = (String, Uid, String);

#[derive(Clone, Debug)]
pub(super) struct DaemonSetState {
    pub(super) uid: String,
    /// UID of the Job that owns it.
    pub(super) owner: String,
    pub(super) generation: i64,
    pub(super) work_hash: String,
    pub(super) observed_generation: i64,
    /// The nodes that the controller wanted when it wrote its status, and those with a pod.
    pub(super) wanted: BTreeMap<Name, Uid>,
    pub(super) scheduled: BTreeSet<Name>,
}

#[derive(Clone, Debug)]
pub(super) struct PodState {
    /// UID of the DaemonSet.
    pub(super) owner: String,
    /// UID of the Job that it was created for.
    pub(super) job: String,
    pub(super) node: Name,
    pub(super) node_uid: Uid,
    pub(super) work_hash: String,
    pub(super) is_done: bool,
    /// Its container has crashed. The word may be found in its log all the same.
    pub(super) has_failed: bool,
    pub(super) run: Run,
    pub(super) is_leaving: bool,
}

/// The working container of a pod, and its sandbox.
#[derive(Clone, Debug, Default)]
pub(super) struct Run {
    restarts: i32,
    /// How the run before ended, and this one, if it has.
    before: Option<End>,
    pub(super) ended: Option<End>,
    /// Since when the sandbox is there, or not any more; unset, it is the first one.
    sandbox: Option<(bool, Timestamp)>,
    /// What the operator has recorded.
    pub(super) recorded: Option<String>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct End {
    pub(super) code: i32,
    pub(super) at: Timestamp,
}

impl Run {
    pub(super) fn is_running(&self) -> bool {
        self.ended.is_none()
    }

    /// What runs is killed.
    pub(super) fn lose_sandbox(&mut self, now: Timestamp) {
        if self.has_sandbox() {
            self.ended.get_or_insert(End { code: 137, at: now });
            self.sandbox = Some((false, now));
        }
    }

    pub(super) fn create_sandbox(&mut self, now: Timestamp) {
        if !self.has_sandbox() {
            self.sandbox = Some((true, now));
            self.restarts += 1;
            self.before = self.ended.take();
        }
    }

    fn has_sandbox(&self) -> bool {
        self.sandbox.is_none_or(|(is_ready, _)| is_ready)
    }

    /// As the kubelet tells of it; of the first run only when it has ended.
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

/// What the API server holds.
#[derive(Clone, Debug)]
pub(super) struct Objects {
    pub(super) job: Option<Arc<Job>>,
    pub(super) daemon_set: Option<Arc<DaemonSetState>>,
    pub(super) pods: BTreeMap<Uid, PodState>,
    pub(super) nodes: BTreeMap<Name, Uid>,
}

impl PodState {
    pub(super) fn result(&self) -> Result {
        (self.job.clone(), self.node_uid, self.work_hash.clone())
    }
}

pub(super) fn node_uid(uid: Uid) -> String {
    format!("node-{uid}")
}

/// A time of creation: what comes later has a higher UID.
fn created(uid: Uid) -> Timestamp {
    Timestamp::UNIX_EPOCH + SignedDuration::from_secs(uid.into())
}

pub(super) fn view(state: Option<&DaemonSetState>) -> Option<DaemonSetView> {
    let state = state?;
    let mut owner = fixtures::job();
    owner.metadata.uid = Some(state.owner.clone());
    let count = |nodes: usize| i32::try_from(nodes).unwrap();
    let mut view = fixtures::daemon_set()
        .of(&owner)
        .work_hash(&state.work_hash)
        .scheduled(count(state.wanted.len()), count(state.scheduled.len()))
        .observed_generation(Some(state.observed_generation))
        .build();
    view.metadata.uid = Some(state.uid.clone());
    view.metadata.generation = Some(state.generation);
    Some(view)
}

pub(super) fn pods(pods: &BTreeMap<Uid, PodState>) -> Vec<Arc<PodView>> {
    let view = |(uid, state): (&Uid, &PodState)| {
        let name = state.node.to_string();
        let mut pod = fixtures::pod(&name).owner(&state.owner).work_hash(&state.work_hash);
        pod = pod.identity(&uid.to_string(), "1");
        pod = pod.created(created(*uid));
        pod = state.run.show(pod);
        if state.is_done {
            pod = pod.done();
        }
        if state.is_leaving {
            pod = pod.deleted();
        }
        pod.build()
    };
    pods.iter().map(view).collect()
}

pub(super) fn nodes(nodes: &BTreeMap<Name, Uid>) -> Nodes {
    let view = |(name, uid): (&Name, &Uid)| {
        let mut node = (*fixtures::node(&name.to_string())).clone();
        node.metadata.uid = Some(node_uid(*uid));
        node.metadata.creation_timestamp = Some(Time(created(*uid)));
        (name.to_string(), Arc::new(node))
    };
    nodes.iter().map(view).collect()
}
