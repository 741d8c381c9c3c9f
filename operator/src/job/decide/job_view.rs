//! A Job as decisions see it.

use std::hash::{DefaultHasher, Hash, Hasher};

use api::{
    job::{Job, JobSpec, JobStatus, work_hash},
    labels, views,
};
use k8s_openapi::{
    api::core::v1::ObjectReference,
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference},
};
use kube::Resource;

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
    /// Digest of all that its DaemonSet depends on, labels and annotations included.
    pub(crate) desired: u64,
}

impl<'j> JobView<'j> {
    pub(crate) fn new(job: &'j Job) -> Self {
        let metadata = &job.metadata;
        let name = metadata.name.as_deref().unwrap_or_default();
        let recorded = job.status.as_ref().and_then(|status| status.work_hash.as_deref());
        let work_hash = work_hash::hash_as_recorded(&job.spec, recorded);
        let mut desired = DefaultHasher::new();
        (&work_hash, &metadata.labels).hash(&mut desired);
        inherited_annotations(metadata).for_each(|annotation| annotation.hash(&mut desired));
        Self {
            object: job,
            metadata,
            spec: &job.spec,
            status: job.status.as_ref(),
            name,
            namespace: metadata.namespace.as_deref().unwrap_or_default(),
            uid: metadata.uid.as_deref().unwrap_or_default(),
            daemon_set: labels::daemon_set(name),
            work_hash,
            desired: desired.finish(),
        }
    }

    /// The status, if it describes the work that the spec asks for.
    pub(crate) fn status_of_work(&self) -> Option<&'j JobStatus> {
        self.status.filter(|status| status.work_hash.as_ref() == Some(&self.work_hash))
    }

    /// Whether pods of earlier DaemonSets of the Job matter: they hold places, or have to be gone.
    pub(crate) fn needs_all_pods(&self) -> bool {
        let has_places =
            |status: &JobStatus| status.started_nodes.is_some() || status.stopping_nodes.is_some();
        self.spec.is_suspended() || self.spec.takes_turns() || self.status.is_some_and(has_places)
    }

    /// The reference by which the Job controls its DaemonSet.
    ///
    /// A deletion of the Job in the foreground waits for the DaemonSet, which waits for its pods.
    pub(crate) fn owner_reference(&self) -> Option<OwnerReference> {
        let owner = self.object.controller_owner_ref(&())?;
        Some(OwnerReference { block_owner_deletion: Some(true), ..owner })
    }

    /// The labels of the Job, which its DaemonSet has as well.
    pub(crate) fn labels(&self) -> impl Iterator<Item = (&String, &String)> {
        self.metadata.labels.iter().flatten()
    }

    /// The annotations of the Job that its DaemonSet has as well.
    pub(crate) fn annotations(&self) -> impl Iterator<Item = (&String, &String)> {
        inherited_annotations(self.metadata)
    }

    /// The reference to the Job in its events.
    pub(crate) fn object_reference(&self) -> ObjectReference {
        self.object.object_ref(&())
    }
}

/// Annotations of a Job but kubectl's, which describe that object, and our own.
fn inherited_annotations(metadata: &ObjectMeta) -> impl Iterator<Item = (&String, &String)> {
    let annotations = metadata.annotations.iter().flatten();
    annotations.filter(|(key, _)| {
        !views::is_of_kubectl(key) && !is_of_our_group(key) && *key != views::TEMPLATE_GENERATION
    })
}

fn is_of_our_group(key: &str) -> bool {
    key.split('/').next() == Some(labels::GROUP)
}
