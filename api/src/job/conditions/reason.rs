//! Reasons of the conditions of a Job.

use std::{fmt, str::FromStr};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::types::{COMPLETE, DAEMON_SET_EDITED, FAILED, READY, RECONCILING, SUSPENDED, WAITING};

/// Reason of a Job's condition. It belongs to one type, and to one status of that.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Reason {
    /// `Complete`: every wanted node is done.
    Completed,
    /// `Complete`: no node is wanted, most often because of a typo in a selector.
    NoMatchingNodes,
    /// `Complete` is false.
    NotComplete,
    /// `Failed`: the Job was not done in time.
    DeadlineExceeded,
    /// `Failed`: more nodes have failed than the Job tolerates.
    MaxFailedNodesExceeded,
    /// `Failed`: every node ran to its end, and some failed.
    NodesFailed,
    /// `Failed`: a field of the spec is invalid. It lifts when the field is fixed.
    InvalidSpec,
    /// `Failed`: a foreign DaemonSet has the name. It lifts when that one is gone.
    NameConflict,
    /// `Failed`: the API server does not accept the DaemonSet now. It lifts when it does.
    DaemonSetRefused,
    /// `Failed` is false.
    NotFailed,
    /// `DaemonSetEdited`: its only reason.
    DaemonSetEdited,
    /// `Suspended` is true: the spec asks for it, and no pod of the Job stays.
    JobSuspended,
    /// `Suspended` is false: the spec asks for it, and pods of the Job are there that stay.
    PodsStopping,
    /// `Suspended` is false: the Job was suspended before.
    JobResumed,
    /// `Waiting`: as many nodes are at work as the Job allows.
    PlacesInUse,
    /// `Waiting`: the parallelism is 0.
    Paused,
    /// `Waiting`: no window is open.
    WindowClosed,
    /// `Waiting`: an earlier group of nodes is not through.
    OrderWaits,
    /// `Waiting`: nodes have not been done, and Ready, for long enough.
    MinReadySeconds,
    /// `Waiting`: the nodes that wait are unreachable, or not known.
    NodesUnreachable,
    /// `Waiting`: the DaemonSet is not as the operator writes it.
    DaemonSetDiffers,
    /// `Waiting` is false: fields that make nodes take turns do not count for this DaemonSet.
    NotGated,
    /// `Waiting`: labels of nodes that the order names are not known yet.
    LabelsUnknown,
    /// `Waiting`: more nodes have failed than the Job tolerates, and those at work are let finish.
    TooManyFailed,
    /// `Waiting`: the API server refuses to let pods start.
    ReleaseRefused,
    /// `Waiting`: pods have scheduling gates of others.
    OtherGates,
    /// `Ready` is true: every wanted node is done.
    AllNodesDone,
    /// `Ready` is true: no node is wanted, most often because of a typo in a selector.
    NoNodesWanted,
    /// `Ready` is false: some wanted nodes are not done, or have failed.
    NodesNotDone,
    /// `Ready` is false: the Job is suspended, cannot go on, or has failed.
    NotRunning,
    /// `Reconciling`: its only reason.
    Progressing,
}

impl Reason {
    /// All reasons.
    pub const ALL: [Self; 31] = [
        Self::Completed,
        Self::NoMatchingNodes,
        Self::NotComplete,
        Self::DeadlineExceeded,
        Self::MaxFailedNodesExceeded,
        Self::NodesFailed,
        Self::InvalidSpec,
        Self::NameConflict,
        Self::DaemonSetRefused,
        Self::NotFailed,
        Self::DaemonSetEdited,
        Self::JobSuspended,
        Self::PodsStopping,
        Self::JobResumed,
        Self::PlacesInUse,
        Self::Paused,
        Self::WindowClosed,
        Self::OrderWaits,
        Self::MinReadySeconds,
        Self::NodesUnreachable,
        Self::DaemonSetDiffers,
        Self::NotGated,
        Self::LabelsUnknown,
        Self::TooManyFailed,
        Self::ReleaseRefused,
        Self::OtherGates,
        Self::AllNodesDone,
        Self::NoNodesWanted,
        Self::NodesNotDone,
        Self::NotRunning,
        Self::Progressing,
    ];

    /// The reason as conditions and events show it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Completed => "Completed",
            Self::NoMatchingNodes => "NoMatchingNodes",
            Self::NotComplete => "NotComplete",
            Self::DeadlineExceeded => "DeadlineExceeded",
            Self::MaxFailedNodesExceeded => "MaxFailedNodesExceeded",
            Self::NodesFailed => "NodesFailed",
            Self::InvalidSpec => "InvalidSpec",
            Self::NameConflict => "NameConflict",
            Self::DaemonSetRefused => "DaemonSetRefused",
            Self::NotFailed => "NotFailed",
            Self::DaemonSetEdited => "DaemonSetEdited",
            Self::JobSuspended => "JobSuspended",
            Self::PodsStopping => "PodsStopping",
            Self::JobResumed => "JobResumed",
            Self::PlacesInUse => "PlacesInUse",
            Self::Paused => "Paused",
            Self::WindowClosed => "WindowClosed",
            Self::OrderWaits => "OrderWaits",
            Self::MinReadySeconds => "MinReadySeconds",
            Self::NodesUnreachable => "NodesUnreachable",
            Self::DaemonSetDiffers => "DaemonSetDiffers",
            Self::NotGated => "NotGated",
            Self::LabelsUnknown => "LabelsUnknown",
            Self::TooManyFailed => "TooManyFailed",
            Self::ReleaseRefused => "ReleaseRefused",
            Self::OtherGates => "OtherGates",
            Self::AllNodesDone => "AllNodesDone",
            Self::NoNodesWanted => "NoNodesWanted",
            Self::NodesNotDone => "NodesNotDone",
            Self::NotRunning => "NotRunning",
            Self::Progressing => "Progressing",
        }
    }

    /// The reason of `condition`, unless a later version has added it.
    #[must_use]
    pub fn of(condition: &Condition) -> Option<Self> {
        condition.reason.parse().ok()
    }

    /// Type of the condition that has this reason.
    #[must_use]
    pub fn condition(self) -> &'static str {
        match self {
            Self::Completed | Self::NoMatchingNodes | Self::NotComplete => COMPLETE,
            Self::DeadlineExceeded
            | Self::MaxFailedNodesExceeded
            | Self::NodesFailed
            | Self::InvalidSpec
            | Self::NameConflict
            | Self::DaemonSetRefused
            | Self::NotFailed => FAILED,
            Self::DaemonSetEdited => DAEMON_SET_EDITED,
            Self::JobSuspended | Self::PodsStopping | Self::JobResumed => SUSPENDED,
            Self::PlacesInUse
            | Self::Paused
            | Self::WindowClosed
            | Self::OrderWaits
            | Self::MinReadySeconds
            | Self::NodesUnreachable
            | Self::DaemonSetDiffers
            | Self::NotGated
            | Self::LabelsUnknown
            | Self::TooManyFailed
            | Self::OtherGates
            | Self::ReleaseRefused => WAITING,
            Self::AllNodesDone | Self::NoNodesWanted | Self::NodesNotDone | Self::NotRunning => {
                READY
            }
            Self::Progressing => RECONCILING,
        }
    }

    /// Whether the condition that has this reason is true.
    #[must_use]
    pub fn is_true(self) -> bool {
        !matches!(
            self,
            Self::NotComplete
                | Self::NotFailed
                | Self::PodsStopping
                | Self::JobResumed
                | Self::NotGated
                | Self::NodesNotDone
                | Self::NotRunning
        )
    }

    /// Whether the condition lifts with its cause.
    ///
    /// The other reasons are final, unless the work changes.
    pub(super) fn lifts(self) -> bool {
        matches!(self, Self::InvalidSpec | Self::NameConflict | Self::DaemonSetRefused)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Error for a text that is no [`Reason`] of this version.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not a reason for a condition of a Job")]
pub struct UnknownReason;

impl FromStr for Reason {
    type Err = UnknownReason;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == text).ok_or(UnknownReason)
    }
}
