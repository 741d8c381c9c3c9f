//! Actors: the DaemonSet controller, the operator, the terminator.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use api::{
    job::{Job, JobStatus, conditions, work_hash},
    views::DaemonSetView,
};

use super::{
    Event, Lags, World,
    objects::{DaemonSetState, PodState, Run, Template, Uid, nodes, pods, view},
};
use crate::job::decide::{
    actions::{Actions, Decision},
    applied::Applied,
    daemon_set::DaemonSetAction,
    decide,
    job_view::JobView,
    nodes::needs_live_nodes,
    observation::{Observation, Source},
    tally::PodTally,
};

impl World {
    /// Acts as the DaemonSet controller.
    ///
    /// The status counts the pods from before those that this very sync creates. Pods whose node is gone are not
    /// its business, but that of the collector of pods, which takes up to a minute.
    pub(crate) fn sync(&mut self) {
        let Some(mut daemon_set) = self.now.daemon_set.as_deref().cloned() else {
            return;
        };
        let mut nodes = self.now.nodes.clone();
        nodes.retain(|node, _| !self.now.deselected.contains(node));
        daemon_set.ought_to_want.clone_from(&nodes);
        nodes.retain(|_, _| !daemon_set.template.is_asleep);
        let current = (daemon_set.template.clone(), daemon_set.template_generation);
        // It adopts pods that match its selector.
        for pod in self.now.pods.values_mut().filter(|pod| pod.owner.is_empty()) {
            pod.owner.clone_from(&daemon_set.uid);
        }
        let is_wanted = |pod: &PodState| nodes.contains_key(&pod.node);
        let own = self.now.pods.values_mut().filter(|pod| pod.owner == daemon_set.uid);
        let mut held = BTreeSet::new();
        for pod in own {
            let is_updated = pod.template == current.0 || pod.template_generation == current.1;
            let is_lost = !self.now.nodes.contains_key(&pod.node);
            pod.is_leaving |= !is_updated || !is_lost && !is_wanted(pod);
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
                template: current.0.clone(),
                template_generation: current.1,
                is_done: false,
                has_failed: false,
                run: Run::default(),
                is_leaving: false,
            };
            let uid = self.new_uid();
            self.now.pods.insert(uid, pod);
        }
        daemon_set.scheduled = held;
        daemon_set.wanted = nodes;
        daemon_set.observed_generation = daemon_set.generation;
        daemon_set.revision = Some(current.0);
        daemon_set.version = self.new_uid();
        self.now.daemon_set = Some(Arc::new(daemon_set));
    }

    pub(crate) fn reconcile(&mut self, lags: Lags, between: &[Event]) {
        let Some(job) = self.ago(lags.job).job.clone() else {
            return;
        };
        let cached = Observation {
            job: JobView::new(&job),
            daemon_set: view(self.ago(lags.daemon_set).daemon_set.as_deref()),
            pods: pods(&self.ago(lags.pods).pods),
            nodes: nodes(&self.ago(lags.nodes).nodes),
            applied: None,
            source: Source::Caches,
            now: self.time,
        };
        let cached = Observation { applied: self.applied(cached.daemon_set.as_deref()), ..cached };
        let mut decision = decide(&cached);
        if decision == Decision::ObserveLive {
            let daemon_set = self.now.daemon_set.clone();
            between.iter().for_each(|event| self.happen(event));
            let mut live = Observation {
                daemon_set: view(daemon_set.as_deref()),
                pods: daemon_set.as_ref().map(|_| pods(&self.now.pods)).unwrap_or_default(),
                nodes: nodes(&self.ago(lags.nodes).nodes),
                source: Source::Live,
                now: self.time,
                ..cached
            };
            live.applied = self.applied(live.daemon_set.as_deref());
            if live.needs_revision() {
                self.look_up_revision(&mut live);
            }
            let has_lost_pods = || {
                let uid = daemon_set.as_ref().map(|daemon_set| &daemon_set.uid);
                uid.is_some_and(|uid| self.has_lost_pods_since(lags.nodes, uid))
            };
            if needs_live_nodes(&live) || has_lost_pods() {
                live.nodes = nodes(&self.now.nodes);
            }
            decision = decide(&live);
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

    /// The operator's memory of a DaemonSet.
    fn applied(&self, daemon_set: Option<&DaemonSetView>) -> Option<Applied> {
        let uid = daemon_set?.metadata.uid.as_deref()?;
        self.applied.as_ref().filter(|(known, _)| known == uid).map(|(_, applied)| applied.clone())
    }

    /// Lists the revisions, unless somebody may have made one meanwhile.
    fn look_up_revision(&mut self, live: &mut Observation<'_>) {
        let seen = live.daemon_set.as_deref().map(|daemon_set| &daemon_set.metadata);
        let now = self.now.daemon_set.as_deref();
        let now = now.filter(|now| {
            seen.is_some_and(|seen| {
                seen.uid.as_deref() == Some(&*now.uid) && seen.generation == Some(now.generation)
            })
        });
        let revision = now.and_then(|now| now.revision.as_ref()).map(Template::hash);
        if let (Some(revision), Some(applied)) = (revision, &mut live.applied) {
            applied.revision = Some(revision.into());
            let uid = now.map(|now| now.uid.clone()).unwrap_or_default();
            self.applied = Some((uid, applied.clone()));
        }
    }

    /// Remembers the DaemonSet as the operator has just written it.
    fn remember(&mut self, job: &Job, daemon_set: DaemonSetState) {
        let before = self.applied.take().filter(|(uid, _)| *uid == daemon_set.uid);
        let before = before.map(|(_, applied)| applied);
        let view = view(Some(&daemon_set)).unwrap();
        let applied = Applied::new(&JobView::new(job), &view, before.as_ref());
        self.applied = Some((daemon_set.uid.clone(), applied));
        self.now.daemon_set = Some(Arc::new(daemon_set));
    }

    /// Whether a pod of the DaemonSet is gone that the cache may show.
    fn has_lost_pods_since(&self, lag: usize, daemon_set: &str) -> bool {
        let mut since = self.past.iter().rev().take(1 + lag).flat_map(|then| &then.pods);
        since.any(|(uid, pod)| pod.owner == daemon_set && !self.now.pods.contains_key(uid))
    }

    /// Acts as the API server: a UID or a version that does not match is a conflict.
    fn apply(&mut self, job: &Job, act: Actions) {
        let work_hash = work_hash::hash(&job.spec);
        let owner = job.metadata.uid.clone().unwrap_or_default();
        let template = Template::of(&work_hash, &owner);
        match (&act.daemon_set, self.now.daemon_set.as_deref().cloned()) {
            (DaemonSetAction::Create, None) => {
                let created = self.new_uid();
                let created = DaemonSetState {
                    uid: format!("ds-{created}"),
                    owner,
                    created,
                    version: created,
                    generation: 1,
                    template,
                    template_generation: i64::from(created) * 1000,
                    history: Vec::new(),
                    work_hash,
                    observed_generation: 0,
                    revision: None,
                    wanted: BTreeMap::new(),
                    scheduled: BTreeSet::new(),
                    ought_to_want: BTreeMap::new(),
                };
                self.remember(job, created);
            }
            // An apply takes over what the same field manager has applied for an earlier Job.
            (DaemonSetAction::Create, Some(daemon_set)) => {
                self.now.daemon_set = Some(Arc::new(DaemonSetState { owner, ..daemon_set }));
            }
            (
                DaemonSetAction::Update(uid) | DaemonSetAction::Restore(uid),
                Some(mut daemon_set),
            ) if *uid == daemon_set.uid => {
                daemon_set.set_template(template, self.new_uid());
                daemon_set.work_hash = work_hash;
                self.remember(job, daemon_set);
            }
            (DaemonSetAction::Update(_) | DaemonSetAction::Restore(_), _) => return,
            (DaemonSetAction::Delete(uid), Some(daemon_set)) if *uid == daemon_set.uid => {
                self.delete_daemon_set();
            }
            _ => {}
        }
        for PodTally { uid, tally, .. } in &act.tallies {
            let pod = uid.parse().ok().and_then(|uid: Uid| self.now.pods.get_mut(&uid));
            pod.into_iter().for_each(|pod| pod.run.recorded = Some(tally.to_string()));
        }
        self.check_failures(job, &act.status);
        let Some(current) = self.now.job.clone().filter(|current| is_same(current, job)) else {
            return;
        };
        if current.status.as_ref() != Some(&act.status) {
            self.check_kept(current.status.as_ref(), &act.status);
            self.store(Job { status: Some(act.status), ..(*current).clone() });
        }
    }

    pub(crate) fn terminate(&mut self, lag: usize) {
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

/// Whether nothing was written to the Job between the two.
fn is_same(a: &Job, b: &Job) -> bool {
    a.metadata.uid == b.metadata.uid && a.metadata.resource_version == b.metadata.resource_version
}
