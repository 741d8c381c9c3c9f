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

use crate::{fixtures, observed::Nodes};

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
    /// When it failed. The word may be found in its log all the same.
    pub(super) failed: Option<Timestamp>,
    pub(super) is_leaving: bool,
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
        if let Some(failed) = state.failed {
            let ended = json!({"exitCode": 1, "finishedAt": failed.to_string()});
            pod = pod.container(json!({
                "name": "job-container", "image": "", "imageID": "", "ready": false,
                "restartCount": 0, "state": {"terminated": ended},
            }));
        }
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
