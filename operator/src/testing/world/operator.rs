//! The operator: what a process sees, and what it decides.

use std::{cell::RefCell, collections::HashMap, rc::Rc, sync::Arc};

use api::{
    job::{Job, JobStatus},
    views::{DaemonSetView, PodView},
};

use super::{
    Fault, GonePod, Kinds, Lags, Look, World, key,
    objects::{DaemonSetState, Objects, Template, nodes, pods, view},
};
use crate::job::decide::{
    actions::{Decision, Release},
    applied::Applied,
    decide,
    job_view::JobView,
    nodes::needs_live_nodes,
    observation::{Observation, Source},
};

/// What a process sees of the cluster.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) objects: Objects,
    pub(super) applied: Option<Applied>,
    /// Pods that are gone, and were done.
    pub(super) gone: Vec<GonePod>,
    pub(super) source: Source,
}

/// What follows from what a process sees.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) decision: Decision,
    needs_revision: bool,
    needs_live_nodes: bool,
    /// Digest of the status that is decided on, where decisions are remembered.
    status_digest: Option<u64>,
}

/// Outcomes that are known, for decisions are pure.
#[derive(Debug, Default)]
pub(super) struct Memo(RefCell<HashMap<u64, Rc<Outcome>>>);

impl World {
    /// A process looks at the Job, whatever its caches showed before.
    pub(crate) fn reconcile(&mut self, lags: Lags, between: &[super::Event]) {
        let caches = Objects {
            job: self.ago(lags.job).job.clone(),
            digests: key::Digests::default(),
            daemon_set: self.ago(lags.daemon_set).daemon_set.clone(),
            pods: Arc::clone(&self.ago(lags.pods).pods),
            nodes: Arc::clone(&self.ago(lags.nodes).nodes),
        };
        let since = self.past.len().saturating_sub(1 + lags.nodes);
        self.show_gone(0, self.past.len().saturating_sub(lags.pods));
        let look = Look { between: between.to_vec(), ..Look::default() };
        self.look_at(&look, caches, |world, daemon_set| {
            let mut since = world.past.iter().skip(since).flat_map(|then| then.pods.iter());
            since.any(|(uid, pod)| pod.owner == daemon_set && !world.now.pods.contains_key(uid))
        });
    }

    /// A process looks at the Job in its caches.
    pub(crate) fn look(&mut self, look: &Look) {
        (self.writes, self.releases) = (0, 0);
        self.catch_up(look.process, look.fresh);
        let process = self.process(look.process).clone();
        if look.cut == Some(0) {
            return;
        }
        // A Job from before the last write of its status is about to be replaced in the cache.
        let version = process.caches.job.as_deref().and_then(version);
        if process.written > version && !look.forgets {
            return;
        }
        self.look_at(look, process.caches, |world, daemon_set| {
            world.processes.get(look.process).is_some_and(|it| it.losses.contains(daemon_set))
        });
    }

    fn look_at(&mut self, look: &Look, caches: Objects, has_lost: impl Fn(&Self, &str) -> bool) {
        let Some(job) = caches.job.clone() else {
            return;
        };
        let applied = self.applied(look.process, caches.daemon_set.as_deref());
        let objects = self.indexed(caches);
        let gone = self.shown(look.process);
        let mut seen = Seen { objects, applied, gone, source: Source::Caches };
        let mut outcome = self.outcome(&job, &seen);
        let is_due = |release: &Release| !self.has_sent(look.process, release);
        let repeats = self.fault != Some(Fault::RepeatsFromCaches)
            && outcome.decision.repeats(seen.source, is_due);
        if outcome.decision == Decision::ObserveLive || repeats {
            let (daemon_set, digests) = (self.now.daemon_set.clone(), self.now.digests);
            look.between.iter().for_each(|event| self.happen(event));
            self.catch_up(look.process, Kinds { pods: true, ..Kinds::default() });
            seen.applied = self.applied(look.process, daemon_set.as_deref());
            seen.gone = self.shown(look.process);
            seen.objects.digests.take(&digests, Kinds { daemon_set: true, ..Kinds::default() });
            let pods = Kinds { pods: true, ..Kinds::default() };
            seen.objects.digests.take(&self.now.digests, pods);
            let pods = Arc::clone(&self.now.pods);
            // Without a DaemonSet of the Job's own its pods are listed, and show those without an owner.
            let is_own = daemon_set.as_deref().is_some_and(|daemon_set| {
                Some(&daemon_set.owner) == job.metadata.uid.as_ref() && !daemon_set.is_going
            });
            let objects = Objects { daemon_set, pods, ..seen.objects };
            seen.objects = if is_own { self.indexed(objects) } else { objects };
            seen.source = Source::Live;
            outcome = self.outcome(&job, &seen);
            if outcome.needs_revision {
                self.look_up_revision(look.process, &mut seen);
            }
            let daemon_set = seen.objects.daemon_set.as_deref();
            let has_lost = daemon_set.is_some_and(|it| has_lost(self, &it.uid));
            if outcome.needs_live_nodes || has_lost {
                seen.objects.nodes = Arc::clone(&self.now.nodes);
                let nodes = Kinds { nodes: true, ..Kinds::default() };
                seen.objects.digests.take(&self.now.digests, nodes);
            }
            outcome = self.outcome(&job, &seen);
            if let (Decision::Act(act), Some(daemon_set)) =
                (&outcome.decision, seen.objects.daemon_set.clone())
            {
                self.check_finish(&job, &act.status, &daemon_set);
            }
        }
        if let Decision::Act(act) = &outcome.decision {
            let JobStatus { completed, succeeded, desired, .. } = &act.status;
            // A Job that was suspended before it began has counted nothing.
            let is_counted = completed.is_some() || *desired + *succeeded > 0;
            let counts = is_counted.then(|| format!("{succeeded}/{desired}"));
            assert_eq!(*completed, counts, "counts add up");
            self.check_deadline(&job, act);
            let corrupted = self.fault.map(|fault| fault.corrupt(&job, &seen, act));
            self.status_digest = match &corrupted {
                Some(act) => self.memo.as_ref().map(|_| key::status_digest(&act.status)),
                None => outcome.status_digest,
            };
            let act = corrupted.as_ref().unwrap_or(act);
            self.check_decision(&job, &seen, act);
            self.write(look, &job, &seen, act);
            self.status_digest = None;
        }
    }

    /// What a cache of pods shows: those of DaemonSets of the Job's name.
    fn indexed(&self, mut objects: Objects) -> Objects {
        if self.takes_turns {
            let is_shown = |pod: &super::PodState| !pod.owner.is_empty();
            if !objects.pods.values().all(is_shown) {
                Arc::make_mut(&mut objects.pods).retain(|_, pod| is_shown(pod));
            }
        }
        objects
    }

    /// What follows from what a process sees.
    fn outcome(&self, job: &Job, seen: &Seen) -> Rc<Outcome> {
        let Some(memo) = &self.memo else {
            return Rc::new(self.decide_on(job, seen));
        };
        let key = key::of_decision(seen, self.time);
        if let Some(known) = memo.0.borrow().get(&key) {
            return Rc::clone(known);
        }
        let mut outcome = self.decide_on(job, seen);
        if let Decision::Act(act) = &outcome.decision {
            outcome.status_digest = Some(key::status_digest(&act.status));
        }
        let outcome = Rc::new(outcome);
        memo.0.borrow_mut().insert(key, Rc::clone(&outcome));
        outcome
    }

    fn decide_on(&self, job: &Job, seen: &Seen) -> Outcome {
        let misled = self.fault.and_then(|fault| fault.mislead(job, seen));
        let job = misled.as_ref().unwrap_or(job);
        let Seen { objects, applied, gone, source } = seen;
        let blinded = self.fault.and_then(|fault| fault.blind(objects));
        let objects = blinded.as_ref().unwrap_or(objects);
        let observation = Observation {
            daemon_set: view(objects.daemon_set.as_deref()),
            pods: pods(&objects.pods),
            gone: if self.fault == Some(Fault::ForgetsGone) {
                Vec::new()
            } else {
                self::gone(gone)
            },
            nodes: nodes(&objects.nodes),
            applied: applied.clone(),
            source: *source,
            now: self.time,
            ..crate::testing::fixtures::observation(job)
        };
        Outcome {
            needs_revision: *source == Source::Live && observation.needs_revision(),
            needs_live_nodes: *source == Source::Live && needs_live_nodes(&observation),
            decision: decide(&observation),
            status_digest: None,
        }
    }

    /// The memory that a process has of a DaemonSet.
    fn applied(&self, process: usize, daemon_set: Option<&DaemonSetState>) -> Option<Applied> {
        let uid = &daemon_set?.uid;
        let known = self.processes.get(process)?.applied.as_ref();
        known.filter(|(known, _)| known == uid).map(|(_, applied)| applied.clone())
    }

    /// Lists the revisions, unless somebody may have made one meanwhile.
    fn look_up_revision(&mut self, process: usize, seen: &mut Seen) {
        let of = |daemon_set: &DaemonSetState| (daemon_set.uid.clone(), daemon_set.generation);
        let known = seen.objects.daemon_set.as_deref().map(of);
        let now = self.now.daemon_set.as_deref().filter(|now| known == Some(of(now)));
        let revision = now.and_then(|now| now.revision.as_ref()).map(Template::hash);
        if let (Some((uid, _)), Some(revision), Some(applied)) =
            (known, revision, &mut seen.applied)
        {
            applied.revision = Some(revision.into());
            self.process(process).applied = Some((uid, applied.clone()));
        }
    }

    /// Remembers the DaemonSet as the process has just written it.
    pub(super) fn remember(&mut self, process: usize, job: &Job, daemon_set: &DaemonSetState) {
        let before = self.applied(process, Some(daemon_set));
        let view: Arc<DaemonSetView> = view(Some(daemon_set)).unwrap();
        let applied = Applied::new(&JobView::new(job), &view, before.as_ref());
        self.process(process).applied = Some((daemon_set.uid.clone(), applied));
    }
}

/// The last that a watch has shown of pods that are gone.
fn gone(gone: &[GonePod]) -> Vec<Arc<PodView>> {
    pods(&gone.iter().map(|gone| (gone.uid, gone.pod.clone())).collect())
}

/// The version of a Job.
pub(super) fn version(job: &Job) -> Option<super::Uid> {
    job.metadata.resource_version.as_ref()?.parse().ok()
}
