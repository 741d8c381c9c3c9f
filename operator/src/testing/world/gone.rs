//! Pods that are gone, and what the watch of a process has shown of them.

use std::{ops::Range, sync::Arc};

use api::job::{
    Job, JobStatus,
    conditions::{self, Reason},
};
use k8s_openapi::jiff::{SignedDuration, Timestamp};

use super::{
    PodState, Process, World,
    objects::Uid,
    operator::Seen,
    places::{Check, has},
};
use crate::job::decide::actions::Actions;

/// Time for which a process knows them.
const KEPT: SignedDuration = SignedDuration::from_mins(1);

/// A pod that is gone, and was done.
#[derive(Clone, Debug, Hash)]
pub(super) struct GonePod {
    pub(super) uid: Uid,
    pub(super) pod: PodState,
    since: Timestamp,
    /// Number of events before.
    events: usize,
}

impl World {
    /// Removes the pods of which `is_gone` is true.
    pub(super) fn drop_pods(&mut self, is_gone: impl Fn(&PodState) -> bool) {
        let (since, events) = (self.time, self.past.len());
        let mut gone = Vec::new();
        self.pods().retain(|uid, pod| {
            let is_gone = is_gone(pod);
            if is_gone && pod.is_done() {
                gone.push(GonePod { uid: *uid, pod: pod.clone(), since, events });
            }
            !is_gone
        });
        if !gone.is_empty() {
            Arc::make_mut(&mut self.gone).extend(gone);
        }
    }

    /// Those that the watch of a process has shown, done and then gone.
    pub(super) fn shown(&self, process: usize) -> Vec<GonePod> {
        let Range { start, end } = self.processes.get(process).map_or(0..0, |it| it.gone.clone());
        let kept = self.gone.iter().take(end).skip(start);
        kept.filter(|gone| self.time.duration_since(gone.since) < KEPT).cloned().collect()
    }

    /// The watch of a process shows what has happened up to this number of events.
    pub(super) fn show_gone(&mut self, process: usize, events: usize) {
        let shown = self.gone.iter().filter(|gone| gone.events < events).count();
        self.process(process).gone.end = shown;
    }

    /// The watch of a process begins anew with a list.
    ///
    /// That shows which pods are gone of those that the process knows to be done.
    pub(super) fn lose_watch(&mut self, process: usize) {
        let gone = Arc::clone(&self.gone);
        let Process { caches, gone: shown, .. } = self.process(process);
        let is_known = |gone: &GonePod| caches.pods.get(&gone.uid).is_some_and(PodState::is_done);
        if !gone.iter().skip(shown.end).any(is_known) {
            *shown = gone.len()..gone.len();
        }
    }

    /// Kept: a result that a watch has shown is recorded by the next look.
    pub(super) fn check_gone(&mut self, job: &Job, seen: &Seen, act: &Actions) {
        let (status, work_hash) = (&act.status, &act.status.work_hash);
        let reason = |status: &JobStatus| {
            conditions::find(&status.conditions, conditions::SUSPENDED).and_then(Reason::of)
        };
        let ended = conditions::finished(&status.conditions).is_some()
            || conditions::blocked(&status.conditions).is_some();
        // The look after that records it.
        let is_resumed = reason(status) == Some(Reason::JobResumed)
            && job.status.as_ref().and_then(reason) != reason(status);
        self.check_completed(job, status);
        let (Some(daemon_set), Some(applied)) = (&seen.objects.daemon_set, &seen.applied) else {
            return;
        };
        let is_own = Some(&daemon_set.owner) == job.metadata.uid.as_ref() && !daemon_set.is_going;
        let is_result = |gone: &&GonePod| {
            let GonePod { pod, .. } = gone;
            let is_of_node = seen.objects.nodes.get(&pod.node).is_some_and(|node| {
                node.uid == pod.node_uid && pod.bound.is_some_and(|bound| bound >= node.created)
            });
            is_of_node
                && pod.owner == daemon_set.uid
                && Some(&pod.template.work_hash) == work_hash.as_ref()
                && applied.template_generations.contains(&pod.template_generation)
        };
        let is_recorded = |gone: &&GonePod| {
            let node = gone.pod.node_uid;
            has(status.completed_nodes.as_ref(), node) || has(status.failed_nodes.as_ref(), node)
        };
        let mut results = seen.gone.iter().filter(is_result);
        let lost =
            results.find(|gone| !is_recorded(gone)).filter(|_| is_own && !ended && !is_resumed);
        if let Some(GonePod { uid, pod, .. }) = lost {
            let last = self.last_uid;
            let what = super::growth::describe(seen, status, last);
            self.violated(Check::Kept, || format!("pod {uid} was done on {}: {what}", pod.node));
        }
    }

    /// Kept: no node is recorded as done that is not.
    fn check_completed(&mut self, job: &Job, status: &JobStatus) {
        let known = job.status.as_ref().filter(|old| old.work_hash == status.work_hash);
        let is_known = |node| has(known.and_then(|status| status.completed_nodes.as_ref()), node);
        let is_new = |node| has(status.completed_nodes.as_ref(), node) && !is_known(node);
        let (owner, work) = (job.metadata.uid.clone(), status.work_hash.clone());
        let result =
            |node| (owner.clone().unwrap_or_default(), node, work.clone().unwrap_or_default());
        // A cache that lags may show a node that another one has replaced. It will never be seen again.
        let mut nodes = self.now.nodes.values().map(|node| node.uid);
        let wrong = nodes.find(|node| is_new(*node) && !self.done.contains(&result(*node)));
        if let Some(node) = wrong {
            self.violated(Check::Kept, || format!("node {node} is said to be done"));
        }
    }
}
