//! A cluster with one Job, as far as the operator is concerned.

mod actors;
mod checks;
mod objects;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use api::job::{Job, conditions};
use k8s_openapi::jiff::{SignedDuration, Timestamp};

use self::objects::{End, Objects, PodState, Result, Template, Uid};
use crate::{job::decide::applied::Applied, testing::fixtures};

/// An event. An index picks one of the objects that are there at that time.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    NodeJoins,
    NodeLeaves(usize),
    /// A node is deleted and created again under its name.
    NodeRecreated(usize),
    /// A machine takes the name of another one, whose pods are gone with it.
    NodeReplaced(usize),
    /// The DaemonSet controller creates and deletes pods and writes its status.
    Sync,
    /// The work of a pod is done, and that is recorded on it.
    PodDone(usize),
    /// The container of a pod crashes, which is once more than this Job tolerates.
    PodFails(usize),
    /// The sandbox of a pod ends, and its container with it.
    SandboxEnds(usize),
    /// The kubelet creates another one, and starts the container again.
    SandboxStarts(usize),
    /// A pod begins to go away.
    PodDeleted(usize),
    /// Pods that were going away are gone.
    PodsGone,
    /// Garbage collection deletes pods whose node is gone.
    PodsCollected,
    /// The user changes the work.
    Edit(u8),
    /// The user changes how many failed nodes are tolerated.
    EditLimit(Option<i32>),
    /// The user changes the deadline, in seconds.
    EditDeadline(Option<i64>),
    /// Seconds pass.
    TimePasses(i64),
    /// The user deletes the Job and creates it anew.
    Recreate,
    /// Garbage collection deletes the DaemonSet of a Job that is gone.
    Collect,
    /// A stranger edits the pod template: another image, for example.
    StrangerEdits(u8),
    /// A stranger makes the DaemonSet select no node.
    StrangerSelectsNone,
    /// A stranger rolls back to one of the earlier templates.
    StrangerRollsBack(usize),
    /// A stranger deletes the DaemonSet, with or without its pods.
    StrangerDeletes {
        orphans: bool,
    },
    /// A node leaves our own selection, by a label or a taint, or is back.
    NodeSelected(usize),
    /// The operator starts anew, and remembers nothing.
    OperatorRestarts,
    /// The operator reconciles.
    Reconcile(Lags, Vec<Event>),
    /// The terminator looks at the Job as it was this many events ago.
    Terminate(usize),
}

/// By how many events each cache lags at most.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Lags {
    pub(crate) job: usize,
    pub(crate) daemon_set: usize,
    pub(crate) pods: usize,
    pub(crate) nodes: usize,
}

#[derive(Debug)]
pub(crate) struct World {
    now: Objects,
    past: Vec<Objects>,
    time: Timestamp,
    done: BTreeSet<Result>,
    failed: BTreeSet<Result>,
    last_uid: Uid,
    /// Jobs (UID, generation) that were rightly called complete.
    complete: BTreeSet<(String, i64)>,
    /// The operator's memory of the DaemonSet with this UID.
    applied: Option<(String, Applied)>,
}

impl World {
    pub(crate) fn new(nodes: u32) -> Self {
        let mut job = fixtures::job();
        job.spec.backoff_limit_per_node = Some(0);
        job.metadata.resource_version = Some("0".into());
        let now = Objects {
            job: Some(Arc::new(job)),
            daemon_set: None,
            pods: BTreeMap::new(),
            nodes: (0..nodes).map(|node| (node, node)).collect(),
            deselected: BTreeSet::new(),
        };
        Self {
            past: vec![now.clone()],
            now,
            time: Timestamp::UNIX_EPOCH,
            done: BTreeSet::new(),
            failed: BTreeSet::new(),
            last_uid: nodes,
            complete: BTreeSet::new(),
            applied: None,
        }
    }

    pub(crate) fn happen(&mut self, event: &Event) {
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
                        if pod.is_done && pod.does_the_work() {
                            self.done.insert(pod.result());
                        }
                        if pod.has_failed && pod.does_the_work() {
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
                    if pod.does_the_work() {
                        self.done.insert(pod.result());
                    }
                }
            }
            Event::PodFails(index) => {
                let pod = self.now.pods.values_mut().nth(*index);
                let goes_on = |pod: &&mut PodState| !pod.is_done && !pod.is_leaving;
                if let Some(pod) = pod.filter(|pod| goes_on(pod) && pod.run.is_running()) {
                    pod.has_failed = true;
                    pod.run.ended = Some(End { code: 1, at: self.time });
                    if pod.does_the_work() {
                        self.failed.insert(pod.result());
                    }
                }
            }
            Event::SandboxEnds(index) => {
                if let Some(pod) = self.now.pods.values_mut().nth(*index) {
                    pod.run.lose_sandbox(self.time);
                }
            }
            Event::SandboxStarts(index) => {
                if let Some(pod) = self.now.pods.values_mut().nth(*index) {
                    pod.run.create_sandbox(self.time);
                }
            }
            Event::PodDeleted(index) => {
                if let Some(pod) = self.now.pods.values_mut().nth(*index) {
                    pod.is_leaving = true;
                }
            }
            Event::PodsGone => self.now.pods.retain(|_, pod| !pod.is_leaving),
            Event::PodsCollected => {
                let nodes = &self.now.nodes;
                self.now.pods.retain(|_, pod| nodes.contains_key(&pod.node));
            }
            Event::Edit(version) => self.edit(|job| job.spec.args = vec![version.to_string()]),
            Event::EditLimit(limit) => self.edit(|job| job.spec.max_failed_nodes = *limit),
            Event::EditDeadline(seconds) => {
                self.edit(|job| job.spec.active_deadline_seconds = *seconds);
            }
            Event::TimePasses(seconds) => self.time += SignedDuration::from_secs(*seconds),
            Event::StrangerEdits(edit) => self.edit_template(|template| template.edit = *edit),
            Event::StrangerSelectsNone => self.edit_template(|template| template.is_asleep = true),
            Event::StrangerRollsBack(index) => {
                let daemon_set = self.now.daemon_set.as_ref();
                let earlier = daemon_set.and_then(|it| it.history.get(*index)).cloned();
                self.edit_template(|template| *template = earlier.unwrap_or(template.clone()));
            }
            Event::StrangerDeletes { orphans } => {
                let uid = self.now.daemon_set.take().map(|daemon_set| daemon_set.uid.clone());
                let pods = self.now.pods.values_mut();
                for pod in pods.filter(|pod| Some(&pod.owner) == uid.as_ref()) {
                    if *orphans {
                        pod.owner.clear();
                    } else {
                        pod.is_leaving = true;
                    }
                }
            }
            Event::NodeSelected(index) => {
                if let Some(name) = self.now.nodes.keys().nth(*index).copied()
                    && !self.now.deselected.remove(&name)
                {
                    self.now.deselected.insert(name);
                }
            }
            Event::OperatorRestarts => self.applied = None,
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

    /// Lets the world go on without failures and edits.
    ///
    /// Time stands still: no deadline comes to help.
    pub(crate) fn settle(&mut self) {
        for _ in 0..16 {
            self.happen(&Event::Collect);
            self.happen(&Event::Reconcile(Lags::default(), Vec::new()));
            self.happen(&Event::PodsGone);
            self.happen(&Event::PodsCollected);
            self.happen(&Event::Sync);
            for index in 0..self.now.pods.len() {
                self.happen(&Event::SandboxStarts(index));
                self.happen(&Event::PodDone(index));
            }
            self.happen(&Event::Terminate(0));
        }
    }

    /// Whether the Job is deleted, or has failed and lost its DaemonSet.
    pub(crate) fn is_over(&self) -> bool {
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

    /// The objects that a cache shows that lags by at most `lag` events.
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

    /// Changes the pod template of the DaemonSet, whoever does so.
    fn edit_template(&mut self, change: impl FnOnce(&mut Template)) {
        if let Some(mut daemon_set) = self.now.daemon_set.as_deref().cloned() {
            let mut template = daemon_set.template.clone();
            change(&mut template);
            daemon_set.set_template(template, self.new_uid());
            self.now.daemon_set = Some(Arc::new(daemon_set));
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
}
