//! What holds whenever a process decides, by what it sees: a simple twin of the operator's own rules.

use std::collections::BTreeSet;

use api::job::{Job, JobSpec, JobStatus, Parallelism, conditions, node_set::NodeSet};
use k8s_openapi::jiff::Timestamp;

use super::{
    PodState, World,
    objects::{Name, Uid, is_canary},
    operator::Seen,
    places::{Check, has, member},
};
use crate::job::decide::{
    actions::Actions,
    daemon_set::{DaemonSetAction, Gating},
};

/// Seconds of each minute in which the window is open.
pub(super) const OPEN_FOR: i64 = 20;

/// The number of nodes that may hold places.
pub(super) fn limit(spec: &JobSpec, wanted: i32) -> usize {
    let parallelism = spec.parallelism.as_ref().and_then(|it| Parallelism::parse(it).ok());
    let wanted = usize::try_from(wanted).unwrap_or_default();
    parallelism.map_or(usize::MAX, |parallelism| parallelism.limit(wanted))
}

fn is_open(spec: &JobSpec, now: Timestamp) -> bool {
    spec.windows.is_empty() || now.as_second().rem_euclid(60) < OPEN_FOR
}

impl World {
    pub(super) fn check_decision(&mut self, job: &Job, seen: &Seen, act: &Actions) {
        self.check_gating(job, act);
        self.check_gone(job, seen, act);
        let known = job.status.as_ref().filter(|old| old.work_hash == act.status.work_hash);
        let before = known.and_then(|status| status.started_nodes.as_ref());
        let after = act.status.started_nodes.as_ref();
        let has_entered = |node: &Uid| has(after, *node) && !has(before, *node);
        let entered: BTreeSet<_> = (0..=self.last_uid).filter(has_entered).collect();
        if self.takes_turns && !entered.is_empty() {
            self.check_growth(job, seen, &act.status, &entered);
        }
    }

    /// Whether pods wait where nodes take turns, and nowhere else.
    fn check_gating(&mut self, job: &Job, act: &Actions) {
        let status = &act.status;
        let is_done = |status: &JobStatus| status.completed_nodes.is_some();
        let has_results = is_done(status) || job.status.as_ref().is_some_and(is_done);
        let gating = match &act.daemon_set {
            DaemonSetAction::Create(gating) | DaemonSetAction::Update(_, gating) => Some(*gating),
            _ => None,
        };
        if gating == Some(Gating::None) && job.spec.takes_turns() {
            self.violated(Check::WriteAhead, || "a DaemonSet is not gated".to_owned());
        }
        let is_untouched = !self.truth.had_fields && !job.spec.takes_turns() && !has_results;
        let is_as_ever = gating != Some(Gating::Turn)
            && act.releases.is_empty()
            && status.started_nodes.is_none()
            && status.stopping_nodes.is_none()
            && status.waiting == 0
            && conditions::find(&status.conditions, conditions::WAITING).is_none()
            && conditions::find(&status.conditions, conditions::SUSPENDED).is_none();
        if is_untouched && !self.takes_turns && !is_as_ever && !self.was_gated() {
            self.violated(Check::NoChange, || format!("{act:?}"));
        }
    }

    /// Whether a stranger's deletion has made the nodes take turns, so that done ones do not start again.
    fn was_gated(&self) -> bool {
        let is_gated = |then: &super::Objects| {
            then.daemon_set.as_ref().is_some_and(|daemon_set| daemon_set.template.is_gated)
        };
        is_gated(&self.now) || self.past.iter().any(is_gated)
    }

    /// Growth, order, windows, failures: nodes enter `startedNodes` only when they may.
    fn check_growth(
        &mut self,
        job: &Job,
        seen: &Seen,
        status: &JobStatus,
        entered: &BTreeSet<Uid>,
    ) {
        let spec = &job.spec;
        let last = self.last_uid;
        let who = || format!("{entered:?} start; {}", describe(seen, status, last));
        if spec.is_suspended() {
            self.violated(Check::Suspended, who);
        }
        if !is_open(spec, self.time) {
            self.violated(Check::Windows, who);
        }
        if spec.max_failed_nodes.is_some_and(|max| status.failed > max) {
            self.violated(Check::Failures, who);
        }
        let (places, limit) = (places(job, seen, status), limit(spec, status.desired));
        if places > limit {
            self.violated(Check::Growth, || format!("{places} places of {limit}: {}", who()));
        }
        let ended = |node: &Uid| {
            has(status.completed_nodes.as_ref(), *node) || has(status.failed_nodes.as_ref(), *node)
        };
        let is_reachable = |node: &Uid| {
            seen.objects.nodes.values().any(|it| it.uid == *node && !it.is_unreachable)
        };
        if let Some(node) = entered.iter().find(|node| ended(node) || !is_reachable(node)) {
            self.violated(Check::Growth, || format!("node {node}: {}", who()));
        }
        let later =
            |(name, it): (&Name, &super::NodeState)| entered.contains(&it.uid) && !is_canary(*name);
        let goes_ahead = !spec.order.is_empty() && seen.objects.nodes.iter().any(later);
        if goes_ahead && !are_canaries_through(spec, seen, status) {
            self.violated(Check::Order, who);
        }
    }
}

/// Whether each canary with a pod is settled, or has failed where that is tolerated.
fn are_canaries_through(spec: &JobSpec, seen: &Seen, status: &JobStatus) -> bool {
    let is_in = |set: &Option<NodeSet>, node| has(set.as_ref(), node);
    let tolerates = spec.max_failed_nodes.is_some();
    let canaries = seen.objects.nodes.iter().filter(|(name, _)| is_canary(**name));
    let with_pods = canaries.filter(|(name, _)| {
        let mut pods = seen.objects.pods.values();
        pods.any(|pod| pod.node == **name && !pod.is_leaving)
    });
    let mut nodes = with_pods.map(|(name, node)| (*name, node.uid));
    nodes.all(|(name, node)| {
        // The result of a pod that is older than its node counts as long as it is there, and is not recorded.
        let mut pods = seen.objects.pods.values().filter(|pod| pod.node == name);
        let has_ended = pods.any(|pod| {
            let is_older = seen
                .objects
                .nodes
                .get(&name)
                .is_some_and(|it| pod.bound.unwrap_or(pod.created) < it.created);
            is_older && (pod.is_done() || tolerates && pod.has_failed)
        });
        let is_done = has_ended || is_in(&status.completed_nodes, node);
        is_done && !is_in(&status.started_nodes, node)
            || tolerates && (has_ended || is_in(&status.failed_nodes, node))
    })
}

/// What was seen and what follows, for messages.
pub(super) fn describe(seen: &Seen, status: &JobStatus, last: Uid) -> String {
    let set =
        |set: &Option<NodeSet>| (0..=last).filter(|it| has(set.as_ref(), *it)).collect::<Vec<_>>();
    let pod = |(uid, pod): (&Uid, &PodState)| {
        let is = [
            (pod.is_gated, "gated"),
            (pod.bound.is_some(), "bound"),
            (pod.is_done(), "done"),
            (pod.has_failed, "failed"),
            (pod.is_leaving, "leaving"),
        ];
        let is: Vec<_> = is.iter().filter(|(is, _)| *is).map(|(_, name)| *name).collect();
        let work: String = pod.template.work_hash.chars().take(4).collect();
        format!("{uid} of {} for {work} on {}: {}", pod.owner, pod.node, is.join("+"))
    };
    let node = |(name, node): (&Name, &super::NodeState)| {
        format!("{name}={}{}", node.uid, if node.is_unreachable { " lost" } else { "" })
    };
    let pods: Vec<_> = seen.objects.pods.iter().map(pod).collect();
    let nodes: Vec<_> = seen.objects.nodes.iter().map(node).collect();
    let started = (set(&status.started_nodes), set(&status.stopping_nodes));
    let ended = (set(&status.completed_nodes), set(&status.failed_nodes));
    let conditions: Vec<_> = status.conditions.iter().map(|it| it.reason.as_str()).collect();
    format!(
        "{:?} pods {pods:?} nodes {nodes:?}; started, stopping {started:?}, completed, failed {ended:?}, \
         {conditions:?}",
        seen.source
    )
}

/// The number of places in use: of those that have started or are stopping, and of pods that others released.
fn places(job: &Job, seen: &Seen, status: &JobStatus) -> usize {
    let mut members = NodeSet::default();
    for set in [&status.started_nodes, &status.stopping_nodes].into_iter().flatten() {
        members.extend(set);
    }
    let of_job = |pod: &PodState| Some(&pod.job) == job.metadata.uid.as_ref();
    let is_free = |pod: &&PodState| of_job(pod) && !pod.is_gated && !pod.is_done();
    let mut unknown = BTreeSet::new();
    for pod in seen.objects.pods.values().filter(is_free) {
        match seen.objects.nodes.get(&pod.node) {
            Some(node) => members.insert(member(node.uid)),
            None => drop(unknown.insert(pod.node)),
        }
    }
    members.len() + unknown.len()
}
