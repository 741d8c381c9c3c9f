//! What is known of one Job at one moment.

use std::sync::Arc;

use api::{
    names,
    v1beta1::Job,
    views::{self, DaemonSetView, NodeView, PodView},
};
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;

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
    pub nodes: &'a [Arc<NodeView>],
    /// Where DaemonSet, pods and nodes come from.
    pub source: Source,
    /// The time.
    pub now: Timestamp,
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
