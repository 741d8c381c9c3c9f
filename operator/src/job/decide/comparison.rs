//! Compares a DaemonSet and its pods to what the operator wrote.

use api::views::{DaemonSetView, PodView};

use super::observation::{Observation, Source};

/// A DaemonSet in comparison to what the operator wrote.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Comparison {
    /// It is as it was written.
    AsWritten,
    /// It is from before the last write: the watch is about to show that.
    Outdated,
    /// Somebody has edited it, or the Job asks for something else by now.
    Edited,
    /// Nobody knows.
    Unknown,
}

impl Observation<'_> {
    /// Compares `daemon_set`, which is the Job's own, to what the operator wrote.
    pub(crate) fn compare(&self, daemon_set: &DaemonSetView) -> Comparison {
        let Some(applied) = &self.applied else {
            return Comparison::Unknown;
        };
        let version = daemon_set.version();
        if version.is_some_and(|version| version < applied.version) {
            return Comparison::Outdated;
        }
        let is_as_written = daemon_set.metadata.generation == Some(applied.generation)
            && daemon_set.metadata_digest == applied.metadata_digest
            && self.job.desired == applied.desired;
        if is_as_written { Comparison::AsWritten } else { Comparison::Edited }
    }

    /// Whether the figures of `daemon_set` are those of the operator's own spec.
    pub(crate) fn trusts(&self, daemon_set: &DaemonSetView) -> bool {
        self.applied.as_ref().is_some_and(|applied| {
            applied.differs.is_none()
                && daemon_set.metadata.generation == Some(applied.generation)
                && daemon_set.work_hash() == Some(&self.job.work_hash)
        })
    }

    /// Whether `pod` does the work of the Job, and nobody else's.
    pub(crate) fn does_the_work(&self, pod: &PodView) -> bool {
        pod.work_hash() == Some(&self.job.work_hash)
            && self.applied.as_ref().is_some_and(|applied| applied.is_of_ours(pod))
    }

    /// Whether `pod`, which may be gone, did the work of the Job.
    ///
    /// Work that was changed and changed back runs again, however equal the template of a pod that is gone.
    pub(crate) fn did_the_work(&self, pod: &PodView) -> bool {
        self.does_the_work(pod)
            && self.applied.as_ref().is_some_and(|applied| applied.has_written_template_of(pod))
    }

    /// Whether the hash of the template has to be looked up.
    ///
    /// The DaemonSet controller keeps pods of an earlier template that was equal. It has deleted all others, by
    /// the time that it has observed the generation.
    pub(crate) fn needs_revision(&self) -> bool {
        let Some(daemon_set) =
            self.daemon_set.as_deref().filter(|daemon_set| self.trusts(daemon_set))
        else {
            return false;
        };
        let observed = daemon_set.status.as_ref().and_then(|status| status.observed_generation);
        let is_unknown = self.applied.as_ref().is_some_and(|applied| applied.revision.is_none());
        let is_kept = |pod: &PodView| {
            pod.metadata.deletion_timestamp.is_none()
                && pod.daemon_set().map(|owner| &owner.uid) == daemon_set.metadata.uid.as_ref()
                && pod.work_hash() == Some(&self.job.work_hash)
                && pod.template.hash.is_some()
                && !self.does_the_work(pod)
        };
        is_unknown
            && observed.is_some()
            && observed == daemon_set.metadata.generation
            && self.pods.iter().any(|pod| is_kept(pod))
    }

    /// Whether the caches do not suffice to say which pods do the work.
    pub(crate) fn needs_live_revision(&self) -> bool {
        self.source == Source::Caches && self.needs_revision()
    }
}
