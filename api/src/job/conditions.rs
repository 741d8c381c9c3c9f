//! Conditions of a Job, named as in batch/v1.

use std::{fmt, str::FromStr};

use k8s_openapi::{
    apimachinery::pkg::apis::meta::v1::{Condition, Time},
    jiff::Timestamp,
};

/// Type of the condition of a Job whose work is done on every wanted node.
pub const COMPLETE: &str = "Complete";
/// Type of the condition of a Job that cannot be done, or was not.
pub const FAILED: &str = "Failed";

/// Type, and reason, of the condition of a Job whose DaemonSet somebody edits.
///
/// It is there while that is recent or goes on, and says nothing about the end of the Job.
pub const DAEMON_SET_EDITED: &str = "DaemonSetEdited";

/// Type of the condition of a Job that is suspended.
///
/// It is false once the Job has been resumed, as in batch/v1.
pub const SUSPENDED: &str = "Suspended";

/// Type of the condition of a Job whose nodes wait for their turn: it says what for.
pub const WAITING: &str = "Waiting";

/// Type of the condition of a Job that never completes: whether every wanted node is done.
pub const READY: &str = "Ready";

/// Types of the conditions that the operator sets.
const TYPES: [&str; 6] = [COMPLETE, FAILED, DAEMON_SET_EDITED, SUSPENDED, WAITING, READY];

/// Reason of a Job's condition. It belongs to one type, and to one status of that.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Reason {
    /// `Complete`: every wanted node is done.
    Completed,
    /// `Complete`: no node is wanted, most often because of a typo in a selector.
    NoMatchingNodes,
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
}

impl Reason {
    /// All reasons.
    pub const ALL: [Self; 28] = [
        Self::Completed,
        Self::NoMatchingNodes,
        Self::DeadlineExceeded,
        Self::MaxFailedNodesExceeded,
        Self::NodesFailed,
        Self::InvalidSpec,
        Self::NameConflict,
        Self::DaemonSetRefused,
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
    ];

    /// The reason as conditions and events show it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Completed => "Completed",
            Self::NoMatchingNodes => "NoMatchingNodes",
            Self::DeadlineExceeded => "DeadlineExceeded",
            Self::MaxFailedNodesExceeded => "MaxFailedNodesExceeded",
            Self::NodesFailed => "NodesFailed",
            Self::InvalidSpec => "InvalidSpec",
            Self::NameConflict => "NameConflict",
            Self::DaemonSetRefused => "DaemonSetRefused",
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
            Self::Completed | Self::NoMatchingNodes => COMPLETE,
            Self::DeadlineExceeded
            | Self::MaxFailedNodesExceeded
            | Self::NodesFailed
            | Self::InvalidSpec
            | Self::NameConflict
            | Self::DaemonSetRefused => FAILED,
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
        }
    }

    /// Whether the condition that has this reason is true.
    #[must_use]
    pub fn is_true(self) -> bool {
        !matches!(
            self,
            Self::PodsStopping
                | Self::JobResumed
                | Self::NotGated
                | Self::NodesNotDone
                | Self::NotRunning
        )
    }

    /// Whether the condition lifts with its cause.
    ///
    /// The other reasons are final, unless the work changes.
    fn lifts(self) -> bool {
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

/// The condition for `reason`, of a Job of this generation, since `now`.
#[must_use]
pub fn condition(
    reason: Reason,
    message: String,
    generation: Option<i64>,
    now: Timestamp,
) -> Condition {
    Condition {
        type_: reason.condition().to_owned(),
        status: if reason.is_true() { "True" } else { "False" }.to_owned(),
        reason: reason.to_string(),
        message,
        last_transition_time: Time(now),
        observed_generation: generation,
    }
}

/// The condition of a Job of this generation whose DaemonSet somebody edits.
#[must_use]
pub fn daemon_set_edited(message: String, generation: Option<i64>, now: Timestamp) -> Condition {
    condition(Reason::DaemonSetEdited, message, generation, now)
}

/// Adds `condition`, or replaces the one of its type.
///
/// It keeps the transition time while the status of the condition stays the same.
pub fn set(conditions: &mut Vec<Condition>, mut condition: Condition) {
    match conditions.iter_mut().find(|known| known.type_ == condition.type_) {
        Some(known) => {
            if known.status == condition.status {
                condition.last_transition_time = known.last_transition_time.clone();
            }
            *known = condition;
        }
        None => conditions.push(condition),
    }
}

/// Removes the condition of this type.
pub fn remove(conditions: &mut Vec<Condition>, type_: &str) {
    conditions.retain(|condition| condition.type_ != type_);
}

/// The condition of this type, true or not.
#[must_use]
pub fn find<'a>(conditions: &'a [Condition], type_: &str) -> Option<&'a Condition> {
    conditions.iter().find(|condition| condition.type_ == type_)
}

/// Whether the operator owns the condition. Others may add other types.
#[must_use]
pub fn is_ours(condition: &Condition) -> bool {
    TYPES.contains(&condition.type_.as_str())
}

/// The condition of this type, if it is true.
#[must_use]
pub fn find_true<'a>(conditions: &'a [Condition], type_: &str) -> Option<&'a Condition> {
    find(conditions, type_).filter(|condition| condition.status == "True")
}

/// The condition of a finished Job: complete, or failed for good.
#[must_use]
pub fn finished(conditions: &[Condition]) -> Option<&Condition> {
    let is_final = |condition: &&Condition| !Reason::of(condition).is_some_and(Reason::lifts);
    find_true(conditions, COMPLETE).or_else(|| find_true(conditions, FAILED).filter(is_final))
}

/// The condition of a Job that cannot go on for a reason that may lift.
#[must_use]
pub fn blocked(conditions: &[Condition]) -> Option<&Condition> {
    find_true(conditions, FAILED).filter(|_| finished(conditions).is_none())
}

#[cfg(test)]
mod tests;
