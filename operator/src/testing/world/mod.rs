//! A cluster with one Job, as far as the operator is concerned.
//!
//! ```text
//! Event ─→ World: objects, the DaemonSet controller, kubelets, users, strangers
//!            ├─ Process: caches and memory ─→ decide ─→ writes ─→ objects, releases on their way
//!            └─ checks whenever a process decides, a write is acknowledged, a release lands
//! ```

mod actors;
mod checks;
mod choices;
mod events;
mod fault;
mod gone;
mod growth;
mod key;
mod objects;
mod operator;
mod places;
mod process;
mod rollouts;
mod writes;

use std::{
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
    sync::Arc,
};

use api::job::{Job, conditions};
use k8s_openapi::jiff::{SignedDuration, Timestamp};

pub(crate) use self::{
    choices::Left,
    events::{Event, Kinds, Lags, Limit, Look, Rollout},
    fault::Fault,
    places::Check,
};
use self::{
    gone::GonePod,
    objects::{End, NodeState, Objects, PodState, Result, Template, Uid},
    operator::Memo,
    places::Truth,
    process::{InFlight, Process},
};
use crate::testing::{fixtures, kstatus};

#[derive(Clone, Debug)]
pub(crate) struct World {
    now: Objects,
    /// What caches may show that lag by a number of events. Not kept for a Job that takes turns.
    past: Vec<Objects>,
    time: Timestamp,
    /// The pods that are gone, and were done, in their order.
    gone: Arc<Vec<GonePod>>,
    done: Arc<BTreeSet<Result>>,
    failed: Arc<BTreeSet<Result>>,
    last_uid: Uid,
    last_version: Uid,
    /// Jobs (UID, generation) that were rightly called complete.
    complete: BTreeSet<(String, i64)>,
    processes: [Process; 2],
    in_flight: Vec<InFlight>,
    truth: Truth,
    /// Whether the Job takes turns: then caches never go back, and each object has a time of its own.
    takes_turns: bool,
    /// The writes of the last look, and the releases among them.
    writes: usize,
    releases: usize,
    /// What the processes do wrong.
    fault: Option<Fault>,
    /// Decisions that are known, and the digest of the status that is about to be stored.
    memo: Option<Rc<Memo>>,
    status_digest: Option<u64>,
}

impl World {
    pub(crate) fn new(nodes: u32) -> Self {
        let mut job = fixtures::job();
        job.spec.backoff_limit_per_node = Some(0);
        job.metadata.resource_version = Some("0".into());
        let node = |node| (node, NodeState::new(node, objects::created(node)));
        let now = Objects {
            job: Some(Arc::new(job)),
            digests: key::Digests::default(),
            daemon_set: None,
            pods: Arc::default(),
            nodes: Arc::new((0..nodes).map(node).collect()),
        };
        Self {
            processes: [Process::new(&now, 0), Process::new(&now, 0)],
            past: vec![now.clone()],
            now,
            time: Timestamp::UNIX_EPOCH,
            gone: Arc::default(),
            done: Arc::default(),
            failed: Arc::default(),
            last_uid: nodes,
            last_version: 0,
            complete: BTreeSet::new(),
            in_flight: Vec::new(),
            truth: Truth::default(),
            takes_turns: false,
            writes: 0,
            releases: 0,
            fault: None,
            memo: None,
            status_digest: None,
        }
    }

    pub(crate) fn happen(&mut self, event: &Event) {
        match event {
            Event::NodeJoins => {
                let node = self.new_uid();
                self.put_node(node, node);
            }
            Event::NodeLeaves(index) if self.now.nodes.len() > 1 => {
                if let Some(name) = self.now.nodes.keys().nth(*index).copied() {
                    Arc::make_mut(&mut self.now.nodes).remove(&name);
                }
            }
            Event::NodeLeaves(_) => {}
            Event::NodeRecreated(index) => {
                let uid = self.new_uid();
                if let Some(name) = self.now.nodes.keys().nth(*index).copied() {
                    self.put_node(name, uid);
                    self.take_pods_along(name, uid);
                }
            }
            Event::NodeReplaced(index) => {
                let uid = self.new_uid();
                if let Some(name) = self.now.nodes.keys().nth(*index).copied() {
                    self.put_node(name, uid);
                    self.drop_pods(|pod| pod.node == name);
                }
            }
            Event::NodeSelected(index) => {
                if let Some(node) = Arc::make_mut(&mut self.now.nodes).values_mut().nth(*index) {
                    node.is_deselected = !node.is_deselected;
                }
            }
            Event::Sync => self.sync(),
            Event::PodDone(index) => self.end_work(*index),
            Event::PodFails(index) => self.fail_work(*index),
            Event::SandboxEnds(index) => {
                let time = self.time;
                if let Some(pod) = self.running(*index) {
                    pod.run.lose_sandbox(time);
                }
            }
            Event::SandboxStarts(index) => {
                let time = self.time;
                if let Some(pod) = self.running(*index) {
                    pod.run.create_sandbox(time);
                }
            }
            Event::PodDeleted(index) => {
                if let Some(pod) = self.pods().values_mut().nth(*index) {
                    pod.is_leaving = true;
                }
            }
            Event::PodsGone => self.remove_pods(),
            Event::PodsCollected => {
                let nodes = Arc::clone(&self.now.nodes);
                self.drop_pods(|pod| !nodes.contains_key(&pod.node));
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
            Event::StrangerDeletes { orphans } => self.lose_daemon_set(*orphans),
            Event::OperatorRestarts => self.restart(0),
            Event::Recreate => self.recreate_job(),
            Event::Collect => {
                let job = self.now.job.as_ref().and_then(|job| job.metadata.uid.clone());
                let owner = self.now.daemon_set.as_ref().map(|daemon_set| &daemon_set.owner);
                if owner.is_some() && owner != job.as_ref() {
                    self.delete_daemon_set();
                }
            }
            Event::Reconcile(lags, between) => self.reconcile(*lags, between),
            Event::Terminate(lag) => self.terminate(*lag),
            Event::Rollout(rollout) => self.roll_out(rollout),
        }
        if self.takes_turns {
            self.digest_objects();
            self.check_places();
        } else {
            self.past.push(self.now.clone());
        }
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

    /// A new UID. Where nodes take turns, no two objects are made in the same second.
    fn new_uid(&mut self) -> Uid {
        self.last_uid += 1;
        if self.takes_turns {
            self.time += SignedDuration::from_secs(1);
        }
        self.last_uid
    }

    /// The time of creation of the object with this new UID.
    fn created(&self, uid: Uid) -> Timestamp {
        if self.takes_turns { self.time } else { objects::created(uid) }
    }

    fn pods(&mut self) -> &mut BTreeMap<Uid, PodState> {
        Arc::make_mut(&mut self.now.pods)
    }

    fn put_node(&mut self, name: Uid, uid: Uid) {
        let mut node = NodeState::new(uid, self.created(uid));
        let nodes = Arc::make_mut(&mut self.now.nodes);
        node.is_deselected = nodes.get(&name).is_some_and(|before| before.is_deselected);
        nodes.insert(name, node);
    }

    /// The objects that a cache shows that lags by at most `lag` events.
    fn ago(&self, lag: usize) -> &Objects {
        let then = self.past.get(self.past.len().saturating_sub(1 + lag));
        then.filter(|_| !self.takes_turns).unwrap_or(&self.now)
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
            daemon_set.set_template(template);
            self.now.daemon_set = Some(Arc::new(daemon_set));
        }
    }

    fn store(&mut self, mut job: Job) {
        self.last_version += 1;
        job.metadata.resource_version = Some(self.last_version.to_string());
        kstatus::check(&job);
        match (&self.memo, self.status_digest.take()) {
            (None, _) => {}
            (Some(_), Some(status)) => self.now.digests.set_status(status),
            (Some(_), None) => self.now.digests.set_spec(&job),
        }
        self.now.job = Some(Arc::new(job));
    }

    fn delete_daemon_set(&mut self) {
        self.now.daemon_set = None;
        self.pods().values_mut().for_each(|pod| pod.is_leaving = true);
    }
}
