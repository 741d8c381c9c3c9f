//! The pods of a Job by the node that they are bound to or aimed at.

use std::collections::{HashMap, HashSet};

use api::{
    job::{NodeStatus, failed_runs::FailedRuns, node_set::NodeSet},
    labels,
    views::{self, DaemonSetView, NodeView, PodView},
};
use k8s_openapi::{apimachinery::pkg::apis::meta::v1::ObjectMeta, jiff::Timestamp};

use super::{
    observation::Observation,
    outcome::{FailedBefore, Outcome, is_done, outcome},
};

/// The pods of each node.
pub(crate) struct PodsByNode<'o> {
    pub(super) nodes: Vec<NodePods<'o>>,
    /// Number of pods that are neither bound to a node nor aimed at one.
    pub(crate) unassigned: usize,
}

/// The pods of one node.
pub(super) struct NodePods<'o> {
    pub(super) name: &'o str,
    /// None: it is not known, or gone.
    pub(super) node: Option<&'o NodeView>,
    pub(super) outcome: Outcome,
    /// A pod that was created for this very node is done.
    pub(super) is_done: bool,
    /// A pod that was created for this very node has failed.
    pub(super) has_failed: bool,
    /// All of them are being deleted.
    pub(super) are_leaving: bool,
    pub(super) turn: TurnPods<'o>,
}

/// The pods of one node, as far as its turn goes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct TurnPods<'o> {
    /// The pod that does the work once it is the node's turn.
    pub(crate) waiting: Option<&'o PodView>,
    /// All pods wait for a turn.
    pub(crate) only_waits: bool,
    /// A pod may be at work: it waits for no turn, and is not done.
    pub(crate) is_at_work: bool,
    /// A pod does other work, or is being deleted.
    pub(crate) has_earlier: bool,
    /// A pod is as old as the node, or older: it may have been meant for an earlier node of that name.
    pub(crate) may_be_of_earlier_node: bool,
}

impl<'o> TurnPods<'o> {
    fn new() -> Self {
        Self { only_waits: true, ..Self::default() }
    }

    fn add(
        &mut self,
        pod: &'o PodView,
        node: Option<&NodeView>,
        does_the_work: bool,
        is_done: bool,
    ) {
        let is_leaving = pod.metadata.deletion_timestamp.is_some();
        let waits = pod.spec.gates.turn;
        self.only_waits &= waits;
        self.is_at_work |= !waits && !is_done;
        self.has_earlier |= is_leaving || !does_the_work;
        self.waiting = Some(pod).filter(|_| waits && does_the_work && !is_leaving);
        self.may_be_of_earlier_node |= node.is_none_or(|node| {
            let created = (&pod.metadata.creation_timestamp, &node.metadata.creation_timestamp);
            matches!(created, (Some(pod), Some(node)) if pod <= node)
        });
    }
}

/// Groups the pods of `daemon_set` by node.
///
/// Pods that stay come after those that are being deleted, so that the node is in their state.
pub(crate) fn pods_by_node<'o>(
    observation: &'o Observation<'_>,
    daemon_set: &DaemonSetView,
    now: Timestamp,
) -> PodsByNode<'o> {
    let Observation { job, pods, nodes, .. } = observation;
    let own = pods.iter().map(AsRef::as_ref).filter(|pod| belongs_to(pod, daemon_set));
    let (leaving, staying): (Vec<&PodView>, Vec<&PodView>) =
        own.partition(|pod| pod.metadata.deletion_timestamp.is_some());
    let mut positions = HashMap::with_capacity(pods.len());
    let mut by_node = PodsByNode { nodes: Vec::with_capacity(pods.len()), unassigned: 0 };
    for pod in leaving.into_iter().chain(staying) {
        let Some(name) = pod.node() else {
            by_node.unassigned += 1;
            continue;
        };
        let does_the_work = observation.does_the_work(pod);
        let outcome = match does_the_work {
            true => {
                outcome(job.spec, pod, |created| failed_before(observation, name, created), now)
            }
            // Results of other work do not count, but the node is not done while such a pod is alone.
            false => Outcome::default(),
        };
        let position = *positions.entry(name).or_insert(by_node.nodes.len());
        if position == by_node.nodes.len() {
            let node = nodes.get(name).map(AsRef::as_ref);
            let outcome = Outcome::default();
            by_node.nodes.push(NodePods {
                name,
                node,
                outcome,
                is_done: false,
                has_failed: false,
                are_leaving: true,
                turn: TurnPods::new(),
            });
        }
        let Some(node) = by_node.nodes.get_mut(position) else { continue };
        node.turn.add(pod, node.node, does_the_work, outcome.is_done);
        let is_older = node.node.is_some_and(|node| is_of_earlier_node(pod, node));
        node.is_done |= outcome.is_done && !is_older;
        node.has_failed |= outcome.has_failed && !is_older;
        node.are_leaving &= pod.metadata.deletion_timestamp.is_some();
        // What an earlier node of that name did with its pods counts for nothing.
        let given_up = outcome.given_up.filter(|_| !is_older);
        node.outcome.follow(Outcome { given_up, ..outcome });
    }
    by_node
}

/// Nodes with pods of the Job that belong to an earlier DaemonSet than `daemon_set`.
///
/// Somebody has deleted that one, for example, and its pods take a while to end.
pub(crate) fn nodes_of_earlier<'o>(
    observation: &'o Observation<'_>,
    daemon_set: &DaemonSetView,
) -> HashSet<&'o str> {
    let of_job = |pod: &&PodView| {
        views::annotation(&pod.metadata, labels::ANNOTATION_JOB_UID) == Some(observation.job.uid)
    };
    let others = observation.pods.iter().map(AsRef::as_ref);
    let others = others.filter(|pod| !belongs_to(pod, daemon_set)).filter(of_job);
    others.filter_map(PodView::node).collect()
}

/// The nodes that were completed before.
///
/// The status has recorded them, or a look in time would have, for their pods are gone. The first result stays: a node that has failed is not among them.
pub(crate) fn completed_before(
    observation: &Observation<'_>,
    daemon_set: &DaemonSetView,
) -> NodeSet {
    let (recorded, mode) = (observation.job.status_of_work(), observation.job.spec.completion_mode);
    let completed = recorded.and_then(|status| status.completed_nodes.as_ref());
    let failed = recorded.and_then(|status| status.failed_nodes.as_ref());
    let mut completed = completed.cloned().unwrap_or_default();
    let done = gone(observation, daemon_set).filter(|(pod, _)| is_done(mode, pod));
    for (_, node) in done {
        let has_failed = |member| failed.is_some_and(|failed| failed.contains(member));
        if let Some(member) = node.member().filter(|member| !has_failed(*member)) {
            completed.insert(member);
        }
    }
    completed
}

/// Counts in `runs` those of pods that their kubelets gave up lately.
///
/// They may have gone since. Returns what they say of their nodes.
pub(crate) fn count_given_up(
    observation: &Observation<'_>,
    daemon_set: &DaemonSetView,
    runs: &mut FailedRuns,
) -> Vec<NodeStatus> {
    let mut reports = Vec::new();
    for (pod, node) in gone(observation, daemon_set) {
        let none_before = |_| FailedBefore::Exclusive(0);
        let outcome = outcome(observation.job.spec, pod, none_before, observation.now);
        if let Some((member, given_up)) = node.member().zip(outcome.given_up) {
            runs.add(member, given_up.created, given_up.runs);
            let name = pod.node().unwrap_or_default().to_owned();
            reports.push(NodeStatus { name, ..outcome.report });
        }
    }
    reports
}

/// The pods that may have gone and did the work, each with its node.
fn gone<'o>(
    observation: &'o Observation<'_>,
    daemon_set: &DaemonSetView,
) -> impl Iterator<Item = (&'o PodView, &'o NodeView)> {
    let pods = observation.gone.iter().map(AsRef::as_ref);
    let own = pods.filter(|pod| belongs_to(pod, daemon_set) && observation.did_the_work(pod));
    own.filter_map(|pod| {
        let node = observation.nodes.get(pod.node()?)?;
        (!is_of_earlier_node(pod, node)).then_some((pod, &**node))
    })
}

/// Failed runs of earlier pods of a node than the one created at `created`, as the status has recorded them.
fn failed_before(
    observation: &Observation<'_>,
    node: &str,
    created: Option<Timestamp>,
) -> FailedBefore {
    let recorded = observation.job.status_of_work().and_then(|status| status.failed_runs.as_ref());
    let member = || observation.nodes.get(node)?.member();
    let Some((recorded, member)) = recorded.and_then(|recorded| Some((recorded, member()?))) else {
        return FailedBefore::Exclusive(0);
    };
    match created {
        Some(created) if recorded.before(member, created).is_none() => {
            FailedBefore::Inclusive(recorded.of(member))
        }
        _ => FailedBefore::Exclusive(recorded.of(member)),
    }
}

/// Whether `pod` was bound to an earlier node of the name of `node`.
///
/// One that has waited for its turn may be older than the node that it was bound to.
fn is_of_earlier_node(pod: &PodView, node: &NodeView) -> bool {
    let created = |metadata: &ObjectMeta| metadata.creation_timestamp.as_ref().map(|time| time.0);
    let bound = pod.status.scheduled_at.or(created(&pod.metadata));
    matches!((bound, created(&node.metadata)), (Some(pod), Some(node)) if pod < node)
}

/// Compares UIDs: the pods of an earlier DaemonSet of the same name do not count.
fn belongs_to(pod: &PodView, daemon_set: &DaemonSetView) -> bool {
    pod.daemon_set().is_some_and(|owner| Some(&owner.uid) == daemon_set.metadata.uid.as_ref())
}
