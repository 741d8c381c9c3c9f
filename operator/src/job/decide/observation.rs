//! One observation of a Job: everything that a decision depends on.

use std::{collections::HashMap, sync::Arc};

use api::{
    job::{Job, JobSpec, JobStatus, work_hash},
    labels,
    views::{self, DaemonSetView, NodeView, PodView},
};
use k8s_openapi::{
    api::core::v1::ObjectReference,
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference},
    jiff::Timestamp,
};
use kube::Resource;

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
    /// All nodes of the cluster.
    pub(crate) nodes: Arc<Nodes>,
    /// Where DaemonSet, pods and nodes come from.
    pub(crate) source: Source,
    pub(crate) now: Timestamp,
}

/// A Job with its derived values, which are computed once a look.
#[derive(Clone, Debug)]
pub(crate) struct JobView<'j> {
    object: &'j Job,
    pub(crate) metadata: &'j ObjectMeta,
    pub(crate) spec: &'j JobSpec,
    pub(crate) status: Option<&'j JobStatus>,
    pub(crate) name: &'j str,
    pub(crate) namespace: &'j str,
    pub(crate) uid: &'j str,
    /// Name of the Job's DaemonSet.
    pub(crate) daemon_set: String,
    /// Hash of the work that the spec asks for.
    pub(crate) work_hash: String,
}

impl<'j> JobView<'j> {
    pub(crate) fn new(job: &'j Job) -> Self {
        let metadata = &job.metadata;
        let name = metadata.name.as_deref().unwrap_or_default();
        Self {
            object: job,
            metadata,
            spec: &job.spec,
            status: job.status.as_ref(),
            name,
            namespace: metadata.namespace.as_deref().unwrap_or_default(),
            uid: metadata.uid.as_deref().unwrap_or_default(),
            daemon_set: labels::daemon_set(name),
            work_hash: work_hash::hash(&job.spec),
        }
    }

    /// The status, if it describes the work that the spec asks for.
    pub(crate) fn status_of_work(&self) -> Option<&'j JobStatus> {
        self.status.filter(|status| status.work_hash.as_ref() == Some(&self.work_hash))
    }

    /// The reference by which the Job controls its DaemonSet.
    pub(crate) fn owner_reference(&self) -> Option<OwnerReference> {
        self.object.controller_owner_ref(&())
    }

    /// The reference to the Job in its events.
    pub(crate) fn object_reference(&self) -> ObjectReference {
        self.object.object_ref(&())
    }
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
            _ => Ownership::Foreign,
        }
    }
}
