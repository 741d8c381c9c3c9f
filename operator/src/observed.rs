//! What is known of one Job at one moment.

use std::{collections::HashMap, sync::Arc};

use api::{
    names,
    v1beta1::{Job, JobStatus},
    views::{self, DaemonSetView, NodeView, PodView},
};
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;

use crate::progress::progress;

/// Where an observation comes from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Source {
    /// The caches of the watches. Each is consistent in itself, but they lag, each on its own.
    Caches,
    /// The API server, the DaemonSet read before its pods and those before the nodes: the pods are at
    /// least as new as what the DaemonSet's status counted, and no pod runs on a node that was
    /// created after the nodes were read.
    Live,
}

/// The nodes of a cluster by name.
pub type Nodes = HashMap<String, Arc<NodeView>>;

/// What is known of one Job at one moment.
#[derive(Clone, Copy, Debug)]
pub struct Observed<'a> {
    /// The Job.
    pub job: &'a Job,
    /// The DaemonSet of the name that the Job's has, whoever owns it.
    pub daemon_set: Option<&'a DaemonSetView>,
    /// Pods among which those of the DaemonSet are.
    pub pods: &'a [Arc<PodView>],
    /// The nodes of the cluster.
    pub nodes: &'a Nodes,
    /// Where DaemonSet, pods and nodes come from.
    pub source: Source,
    /// The time.
    pub now: Timestamp,
}

/// Whether cached nodes will not do for `pods`, which are those that the API server holds.
///
/// Nodes matter where a result is that of a node and not of its pod: where a pod that is not done is on a node
/// that was, and where a node has failed. A cache that lags might take a node for an earlier one of its name.
/// And they matter where the cache does not know a pod's node, which may be gone.
#[must_use]
pub fn asks_for_nodes(
    job: &Job,
    daemon_set: &DaemonSetView,
    pods: &[Arc<PodView>],
    nodes: &Nodes,
) -> bool {
    let has_failed = job.status.as_ref().is_some_and(|status| status.failed_nodes.is_some());
    let is_unknown = |pod: &Arc<PodView>| pod.node().is_some_and(|node| !nodes.contains_key(node));
    let do_not_suffice = || {
        let (nothing, no_nodes) = (JobStatus::default(), Nodes::new());
        // As if no word were to be waited for any more.
        let (caches, late) = (Source::Caches, Timestamp::MAX);
        let by_pods = progress(&job.spec, &nothing, daemon_set, pods, &no_nodes, caches, late);
        !by_pods.has_ended || by_pods.failed > 0
    };
    has_failed || pods.iter().any(is_unknown) || do_not_suffice()
}

/// Whose the DaemonSet of the Job's name is.
#[derive(Clone, Copy, Debug)]
pub enum Ownership<'a> {
    /// There is none.
    Absent,
    /// The Job's own.
    Own(&'a DaemonSetView),
    /// It is going away by itself: it is being deleted, or belongs to an earlier Job of that name,
    /// so that garbage collection will delete it.
    Leaving,
    /// Someone else's.
    Foreign,
}

/// Whose `daemon_set` is, seen from `job`.
#[must_use]
pub fn ownership<'a>(job: &Job, daemon_set: Option<&'a DaemonSetView>) -> Ownership<'a> {
    let Some(daemon_set) = daemon_set else {
        return Ownership::Absent;
    };
    if daemon_set.metadata.deletion_timestamp.is_some() {
        return Ownership::Leaving;
    }
    match views::controller(&daemon_set.metadata) {
        Some(owner) if Some(&owner.uid) == job.metadata.uid.as_ref() => Ownership::Own(daemon_set),
        Some(owner)
            if owner.kind == "Job"
                && owner.api_version.split('/').next() == Some(names::GROUP)
                && owner.name == job.name_any() =>
        {
            Ownership::Leaving
        }
        _ => Ownership::Foreign,
    }
}

#[cfg(test)]
mod tests {
    use api::{node_set::NodeSet, v1beta1::JobSpec, work};
    use serde_json::json;

    use super::*;
    use crate::fixtures;

    #[test]
    fn nodes_are_read_where_a_record_of_them_decides() {
        let hash = work::hash(&JobSpec::default());
        let daemon_set = fixtures::daemon_set().work_hash(&hash).scheduled(1, 1).build();
        let nodes = fixtures::nodes([fixtures::node("a")]);
        let asks = |job: &Job, pod: fixtures::PodBuilder| {
            asks_for_nodes(job, &daemon_set, &[pod.work_hash(&hash).build()], &nodes)
        };
        let mut job = Job::new("runs-once", JobSpec::default());
        assert!(!asks(&job, fixtures::pod("a").done()), "pods alone say that it has ended");
        assert!(asks(&job, fixtures::pod("a")), "an earlier pod of the node may have been done");
        assert!(asks(&job, fixtures::pod("b").done()), "that node may be gone");
        let crashed = json!({
            "name": "job-container", "image": "", "imageID": "", "ready": false, "restartCount": 0,
            "state": {"terminated": {"exitCode": 1}},
        });
        job.spec.backoff_limit_per_node = Some(0);
        let hash = work::hash(&job.spec);
        let failed = fixtures::pod("a").work_hash(&hash).container(crashed).build();
        assert!(
            asks_for_nodes(&job, &daemon_set, &[failed], &nodes),
            "an earlier pod of the node may have been done: then it has not failed"
        );
        let mut failed_nodes = NodeSet::default();
        failed_nodes.insert("uid-of-a");
        let failed_nodes = Some(failed_nodes);
        job.status = Some(JobStatus { failed_nodes, ..JobStatus::default() });
        assert!(asks(&job, fixtures::pod("a").done()), "that node may be another one by now");
    }
}
