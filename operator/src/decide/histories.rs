//! Random histories of a cluster, and what must hold in all of them: never early, always in the end.
//!
//! The world is what is true. The operator sees it through caches that lag, each on its own, and
//! through live reads between which the world goes on. Nothing of it is kept between two of its
//! steps, so each step is also a restart.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use api::{
    conditions,
    views::{DaemonSetView, PodView},
};
use k8s_openapi::jiff::Timestamp;
use proptest::prelude::*;

use super::*;
use crate::fixtures;

type Node = u32;

/// What can happen.
#[derive(Clone, Debug)]
enum Event {
    NodeJoins,
    NodeLeaves(usize),
    /// The DaemonSet controller creates and deletes pods and writes its status.
    Sync,
    /// The work of a pod is done, and recorded.
    PodDone(usize),
    /// A pod begins to go away.
    PodDeleted(usize),
    /// Pods that were going away are gone.
    PodsGone,
    /// The user changes the work.
    Edit(u8),
    /// The user deletes the Job and creates it anew.
    Recreate,
    /// Garbage collection deletes the DaemonSets of Jobs that are gone.
    Collect,
    /// The operator reconciles. Each cache lags by at most this many events.
    Reconcile {
        job: usize,
        daemon_set: usize,
        pods: usize,
        between: Vec<Event>,
    },
    /// The terminator looks at the Job as it was this many events ago.
    Terminate {
        lag: usize,
    },
}

fn world_event() -> impl Strategy<Value = Event> {
    prop_oneof![
        2 => Just(Event::NodeJoins),
        1 => (0_usize..8).prop_map(Event::NodeLeaves),
        6 => Just(Event::Sync),
        6 => (0_usize..8).prop_map(Event::PodDone),
        1 => (0_usize..8).prop_map(Event::PodDeleted),
        2 => Just(Event::PodsGone),
        1 => (0_u8..3).prop_map(Event::Edit),
        1 => Just(Event::Recreate),
        2 => Just(Event::Collect),
    ]
}

fn event() -> impl Strategy<Value = Event> {
    let lag = || prop_oneof![3 => Just(0_usize), 1 => 0_usize..12];
    let between = prop::collection::vec(world_event(), 0..3);
    prop_oneof![
        3 => world_event(),
        2 => (lag(), lag(), lag(), between)
            .prop_map(|(job, daemon_set, pods, between)| Event::Reconcile { job, daemon_set, pods, between }),
        1 => lag().prop_map(|lag| Event::Terminate { lag }),
    ]
}

#[derive(Clone, Debug)]
struct DaemonSetState {
    uid: String,
    /// UID of the Job that owns it.
    owner: String,
    generation: i64,
    work_hash: String,
    observed_generation: i64,
    /// The nodes that the controller wanted when it wrote its status, and those with a pod.
    wanted: BTreeSet<Node>,
    scheduled: BTreeSet<Node>,
}

#[derive(Clone, Debug)]
struct PodState {
    owner: String,
    /// UID of the Job that the pod was created for.
    job: String,
    node: Node,
    work_hash: String,
    is_done: bool,
    is_leaving: bool,
}

#[derive(Clone, Debug)]
struct Snapshot {
    job: Option<Job>,
    daemon_set: Option<DaemonSetState>,
    pods: BTreeMap<u32, PodState>,
}

#[derive(Debug)]
struct World {
    now: Snapshot,
    past: Vec<Snapshot>,
    nodes: BTreeSet<Node>,
    /// What was done where: Job, node, work.
    done: BTreeSet<(String, Node, String)>,
    /// UIDs and names yet unused.
    next: u32,
    /// Jobs (UID, generation) that were rightly called complete.
    complete: BTreeSet<(String, i64)>,
}

impl World {
    fn new(nodes: u32) -> Self {
        let mut job = fixtures::job();
        job.metadata.resource_version = Some("0".into());
        let now = Snapshot {
            job: Some(job),
            daemon_set: None,
            pods: BTreeMap::new(),
        };
        Self {
            past: vec![now.clone()],
            now,
            nodes: (0..nodes).collect(),
            done: BTreeSet::new(),
            next: nodes,
            complete: BTreeSet::new(),
        }
    }

    fn unused(&mut self) -> u32 {
        self.next += 1;
        self.next
    }

    /// The world as a cache that lags by at most `lag` events shows it.
    fn ago(&self, lag: usize) -> &Snapshot {
        &self.past[self.past.len().saturating_sub(1 + lag)]
    }

    fn happen(&mut self, event: &Event) {
        match event {
            Event::NodeJoins => {
                let node = self.unused();
                self.nodes.insert(node);
            }
            Event::NodeLeaves(index) => {
                if let Some(node) = self
                    .nodes
                    .iter()
                    .nth(*index)
                    .copied()
                    .filter(|_| self.nodes.len() > 1)
                {
                    self.nodes.remove(&node);
                    // Its pod is deleted some time later, by the controller.
                }
            }
            Event::Sync => self.sync(),
            Event::PodDone(index) => {
                if let Some(pod) = self.now.pods.values_mut().nth(*index) {
                    pod.is_done = true;
                    self.done
                        .insert((pod.job.clone(), pod.node, pod.work_hash.clone()));
                }
            }
            Event::PodDeleted(index) => {
                if let Some(pod) = self.now.pods.values_mut().nth(*index) {
                    pod.is_leaving = true;
                }
            }
            Event::PodsGone => self.now.pods.retain(|_, pod| !pod.is_leaving),
            Event::Edit(version) => {
                if let Some(job) = &mut self.now.job {
                    let args = vec![version.to_string()];
                    if job.spec.args != args {
                        job.spec.args = args;
                        job.metadata.generation =
                            job.metadata.generation.map(|generation| generation + 1);
                    }
                }
                self.touch_job();
            }
            Event::Recreate => {
                let uid = format!("job-{}", self.unused());
                let mut job = fixtures::job();
                job.metadata.uid = Some(uid);
                self.now.job = Some(job);
                self.touch_job();
            }
            Event::Collect => {
                let job = self
                    .now
                    .job
                    .as_ref()
                    .and_then(|job| job.metadata.uid.clone());
                if self
                    .now
                    .daemon_set
                    .as_ref()
                    .is_some_and(|daemon_set| Some(&daemon_set.owner) != job.as_ref())
                {
                    self.now.daemon_set = None;
                    for pod in self.now.pods.values_mut() {
                        pod.is_leaving = true;
                    }
                }
            }
            Event::Reconcile {
                job,
                daemon_set,
                pods,
                between,
            } => self.reconcile([*job, *daemon_set, *pods], between),
            Event::Terminate { lag } => self.terminate(*lag),
        }
        self.past.push(self.now.clone());
    }

    fn touch_job(&mut self) {
        let version = self.unused().to_string();
        if let Some(job) = &mut self.now.job {
            job.metadata.resource_version = Some(version);
        }
    }

    /// As the DaemonSet controller: the status counts the pods from before those that this very
    /// sync creates.
    fn sync(&mut self) {
        let Some(mut daemon_set) = self.now.daemon_set.clone() else {
            return;
        };
        let own = |pod: &PodState| pod.owner == daemon_set.uid;
        daemon_set.scheduled = self
            .now
            .pods
            .values()
            .filter(|pod| own(pod) && self.nodes.contains(&pod.node))
            .map(|pod| pod.node)
            .collect();
        daemon_set.wanted = self.nodes.clone();
        daemon_set.observed_generation = daemon_set.generation;
        for pod in self
            .now
            .pods
            .values_mut()
            .filter(|pod| pod.owner == daemon_set.uid)
        {
            pod.is_leaving |=
                !self.nodes.contains(&pod.node) || pod.work_hash != daemon_set.work_hash;
        }
        for node in self.nodes.clone() {
            let has_pod = self
                .now
                .pods
                .values()
                .any(|pod| pod.owner == daemon_set.uid && pod.node == node);
            if !has_pod {
                let pod = PodState {
                    owner: daemon_set.uid.clone(),
                    job: daemon_set.owner.clone(),
                    node,
                    work_hash: daemon_set.work_hash.clone(),
                    is_done: false,
                    is_leaving: false,
                };
                let name = self.unused();
                self.now.pods.insert(name, pod);
            }
        }
        self.now.daemon_set = Some(daemon_set);
    }

    fn reconcile(&mut self, [job, daemon_set, pods]: [usize; 3], between: &[Event]) {
        let Some(job) = self.ago(job).job.clone() else {
            return;
        };
        let cached = (
            view(self.ago(daemon_set).daemon_set.as_ref()),
            views(&self.ago(pods).pods),
        );
        let mut decision = decide_on(&job, &cached, Source::Caches);
        if decision == Decision::ObserveLive {
            let state = self.now.daemon_set.clone();
            let live = view(state.as_ref());
            for event in between {
                self.happen(event);
            }
            let pods = if live.is_some() {
                views(&self.now.pods)
            } else {
                Vec::new()
            };
            decision = decide_on(&job, &(live, pods), Source::Live);
            if let (Decision::Act(act), Some(state)) = (&decision, &state) {
                self.check_claim(&job, act, state);
            }
        }
        if let Decision::Act(act) = decision {
            self.apply(&job, *act);
        }
    }

    /// Never early: a Job that is called complete is done on every node that was wanted and is
    /// still there.
    fn check_claim(&mut self, job: &Job, act: &Act, daemon_set: &DaemonSetState) {
        let hash = work::hash(&job.spec);
        let is_claimed =
            conditions::find_true(&act.status.conditions, conditions::COMPLETE).is_some();
        if !is_claimed || act.daemon_set != DaemonSetAction::Keep {
            return;
        }
        let uid = job.metadata.uid.clone().unwrap_or_default();
        for node in daemon_set.wanted.intersection(&self.nodes) {
            let is_done = self.done.contains(&(uid.clone(), *node, hash.clone()));
            assert!(is_done, "complete before node {node} was done");
        }
        let identity = (
            job.metadata.uid.clone().unwrap_or_default(),
            job.metadata.generation.unwrap_or_default(),
        );
        self.complete.insert(identity);
    }

    /// As the API server: a UID that does not match is a conflict.
    fn apply(&mut self, job: &Job, act: Act) {
        let hash = work::hash(&job.spec);
        let uid = job.metadata.uid.clone().unwrap_or_default();
        match (&act.daemon_set, self.now.daemon_set.clone()) {
            (DaemonSetAction::Create, None) => {
                let own = format!("ds-{}", self.unused());
                self.now.daemon_set = Some(DaemonSetState {
                    uid: own,
                    owner: uid.clone(),
                    generation: 1,
                    work_hash: hash,
                    observed_generation: 0,
                    wanted: BTreeSet::new(),
                    scheduled: BTreeSet::new(),
                });
            }
            // An apply takes over what the same field manager has applied for an earlier Job.
            (DaemonSetAction::Create, Some(daemon_set)) => {
                self.now.daemon_set = Some(DaemonSetState {
                    owner: uid.clone(),
                    ..daemon_set
                });
            }
            (DaemonSetAction::Update(target), Some(daemon_set)) if *target == daemon_set.uid => {
                if daemon_set.work_hash != hash {
                    let generation = daemon_set.generation + 1;
                    self.now.daemon_set = Some(DaemonSetState {
                        work_hash: hash,
                        generation,
                        ..daemon_set
                    });
                }
            }
            (DaemonSetAction::Update(_), _) => return,
            (DaemonSetAction::Delete(target), Some(daemon_set)) if *target == daemon_set.uid => {
                self.now.daemon_set = None;
                self.now
                    .pods
                    .values_mut()
                    .for_each(|pod| pod.is_leaving = true);
            }
            _ => {}
        }
        if self
            .now
            .job
            .as_ref()
            .is_some_and(|current| current.metadata.uid.as_ref() == Some(&uid))
        {
            let status = Some(act.status);
            if self
                .now
                .job
                .as_ref()
                .is_some_and(|current| current.status != status)
            {
                if let Some(current) = &mut self.now.job {
                    current.status = status;
                }
                self.touch_job();
            }
        }
    }

    fn terminate(&mut self, lag: usize) {
        let (Some(seen), Some(current)) = (self.ago(lag).job.clone(), &self.now.job) else {
            return;
        };
        let is_same = seen.metadata.uid == current.metadata.uid
            && seen.metadata.resource_version == current.metadata.resource_version;
        let is_due = conditions::complete(&seen).is_some();
        if is_same && is_due {
            let identity = (
                seen.metadata.uid.unwrap_or_default(),
                seen.metadata.generation.unwrap_or_default(),
            );
            assert!(
                self.complete.contains(&identity),
                "deleted without having been complete"
            );
            self.now.job = None;
        }
    }

    /// From now on nothing fails and nobody interferes.
    fn settle(&mut self) {
        for _ in 0..12 {
            self.happen(&Event::Collect);
            self.happen(&Event::Reconcile {
                job: 0,
                daemon_set: 0,
                pods: 0,
                between: Vec::new(),
            });
            self.happen(&Event::PodsGone);
            self.happen(&Event::Sync);
            for index in 0..self.now.pods.len() {
                self.happen(&Event::PodDone(index));
            }
            self.happen(&Event::Terminate { lag: 0 });
        }
    }
}

fn decide_on(
    job: &Job,
    (daemon_set, pods): &(Option<DaemonSetView>, Vec<Arc<PodView>>),
    source: Source,
) -> Decision {
    let observed = Observed {
        job,
        daemon_set: daemon_set.as_ref(),
        pods,
        source,
        now: Timestamp::UNIX_EPOCH,
    };
    let decision = decide(&observed);
    if let Decision::Act(act) = &decision {
        let status = &act.status;
        assert_eq!(
            status.completed,
            Some(format!("{}/{}", status.succeeded, status.desired)),
            "counts add up"
        );
    }
    decision
}

fn view(state: Option<&DaemonSetState>) -> Option<DaemonSetView> {
    let state = state?;
    let mut owner = fixtures::job();
    owner.metadata.uid = Some(state.owner.clone());
    let count = |nodes: &BTreeSet<Node>| i32::try_from(nodes.len()).unwrap();
    let mut view = fixtures::daemon_set()
        .of(&owner)
        .work_hash(&state.work_hash)
        .scheduled(count(&state.wanted), count(&state.scheduled))
        .observed_generation(Some(state.observed_generation))
        .build();
    view.metadata.uid = Some(state.uid.clone());
    view.metadata.generation = Some(state.generation);
    Some(view)
}

fn views(pods: &BTreeMap<u32, PodState>) -> Vec<Arc<PodView>> {
    let view = |state: &PodState| {
        let mut pod = fixtures::pod(&state.node.to_string())
            .owner(&state.owner)
            .work_hash(&state.work_hash);
        if state.is_done {
            pod = pod.done();
        }
        if state.is_leaving {
            pod = pod.deleted();
        }
        pod.build()
    };
    pods.values().map(view).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10_000, ..ProptestConfig::default() })]

    #[test]
    fn never_early_and_always_in_the_end(
        nodes in 1_u32..4,
        events in prop::collection::vec(event(), 0..60),
    ) {
        let mut world = World::new(nodes);
        for event in &events {
            world.happen(event);
        }
        world.settle();
        prop_assert!(world.now.job.is_none(), "never deleted: {:?}", world.now);
    }
}
