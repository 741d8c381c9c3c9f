//! Actors beside the operator: the DaemonSet controller, kubelets, strangers, the terminator.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use api::job::{Job, conditions};

use super::{
    End, PodState, World,
    objects::{Name, Objects, Run, Uid},
};
use crate::testing::fixtures;

impl World {
    /// Acts as the DaemonSet controller.
    ///
    /// The status counts the pods from before those that this very sync creates. Pods whose node is gone are not
    /// its business, but that of the collector of pods, which takes up to a minute.
    pub(crate) fn sync(&mut self) {
        let daemon_set = self.now.daemon_set.as_deref().cloned();
        let Some(mut daemon_set) = daemon_set.filter(|daemon_set| !daemon_set.is_going) else {
            return;
        };
        let Objects { nodes: all, pods, .. } = &mut self.now;
        let selected = all.iter().filter(|(_, node)| !node.is_deselected);
        let mut nodes: BTreeMap<_, _> = selected.map(|(name, node)| (*name, node.uid)).collect();
        daemon_set.ought_to_want.clone_from(&nodes);
        nodes.retain(|_, _| !daemon_set.template.is_asleep);
        let current = (daemon_set.template.clone(), daemon_set.template_generation);
        let pods = Arc::make_mut(pods);
        // It adopts pods that match its selector.
        for pod in pods.values_mut().filter(|pod| pod.owner.is_empty()) {
            pod.owner.clone_from(&daemon_set.uid);
        }
        let is_wanted = |pod: &PodState| nodes.contains_key(&pod.node);
        let own = pods.values_mut().filter(|pod| pod.owner == daemon_set.uid);
        let mut held = BTreeSet::new();
        for pod in own {
            let is_updated = pod.template == current.0 || pod.template_generation == current.1;
            let is_lost = !all.contains_key(&pod.node);
            pod.is_leaving |= !is_updated || !is_lost && !is_wanted(pod);
            if is_wanted(pod) {
                held.insert(pod.node);
            }
        }
        for (node, node_uid) in nodes.iter().filter(|(node, _)| !held.contains(node)) {
            let uid = self.new_uid();
            let pod = PodState {
                owner: daemon_set.uid.clone(),
                job: daemon_set.owner.clone(),
                node: *node,
                node_uid: *node_uid,
                created: self.created(uid),
                template: current.0.clone(),
                template_generation: current.1,
                is_gated: current.0.is_gated,
                bound: (!current.0.is_gated).then(|| self.created(uid)),
                leave: None,
                done: None,
                has_failed: false,
                run: Run::default(),
                is_leaving: false,
            };
            self.pods().insert(uid, pod);
        }
        daemon_set.scheduled = held;
        daemon_set.wanted = nodes;
        daemon_set.observed_generation = daemon_set.generation;
        daemon_set.revision = Some(current.0);
        daemon_set.version += 1;
        self.now.daemon_set = Some(Arc::new(daemon_set));
    }

    /// A pod whose container the kubelet has started once.
    pub(super) fn running(&mut self, index: usize) -> Option<&mut PodState> {
        self.pods().values_mut().nth(index).filter(|pod| pod.bound.is_some())
    }

    pub(super) fn end_work(&mut self, index: usize) {
        let time = self.time;
        let Some(pod) = self.running(index) else { return };
        pod.done.get_or_insert(time);
        if pod.does_the_work() {
            let result = pod.result();
            Arc::make_mut(&mut self.truth.since).entry(result.clone()).or_insert(time);
            Arc::make_mut(&mut self.done).insert(result);
        }
    }

    pub(super) fn fail_work(&mut self, index: usize) {
        let time = self.time;
        let goes_on = |pod: &&mut PodState| !pod.is_done() && !pod.is_leaving;
        let pod = self.running(index).filter(goes_on);
        let Some(pod) = pod.filter(|pod| pod.run.is_running()) else { return };
        pod.has_failed = true;
        pod.run.ended = Some(End { code: 1, at: time });
        if pod.does_the_work() {
            let result = pod.result();
            Arc::make_mut(&mut self.failed).insert(result);
        }
    }

    /// Pods are bound to names: the kubelet that registers anew takes them along, and what they have done.
    pub(super) fn take_pods_along(&mut self, name: Name, uid: Uid) {
        let pods = Arc::make_mut(&mut self.now.pods).values_mut();
        for pod in pods.filter(|pod| pod.node == name) {
            pod.node_uid = uid;
            if let Some(at) = pod.done.filter(|_| pod.does_the_work()) {
                Arc::make_mut(&mut self.truth.since).entry(pod.result()).or_insert(at);
                Arc::make_mut(&mut self.done).insert(pod.result());
            }
            if pod.has_failed && pod.does_the_work() {
                Arc::make_mut(&mut self.failed).insert(pod.result());
            }
        }
    }

    /// Pods that were going away are gone, and a DaemonSet that has waited for them.
    pub(super) fn remove_pods(&mut self) {
        self.drop_pods(|pod| pod.is_leaving);
        let is_free = |uid: &String| self.now.pods.values().all(|pod| pod.owner != *uid);
        let going = self.now.daemon_set.as_ref().filter(|daemon_set| daemon_set.is_going);
        if going.is_some_and(|daemon_set| is_free(&daemon_set.uid)) {
            self.now.daemon_set = None;
        }
    }

    /// A stranger deletes the DaemonSet, with or without its pods.
    pub(super) fn lose_daemon_set(&mut self, orphans: bool) {
        let uid = self.now.daemon_set.take().map(|daemon_set| daemon_set.uid.clone());
        let pods = self.pods().values_mut();
        for pod in pods.filter(|pod| Some(&pod.owner) == uid.as_ref()) {
            if orphans {
                pod.owner.clear();
            } else {
                pod.is_leaving = true;
            }
        }
    }

    pub(super) fn recreate_job(&mut self) {
        let uid = format!("job-{}", self.new_uid());
        let mut job = fixtures::job();
        job.spec.backoff_limit_per_node = Some(0);
        job.metadata.uid = Some(uid);
        if let Some(before) = self.now.job.as_deref().filter(|_| self.takes_turns) {
            job.spec = before.spec.clone();
        }
        self.store(job);
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
pub(super) fn is_same(a: &Job, b: &Job) -> bool {
    a.metadata.uid == b.metadata.uid && a.metadata.resource_version == b.metadata.resource_version
}
