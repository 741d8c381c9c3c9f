//! The DaemonSet of a Job, as far as an explanation needs it.

use api::views::{DaemonSetView, controller};
use k8s_openapi::jiff::Timestamp;

/// The DaemonSet that has the name of a Job's.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct DaemonSetFacts {
    pub(crate) name: String,
    /// UID of the Job that it belongs to.
    pub(crate) job: Option<String>,
    /// Since when Kubernetes deletes it.
    pub(crate) deleted: Option<Timestamp>,
    pub(crate) desired: i32,
    pub(crate) current: i32,
}

impl DaemonSetFacts {
    /// The facts of a DaemonSet.
    pub(crate) fn new(set: &DaemonSetView) -> Self {
        let status = set.status.clone().unwrap_or_default();
        let owner = controller(&set.metadata).filter(|owner| owner.kind == "Job");
        Self {
            name: set.metadata.name.clone().unwrap_or_default(),
            job: owner.map(|owner| owner.uid.clone()),
            deleted: set.metadata.deletion_timestamp.as_ref().map(|time| time.0),
            desired: status.desired_number_scheduled,
            current: status.current_number_scheduled,
        }
    }
}
