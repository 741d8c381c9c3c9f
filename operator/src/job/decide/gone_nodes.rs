//! Nodes that are gone, in the results of a Job that never completes.

use api::{
    job::{CompletionPolicy, node_set::NodeSet},
    views::NodeView,
};

use super::observation::Observation;

/// Whether at least half of the nodes in the results of a Job that never completes are gone.
///
/// Then they are dropped, or the status would grow for as long as the Job stays.
pub(crate) fn are_many(observation: &Observation<'_>) -> bool {
    let recorded = observation.job.status_of_work().and_then(|it| it.completed_nodes.as_ref());
    let is_surplus = |recorded: &NodeSet| recorded.len() > 2 * observation.nodes.len();
    observation.job.spec.completion_policy == CompletionPolicy::Never
        && recorded.is_some_and(is_surplus)
}

/// Drops the nodes from `results` that are not among those observed.
///
/// They do not come back: another one of the same name has another UID.
pub(super) fn drop_from(results: &mut NodeSet, observation: &Observation<'_>) {
    let mut nodes = NodeSet::default();
    let members = observation.nodes.values().filter_map(|node| NodeView::member(node));
    members.for_each(|member| nodes.insert(member));
    results.retain(|member| nodes.contains(member));
}
