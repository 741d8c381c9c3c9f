//! A cluster with one Job, as far as the operator is concerned.

mod checks;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use api::{
    conditions,
    v1beta1::{Job, JobStatus},
    views::{DaemonSetView, PodView},
    work,
};
use k8s_openapi::{
    apimachinery::pkg::apis::meta::v1::Time,
    jiff::{SignedDuration, Timestamp},
};
use serde_json::json;

use super::{
    super::{Act, DaemonSetAction, Decision, decide},
    Event, Lags,
};
use crate::{
    fixtures,
    observed::{Nodes, Observed, Source, asks_for_nodes},
};

/// Name of a node.
type Name = u32;
/// Tells objects apart; never used twice.
type Uid = u32;
/// What was done, or failed: for which Job, on which node, for which work.
type Result = (String, Uid, String);

#[derive(Clone, Debug)]
struct DaemonSetState {
    uid: String,
    /// UID of the Job that owns it.
    owner: String,
    generation: i64,
    work_hash: String,
    observed_generation: i64,
    /// The nodes that the controller wanted when it wrote its status, and those with a pod.
    wanted: BTreeMap<Name, Uid>,
    scheduled: BTreeSet<Name>,
}

#[derive(Clone, Debug)]
struct PodState {
    /// UID of the DaemonSet.
    owner: String,
    /// UID of the Job that it was created for.
    job: String,
    node: Name,
    node_uid: Uid,
    work_hash: String,
    is_done: bool,
    has_failed: bool,
    is_leaving: bool,
}

/// What the API server holds.
#[derive(Clone, Debug)]
struct Objects {
    job: Option<Arc<Job>>,
    daemon_set: Option<Arc<DaemonSetState>>,
    pods: BTreeMap<Uid, PodState>,
    nodes: BTreeMap<Name, Uid>,
}

#[derive(Debug)]
pub(super) struct World {
    now: Objects,
    past: Vec<Objects>,
    time: Timestamp,
    done: BTreeSet<Result>,
    failed: BTreeSet<Result>,
    last_uid: Uid,
    /// Jobs (UID, generation) that were rightly called complete.
    complete: BTreeSet<(String, i64)>,
}

impl World {
    pub(super) fn new(nodes: u32) -> Self {
        let mut job = fixtures::job();
        job.spec.backoff_limit_per_node = Some(0);
        job.metadata.resource_version = Some("0".into());
        let now = Objects {
            job: Some(Arc::new(job)),
            daemon_set: None,
            pods: BTreeMap::new(),
            nodes: (0..nodes).map(|node| (node, node)).collect(),
        };
        Self {
            past: vec![now.clone()],
            now,
            time: Timestamp::UNIX_EPOCH,
            done: BTreeSet::new(),
            failed: BTreeSet::new(),
            last_uid: nodes,
            complete: BTreeSet::new(),
        }
    }

    pub(super) fn happen(&mut self, event: &Event) {
        match event {
            Event::NodeJoins => {
                let node = self.new_uid();
                self.now.nodes.insert(node, node);
            }
            Event::NodeLeaves(index) if self.now.nodes.len() > 1 => {
                if let Some(name) = self.now.nodes.keys().nth(*index).copied() {
                    self.now.nodes.remove(&name);
                }
            }
            Event::NodeLeaves(_) => {}
            Event::NodeRecreated(index) => {
                let uid = self.new_uid();
                if let Some((name, node)) = self.now.nodes.iter_mut().nth(*index) {
                    *node = uid;
                    // Pods are bound to names: the kubelet that registers anew takes them along,
                    // and what they have done.
                    let pods = self.now.pods.values_mut().filter(|pod| pod.node == *name);
                    for pod in pods {
                        pod.node_uid = uid;
                        if pod.is_done {
                            self.done.insert(pod.result());
                        }
                        if pod.has_failed {
                            self.failed.insert(pod.result());
                        }
                    }
                }
            }
            Event::NodeReplaced(index) => {
                let uid = self.new_uid();
                if let Some((name, node)) = self.now.nodes.iter_mut().nth(*index) {
                    *node = uid;
                    self.now.pods.retain(|_, pod| pod.node != *name);
                }
            }
            Event::Sync => self.sync(),
            Event::PodDone(index) => {
                if let Some(pod) = self.now.pods.values_mut().nth(*index) {
                    pod.is_done = true;
                    self.done.insert(pod.result());
                }
            }
            Event::PodFails(index) => {
                let pod = self.now.pods.values_mut().nth(*index);
                if let Some(pod) = pod.filter(|pod| !pod.is_done && !pod.is_leaving) {
                    pod.has_failed = true;
                    self.failed.insert(pod.result());
                }
            }
            Event::PodDeleted(index) => {
                if let Some(pod) = self.now.pods.values_mut().nth(*index) {
                    pod.is_leaving = true;
                }
            }
            Event::PodsGone => self.now.pods.retain(|_, pod| !pod.is_leaving),
            Event::Edit(version) => self.edit(|job| job.spec.args = vec![version.to_string()]),
            Event::EditLimit(limit) => self.edit(|job| job.spec.max_failed_nodes = *limit),
            Event::EditDeadline(seconds) => {
                self.edit(|job| job.spec.active_deadline_seconds = *seconds);
            }
            Event::TimePasses(seconds) => self.time += SignedDuration::from_secs(*seconds),
            Event::Recreate => {
                let uid = format!("job-{}", self.new_uid());
                let mut job = fixtures::job();
                job.spec.backoff_limit_per_node = Some(0);
                job.metadata.uid = Some(uid);
                self.store(job);
            }
            Event::Collect => {
                let job = self.now.job.as_ref().and_then(|job| job.metadata.uid.clone());
                let owner = self.now.daemon_set.as_ref().map(|daemon_set| &daemon_set.owner);
                if owner.is_some() && owner != job.as_ref() {
                    self.delete_daemon_set();
                }
            }
            Event::Reconcile(lags, between) => self.reconcile(*lags, between),
            Event::Terminate(lag) => self.terminate(*lag),
        }
        self.past.push(self.now.clone());
    }

    /// From now on nothing fails and nobody interferes. Time stands still: no deadline comes to help.
    pub(super) fn settle(&mut self) {
        for _ in 0..12 {
            self.happen(&Event::Collect);
            self.happen(&Event::Reconcile(Lags::default(), Vec::new()));
            self.happen(&Event::PodsGone);
            self.happen(&Event::Sync);
            for index in 0..self.now.pods.len() {
                self.happen(&Event::PodDone(index));
            }
            self.happen(&Event::Terminate(0));
        }
    }

    /// Whether the Job is deleted, or has failed and lost its DaemonSet.
    pub(super) fn is_over(&self) -> bool {
        let Some(job) = &self.now.job else {
            return true;
        };
        let status = job.status.as_ref();
        let finished = status.and_then(|status| conditions::finished(&status.conditions));
        finished.is_some_and(|condition| condition.type_ == conditions::FAILED)
            && self.now.daemon_set.is_none()
    }

    fn new_uid(&mut self) -> Uid {
        self.last_uid += 1;
        self.last_uid
    }

    /// What a cache shows that lags by at most `lag` events.
    fn ago(&self, lag: usize) -> &Objects {
        &self.past[self.past.len().saturating_sub(1 + lag)]
    }

    fn edit(&mut self, change: impl FnOnce(&mut Job)) {
        if let Some(job) = &self.now.job {
            let mut edited = (**job).clone();
            change(&mut edited);
            if edited.spec != job.spec {
                edited.metadata.generation = edited.metadata.generation.map(|old| old + 1);
                self.store(edited);
            }
        }
    }

    fn store(&mut self, mut job: Job) {
        job.metadata.resource_version = Some(self.new_uid().to_string());
        self.now.job = Some(Arc::new(job));
    }

    fn delete_daemon_set(&mut self) {
        self.now.daemon_set = None;
        self.now.pods.values_mut().for_each(|pod| pod.is_leaving = true);
    }

    /// As the DaemonSet controller: the status counts the pods from before those that this very
    /// sync creates.
    fn sync(&mut self) {
        let Some(mut daemon_set) = self.now.daemon_set.as_deref().cloned() else {
            return;
        };
        let nodes = self.now.nodes.clone();
        let is_wanted = |pod: &PodState| nodes.contains_key(&pod.node);
        let own = self.now.pods.values_mut().filter(|pod| pod.owner == daemon_set.uid);
        let mut held = BTreeSet::new();
        for pod in own {
            pod.is_leaving |= !is_wanted(pod) || pod.work_hash != daemon_set.work_hash;
            if is_wanted(pod) {
                held.insert(pod.node);
            }
        }
        for (node, node_uid) in nodes.iter().filter(|(node, _)| !held.contains(node)) {
            let pod = PodState {
                owner: daemon_set.uid.clone(),
                job: daemon_set.owner.clone(),
                node: *node,
                node_uid: *node_uid,
                work_hash: daemon_set.work_hash.clone(),
                is_done: false,
                has_failed: false,
                is_leaving: false,
            };
            let uid = self.new_uid();
            self.now.pods.insert(uid, pod);
        }
        daemon_set.scheduled = held;
        daemon_set.wanted = nodes;
        daemon_set.observed_generation = daemon_set.generation;
        self.now.daemon_set = Some(Arc::new(daemon_set));
    }

    fn reconcile(&mut self, lags: Lags, between: &[Event]) {
        let Some(job) = self.ago(lags.job).job.clone() else {
            return;
        };
        let mut decision = decide(&Observed {
            job: &job,
            daemon_set: view(self.ago(lags.daemon_set).daemon_set.as_deref()).as_ref(),
            pods: &pods(&self.ago(lags.pods).pods),
            nodes: &nodes(&self.ago(lags.nodes).nodes),
            source: Source::Caches,
            now: self.time,
        });
        if decision == Decision::ObserveLive {
            let daemon_set = self.now.daemon_set.clone();
            between.iter().for_each(|event| self.happen(event));
            let seen = daemon_set.as_ref().map(|_| pods(&self.now.pods)).unwrap_or_default();
            let daemon_set_view = view(daemon_set.as_deref());
            let is_live =
                daemon_set_view.as_ref().is_some_and(|view| asks_for_nodes(&job, view, &seen));
            let known = if is_live { &self.now } else { self.ago(lags.nodes) };
            decision = decide(&Observed {
                job: &job,
                daemon_set: daemon_set_view.as_ref(),
                pods: &seen,
                nodes: &nodes(&known.nodes),
                source: Source::Live,
                now: self.time,
            });
            if let (Decision::Act(act), Some(daemon_set)) = (&decision, daemon_set) {
                self.check_finish(&job, &act.status, &daemon_set);
            }
        }
        if let Decision::Act(act) = decision {
            let JobStatus { completed, succeeded, desired, .. } = &act.status;
            assert_eq!(*completed, Some(format!("{succeeded}/{desired}")), "counts add up");
            self.check_deadline(&job, &act);
            self.apply(&job, *act);
        }
    }

    /// As the API server: a UID or a version that does not match is a conflict.
    fn apply(&mut self, job: &Job, act: Act) {
        let work_hash = work::hash(&job.spec);
        let owner = job.metadata.uid.clone().unwrap_or_default();
        match (&act.daemon_set, self.now.daemon_set.as_deref().cloned()) {
            (DaemonSetAction::Create, None) => {
                self.now.daemon_set = Some(Arc::new(DaemonSetState {
                    uid: format!("ds-{}", self.new_uid()),
                    owner,
                    generation: 1,
                    work_hash,
                    observed_generation: 0,
                    wanted: BTreeMap::new(),
                    scheduled: BTreeSet::new(),
                }));
            }
            // An apply takes over what the same field manager has applied for an earlier Job.
            (DaemonSetAction::Create, Some(daemon_set)) => {
                self.now.daemon_set = Some(Arc::new(DaemonSetState { owner, ..daemon_set }));
            }
            (DaemonSetAction::Update(uid), Some(daemon_set)) if *uid == daemon_set.uid => {
                let generation =
                    daemon_set.generation + i64::from(daemon_set.work_hash != work_hash);
                let changed = DaemonSetState { work_hash, generation, ..daemon_set };
                self.now.daemon_set = Some(Arc::new(changed));
            }
            (DaemonSetAction::Update(_), _) => return,
            (DaemonSetAction::Delete(uid), Some(daemon_set)) if *uid == daemon_set.uid => {
                self.delete_daemon_set();
            }
            _ => {}
        }
        let Some(current) = self.now.job.clone().filter(|current| is_same(current, job)) else {
            return;
        };
        if current.status.as_ref() != Some(&act.status) {
            self.check_kept(current.status.as_ref(), &act.status);
            self.store(Job { status: Some(act.status), ..(*current).clone() });
        }
    }

    fn terminate(&mut self, lag: usize) {
        let (Some(seen), Some(current)) = (self.ago(lag).job.clone(), &self.now.job) else {
            return;
        };
        let Some(status) = seen.status.as_ref().filter(|_| is_same(&seen, current)) else {
            return;
        };
        let is_current = status.observed_generation == seen.metadata.generation;
        let complete = conditions::find_true(&status.conditions, conditions::COMPLETE);
        if is_current && complete.is_some() {
            let uid = seen.metadata.uid.clone().unwrap_or_default();
            // An edit of a limit raises the generation of a Job that stays complete.
            let is_known = self.complete.iter().any(|(known, _)| *known == uid);
            assert!(is_known, "deleted without having been complete");
            self.now.job = None;
        }
    }
}

impl PodState {
    fn result(&self) -> Result {
        (self.job.clone(), self.node_uid, self.work_hash.clone())
    }
}

/// Whether nothing was written to the Job between the two.
fn is_same(a: &Job, b: &Job) -> bool {
    a.metadata.uid == b.metadata.uid && a.metadata.resource_version == b.metadata.resource_version
}

fn node_uid(uid: Uid) -> String {
    format!("node-{uid}")
}

/// A time of creation: what comes later has a higher UID.
fn created(uid: Uid) -> Timestamp {
    Timestamp::UNIX_EPOCH + SignedDuration::from_secs(uid.into())
}

fn view(state: Option<&DaemonSetState>) -> Option<DaemonSetView> {
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

fn pods(pods: &BTreeMap<Uid, PodState>) -> Vec<Arc<PodView>> {
    let view = |(uid, state): (&Uid, &PodState)| {
        let name = state.node.to_string();
        let mut pod = fixtures::pod(&name).owner(&state.owner).work_hash(&state.work_hash);
        // What is written to a pod is never unwritten: each state has a version of its own.
        let PodState { is_done, has_failed, is_leaving, .. } = state;
        pod = pod.identity(&uid.to_string(), &format!("{is_done} {has_failed} {is_leaving}"));
        pod = pod.created(created(*uid));
        if state.has_failed {
            pod = pod.container(json!({
                "name": "job-container", "image": "", "imageID": "", "ready": false,
                "restartCount": 0, "state": {"terminated": {"exitCode": 1}},
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

fn nodes(nodes: &BTreeMap<Name, Uid>) -> Nodes {
    let view = |(name, uid): (&Name, &Uid)| {
        let mut node = (*fixtures::node(&name.to_string())).clone();
        node.metadata.uid = Some(node_uid(*uid));
        node.metadata.creation_timestamp = Some(Time(created(*uid)));
        (name.to_string(), Arc::new(node))
    };
    nodes.iter().map(view).collect()
}
