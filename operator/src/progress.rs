//! How far the work of a DaemonSet has come.

use std::{collections::BTreeMap, sync::Arc};

use api::views::{DaemonSetView, PodView};

/// How far the work has come, in nodes.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Progress {
    /// Nodes that the DaemonSet controller wants a pod on.
    pub desired: i32,
    /// Nodes with a pod that is not done.
    pub active: i32,
    /// Nodes with a pod that is done.
    pub succeeded: i32,
    /// Whether every wanted node is done.
    pub is_complete: bool,
}

/// How far `daemon_set` has come with the work of the hash `work_hash`.
///
/// Nodes are compared, not counts: with {A, B} done and {B, C} wanted, as many are done as are
/// wanted, and C is not. So each node that holds a pod of this DaemonSet must be done, pods that are
/// being deleted included, and as many nodes as are wanted; and the DaemonSet controller must have
/// caught up, or it might be about to create the next pod.
#[must_use]
pub fn progress(daemon_set: &DaemonSetView, work_hash: &str, pods: &[Arc<PodView>]) -> Progress {
    let mut nodes: BTreeMap<&str, bool> = BTreeMap::new();
    // Not bound, and not meant for any node that we can tell: each is a node of its own.
    let mut homeless = 0;
    for pod in pods.iter().filter(|pod| belongs_to(pod, daemon_set)) {
        let done = pod.is_completed() && pod.work_hash() == Some(work_hash);
        match pod.node() {
            Some(node) => *nodes.entry(node).or_default() |= done,
            None => homeless += 1,
        }
    }
    let succeeded = count(nodes.values().filter(|done| **done).count());
    let active = count(nodes.len() + homeless) - succeeded;

    let status = daemon_set.status.clone().unwrap_or_default();
    let desired = status.desired_number_scheduled;
    let is_caught_up = status.observed_generation == daemon_set.metadata.generation
        && status.observed_generation.is_some()
        && daemon_set.work_hash() == Some(work_hash)
        && status.current_number_scheduled == desired
        && status.number_misscheduled == 0;
    Progress {
        desired,
        active,
        succeeded,
        is_complete: is_caught_up && active == 0 && succeeded >= desired,
    }
}

/// By UID: the pods of an earlier DaemonSet of the same name do not count.
fn belongs_to(pod: &PodView, daemon_set: &DaemonSetView) -> bool {
    pod.daemon_set()
        .is_some_and(|owner| Some(&owner.uid) == daemon_set.metadata.uid.as_ref())
}

fn count(nodes: usize) -> i32 {
    i32::try_from(nodes).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{daemon_set, pod};

    const HASH: &str = "w1";

    #[test]
    fn all_wanted_nodes_done_is_complete() {
        let pods = [pod("a").done(), pod("b").done()].map(|pod| pod.build());
        let progress = progress(&daemon_set().scheduled(2, 2).build(), HASH, &pods);
        assert_eq!(
            progress,
            Progress {
                desired: 2,
                active: 0,
                succeeded: 2,
                is_complete: true
            }
        );
    }

    #[test]
    fn as_many_done_as_wanted_is_not_complete_while_a_node_with_a_pod_is_not_done() {
        let pods = [pod("a").done(), pod("b").done(), pod("c")].map(|pod| pod.build());
        let progress = progress(&daemon_set().scheduled(2, 2).build(), HASH, &pods);
        assert_eq!(
            (progress.succeeded, progress.active, progress.is_complete),
            (2, 1, false)
        );
    }

    #[test]
    fn a_daemon_set_that_is_not_caught_up_is_not_complete() {
        let pods = [pod("a").done()].map(|pod| pod.build());
        let behind = [
            daemon_set().scheduled(1, 0),
            daemon_set().scheduled(2, 2),
            daemon_set().scheduled(1, 1).observed_generation(None),
            daemon_set().scheduled(1, 1).observed_generation(Some(0)),
            daemon_set().scheduled(1, 1).misscheduled(1),
            daemon_set().scheduled(1, 1).work_hash("w0"),
        ];
        for daemon_set in behind {
            let daemon_set = daemon_set.build();
            assert!(
                !progress(&daemon_set, HASH, &pods).is_complete,
                "{daemon_set:?}"
            );
        }
        assert!(progress(&daemon_set().scheduled(1, 1).build(), HASH, &pods).is_complete);
    }

    #[test]
    fn pods_of_another_daemon_set_of_the_same_name_do_not_count() {
        let pods = [pod("a").done().owner("an-earlier-uid")].map(|pod| pod.build());
        let progress = progress(&daemon_set().scheduled(1, 1).build(), HASH, &pods);
        assert_eq!((progress.succeeded, progress.is_complete), (0, false));
    }

    #[test]
    fn results_of_other_work_do_not_count() {
        let pods = [pod("a").done().work_hash("w0")].map(|pod| pod.build());
        let progress = progress(&daemon_set().scheduled(1, 1).build(), HASH, &pods);
        assert_eq!(
            (progress.succeeded, progress.active, progress.is_complete),
            (0, 1, false)
        );
    }

    #[test]
    fn a_node_whose_done_pod_is_being_replaced_stays_done() {
        let pods = [pod("a").done().deleted(), pod("a")].map(|pod| pod.build());
        let progress = progress(&daemon_set().scheduled(1, 1).build(), HASH, &pods);
        assert_eq!(
            (progress.succeeded, progress.active, progress.is_complete),
            (1, 0, true)
        );
    }

    #[test]
    fn a_pod_that_is_bound_to_no_node_is_waited_for() {
        let pods = [pod("a").done(), pod("").done()].map(|pod| pod.build());
        let progress = progress(&daemon_set().scheduled(1, 1).build(), HASH, &pods);
        assert_eq!((progress.active, progress.is_complete), (1, false));
    }
}
