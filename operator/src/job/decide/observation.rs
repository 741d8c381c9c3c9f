//! One observation of a Job: everything that a decision depends on.

use std::{collections::HashMap, sync::Arc};

use api::{
    labels,
    views::{self, DaemonSetView, NodeView, PodView},
};
use k8s_openapi::jiff::Timestamp;

use super::{applied::Applied, job_view::JobView};

/// Where an observation comes from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Source {
    /// The caches of the watches.
    ///
    /// Each is consistent in itself, but they lag, each on its own.
    Caches,
    /// The API server, the DaemonSet read before its pods, and those before nodes.
    ///
    /// So the pods are at least as new as those that the DaemonSet's status counted, and no pod runs on a node
    /// that was created after the nodes were read.
    Live,
}

/// The nodes of a cluster by name.
pub(crate) type Nodes = HashMap<String, Arc<NodeView>>;

/// A Job and its surroundings at one moment.
#[derive(Clone, Debug)]
pub(crate) struct Observation<'j> {
    pub(crate) job: JobView<'j>,
    /// The DaemonSet of the Job's name, whoever owns it.
    pub(crate) daemon_set: Option<Arc<DaemonSetView>>,
    /// The pods of that DaemonSet, and maybe some of others.
    pub(crate) pods: Vec<Arc<PodView>>,
    /// Pods of that DaemonSet that may have gone before a look has seen their results.
    ///
    /// Their kubelets gave them up lately, or they were done and are gone.
    pub(crate) gone: Vec<Arc<PodView>>,
    /// All nodes of the cluster.
    pub(crate) nodes: Arc<Nodes>,
    /// Whether the nodes have all their labels that `spec.order` names.
    pub(crate) has_labels: bool,
    /// That DaemonSet as the operator last wrote it.
    ///
    /// None: it is not known, after a restart for example.
    pub(crate) applied: Option<Applied>,
    /// The words in which the API server refused to let pods start the last time.
    pub(crate) release_refusal: Option<String>,
    /// Where DaemonSet, pods and nodes come from.
    pub(crate) source: Source,
    pub(crate) now: Timestamp,
}

/// Who owns the DaemonSet of a Job's name.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Ownership<'o> {
    /// There is none.
    Absent,
    /// The Job itself.
    Own(&'o DaemonSetView),
    /// An earlier Job of that name, or nobody for long: it is being deleted.
    ///
    /// Garbage collection will delete it.
    Leaving,
    /// Someone else.
    Foreign,
}

impl Observation<'_> {
    /// Who owns the observed DaemonSet.
    pub(crate) fn ownership(&self) -> Ownership<'_> {
        let Some(daemon_set) = self.daemon_set.as_deref() else {
            return Ownership::Absent;
        };
        if daemon_set.metadata.deletion_timestamp.is_some() {
            return Ownership::Leaving;
        }
        match views::controller(&daemon_set.metadata) {
            Some(owner) if Some(&owner.uid) == self.job.metadata.uid.as_ref() => {
                Ownership::Own(daemon_set)
            }
            Some(owner)
                if owner.kind == "Job"
                    && owner.api_version.split('/').next() == Some(labels::GROUP)
                    && owner.name == self.job.name =>
            {
                Ownership::Leaving
            }
            // Somebody has taken our reference out.
            None if self.applied.as_ref().is_some_and(|it| it.job == self.job.uid) => {
                Ownership::Own(daemon_set)
            }
            _ => Ownership::Foreign,
        }
    }
}
