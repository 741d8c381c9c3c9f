//! What has to be read from the API server when the caches call for something that cannot be taken back:
//! as little as shows that they are right.
//!
//! Cached pods are confirmed by metadata, of which a list costs the API server and the wire less than half of
//! what the pods cost.

use std::{collections::HashMap, sync::Arc};

use api::{
    v1beta1::{Job, JobSpec, JobStatus},
    views::{DaemonSetView, Metadata, PodView},
};

use crate::{progress::progress, run::run};

/// The pods that the API server holds, when what is cached of each of them still says what matters: it is
/// that very version of the pod, or its work is done, which is never taken back. None when it does not.
///
/// What the metadata tells is taken from there. A pod that is not in `live` is gone.
pub(crate) fn confirm(
    spec: &JobSpec,
    cached: &[Arc<PodView>],
    live: Vec<Metadata>,
) -> Option<Vec<Arc<PodView>>> {
    let by_uid: HashMap<_, _> =
        cached.iter().map(|pod| (pod.metadata.uid.as_deref(), pod)).collect();
    let confirmed = |Metadata { metadata }: Metadata| {
        let pod = *by_uid.get(&metadata.uid.as_deref())?;
        if pod.metadata.resource_version == metadata.resource_version {
            return Some(Arc::clone(pod));
        }
        run(spec, pod).is_done.then(|| Arc::new(PodView { metadata, ..PodView::clone(pod) }))
    };
    live.into_iter().map(confirmed).collect()
}

/// Whether cached nodes will not do for `pods`, which are those that the API server holds.
///
/// Nodes matter where a result is that of a node and not of its pod: where a pod that is not done is on a node
/// that was, and where a node has failed. A cache that lags might take a node for an earlier one of its name.
pub(crate) fn asks_for_nodes(job: &Job, daemon_set: &DaemonSetView, pods: &[Arc<PodView>]) -> bool {
    let has_failed = job.status.as_ref().is_some_and(|status| status.failed_nodes.is_some());
    has_failed || !progress(&job.spec, &JobStatus::default(), daemon_set, pods, &[]).has_ended
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures;
    use api::{node_set::NodeSet, work};

    fn pod(uid: &str, version: &str, is_done: bool) -> Arc<PodView> {
        let pod = fixtures::pod("a").identity(uid, version);
        if is_done { pod.done() } else { pod }.build()
    }

    fn metadata(uid: &str, version: &str) -> Metadata {
        Metadata { metadata: pod(uid, version, false).metadata.clone() }
    }

    /// UIDs of what is confirmed.
    fn confirmed(cached: &[Arc<PodView>], live: Vec<Metadata>) -> Option<Vec<String>> {
        let pods = confirm(&JobSpec::default(), cached, live)?;
        Some(pods.iter().filter_map(|pod| pod.metadata.uid.clone()).collect())
    }

    #[test]
    fn a_pod_of_the_same_version_is_as_it_was() {
        let cached = [pod("a", "1", false)];
        assert_eq!(confirmed(&cached, vec![metadata("a", "1")]), Some(vec!["a".to_owned()]));
    }

    #[test]
    fn a_pod_that_has_changed_is_known_only_if_it_was_done() {
        let live = || vec![metadata("a", "2")];
        assert_eq!(confirmed(&[pod("a", "1", false)], live()), None);
        assert_eq!(confirmed(&[pod("a", "1", true)], live()), Some(vec!["a".to_owned()]));
    }

    #[test]
    fn a_pod_that_is_not_cached_is_not_known() {
        assert_eq!(confirmed(&[pod("a", "1", true)], vec![metadata("b", "1")]), None);
    }

    #[test]
    fn a_pod_that_is_gone_is_left_out() {
        let cached = [pod("a", "1", true), pod("b", "1", true)];
        assert_eq!(confirmed(&cached, vec![metadata("b", "1")]), Some(vec!["b".to_owned()]));
    }

    #[test]
    fn that_a_pod_is_being_deleted_is_taken_from_its_metadata() {
        let leaving = fixtures::pod("a").identity("a", "2").deleted().build();
        let live = vec![Metadata { metadata: leaving.metadata.clone() }];
        let pods = confirm(&JobSpec::default(), &[pod("a", "1", true)], live).unwrap();
        assert!(pods[0].metadata.deletion_timestamp.is_some() && pods[0].has_logged_word());
    }

    #[test]
    fn nodes_are_read_where_a_record_of_them_decides() {
        let hash = work::hash(&JobSpec::default());
        let daemon_set = fixtures::daemon_set().work_hash(&hash).scheduled(1, 1).build();
        let asks = |job: &Job, pod: fixtures::PodBuilder| {
            asks_for_nodes(job, &daemon_set, &[pod.work_hash(&hash).build()])
        };
        let mut job = Job::new("runs-once", JobSpec::default());
        assert!(!asks(&job, fixtures::pod("a").done()), "pods alone say that it has ended");
        assert!(asks(&job, fixtures::pod("a")), "an earlier pod of the node may have been done");
        let mut failed_nodes = NodeSet::default();
        failed_nodes.insert("uid-of-a");
        let failed_nodes = Some(failed_nodes);
        job.status = Some(JobStatus { failed_nodes, ..JobStatus::default() });
        assert!(asks(&job, fixtures::pod("a").done()), "that node may be another one by now");
    }
}
