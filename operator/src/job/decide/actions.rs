//! Decisions about a Job.

use std::time::Duration;

use api::job::JobStatus;

pub(crate) use super::turns::release::Release;
use super::{
    daemon_set::DaemonSetAction,
    events::JobEvent,
    progress::{MissingPods, StuckPod},
    tally::PodTally,
};

/// A decision about a Job.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Decision {
    /// Observe [`Source::Live`](super::observation::Source::Live), and decide again.
    ///
    /// The caches call for something that cannot be taken back.
    ObserveLive,
    /// Do this.
    Act(Box<Actions>),
    /// Nothing: the Job is being deleted.
    Nothing,
}

/// Actions in the order in which they are applied.
///
/// The next reconciliation makes up for an interruption at any point.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Actions {
    /// First the DaemonSet,
    pub(crate) daemon_set: DaemonSetAction,
    /// then the tallies of runs, on their pods, while the runs can be seen,
    pub(crate) tallies: Vec<PodTally>,
    /// then events,
    pub(crate) events: Vec<JobEvent>,
    /// then the status, which makes them things of the past,
    pub(crate) status: JobStatus,
    /// then the pods that may start, once the status is known to be stored.
    pub(crate) releases: Vec<Release>,
    /// When to decide again, should nothing happen before.
    pub(crate) requeue_after: Option<Duration>,
    /// Whether the status has results that would be lost with pods that are being deleted.
    pub(crate) is_urgent: bool,
    /// Set if the DaemonSet has lacked pods for long: the API server may refuse them.
    pub(crate) missing_pods: Option<MissingPods>,
    /// Pods that wait for something that their kubelets say only in events.
    pub(crate) stuck_pods: Vec<StuckPod>,
}
