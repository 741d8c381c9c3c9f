//! Decisions about a Job.

use std::time::Duration;

use api::job::JobStatus;

pub(crate) use super::turns::release::Release;
use super::{
    daemon_set::DaemonSetAction,
    events::JobEvent,
    observation::Source,
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

impl Decision {
    /// Whether only a live observation tells which node the pod of a release is for.
    ///
    /// A pod of a node that has started before is another one, maybe, and so may be the node of that name: cached
    /// nodes may be older than cached pods. `is_due` is false of releases that this process has sent.
    pub(crate) fn repeats(&self, source: Source, is_due: impl Fn(&Release) -> bool) -> bool {
        let is_doubtful = |release: &Release| release.is_repeated && is_due(release);
        match self {
            Self::Act(actions) => {
                source == Source::Caches && actions.releases.iter().any(is_doubtful)
            }
            Self::ObserveLive | Self::Nothing => false,
        }
    }
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
