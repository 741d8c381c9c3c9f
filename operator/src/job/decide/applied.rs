//! Whether a DaemonSet and its pods are as the operator wrote them.
//!
//! Anybody may edit a DaemonSet. Each edit of its spec raises its generation, so that only the one that the
//! operator's own write returned is the operator's. The figures of another say nothing about the Job.

use std::time::Duration;

use api::views::{DaemonSetView, PodView};

use super::{daemon_set::Gating, job_view::JobView};

/// Template generations that the operator remembers of one DaemonSet.
const MAX_GENERATIONS: usize = 8;

/// A DaemonSet as the operator last wrote it, or found it as it would write it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Applied {
    /// UID of the Job.
    pub(crate) job: String,
    /// Generation of the spec.
    pub(crate) generation: i64,
    /// Version of the object. Caches may not have come so far.
    pub(crate) version: u64,
    /// Digest of labels, annotations and owners.
    pub(crate) metadata_digest: u64,
    /// Digest of what the Job asked for.
    pub(crate) desired: u64,
    /// Whether its pods wait for their nodes' turn.
    pub(crate) gating: Gating,
    /// Generations of the pod template whose pods do the work of the Job.
    pub(crate) template_generations: Vec<i64>,
    /// Hash of the pod template, once somebody had to look it up.
    pub(crate) revision: Option<Box<str>>,
    /// Fields by which others still decide about nodes: an admission webhook, for example.
    pub(crate) differs: Option<String>,
    /// Those who edited the DaemonSet a short while ago.
    pub(crate) edited_by: Option<String>,
    /// Time until that is no longer a short while ago.
    pub(crate) edited_for: Option<Duration>,
    /// Time until the operator may put it back again.
    ///
    /// A fight with another controller must not become a hot loop.
    pub(crate) rest: Duration,
}

impl Applied {
    /// Makes a record of `daemon_set`, which the operator has written for `job`.
    ///
    /// Pods that were created by an earlier write for the same work still do it.
    pub(crate) fn new(
        job: &JobView<'_>,
        daemon_set: &DaemonSetView,
        before: Option<&Self>,
    ) -> Self {
        let before = before.filter(|before| before.job == job.uid && before.desired == job.desired);
        let generations = before.map(|before| before.template_generations.as_slice());
        let mut template_generations = generations.unwrap_or_default().to_vec();
        let generation = daemon_set.template_generation.unwrap_or_default();
        let is_known = template_generations.last() == Some(&generation);
        if !is_known {
            template_generations.push(generation);
        }
        let surplus = template_generations.len().saturating_sub(MAX_GENERATIONS);
        template_generations.drain(..surplus);
        Self {
            job: job.uid.to_owned(),
            generation: daemon_set.metadata.generation.unwrap_or_default(),
            version: daemon_set.version().unwrap_or_default(),
            metadata_digest: daemon_set.metadata_digest,
            desired: job.desired,
            gating: Gating::of(daemon_set),
            template_generations,
            revision: before.filter(|_| is_known).and_then(|before| before.revision.clone()),
            ..Self::default()
        }
    }

    /// The message about an edit that is recent, or goes on.
    pub(crate) fn edit(&self) -> Option<String> {
        let editors = self.edited_by.as_ref();
        match (editors, &self.differs) {
            (_, Some(fields)) => {
                let editors = editors.map_or("an admission webhook", String::as_str);
                Some(format!(
                    "the DaemonSet is not as the operator writes it, so the Job does not end: {editors} sets \
                     {fields}"
                ))
            }
            (Some(editors), None) => Some(format!(
                "the DaemonSet was edited by {editors}; the operator puts it back, and what ran meanwhile does \
                 not count"
            )),
            (None, None) => None,
        }
    }

    /// Whether `pod` was created from the operator's template.
    pub(super) fn is_of_ours(&self, pod: &PodView) -> bool {
        self.has_written_template_of(pod)
            || self.revision.is_some() && self.revision == pod.template.hash
    }

    /// Whether `pod` was created from a template that the operator wrote for this work.
    ///
    /// An equal template from before the work was changed, and changed back, is none.
    pub(super) fn has_written_template_of(&self, pod: &PodView) -> bool {
        pod.template.generation.is_some_and(|pod| self.template_generations.contains(&pod))
    }
}
