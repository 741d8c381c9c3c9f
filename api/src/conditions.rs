//! Conditions of a Job, in the words of batch/v1.

use k8s_openapi::{
    apimachinery::pkg::apis::meta::v1::{Condition, Time},
    jiff::Timestamp,
};

/// Type of the condition of a Job whose work is done on every wanted node.
pub const COMPLETE: &str = "Complete";
/// Type of the condition of a Job that cannot be, or was not, done.
pub const FAILED: &str = "Failed";

/// Why a Job has the condition that it has.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Reason {
    /// `Complete`: every wanted node is done.
    Completed,
    /// `Complete`: no node is wanted, most often for a typo in a selector.
    NoMatchingNodes,
    /// `Failed`: it was not done in time.
    DeadlineExceeded,
    /// `Failed`: more nodes have failed than the Job bears.
    MaxFailedNodesExceeded,
    /// `Failed`: every node ran to its end, and some failed.
    NodesFailed,
    /// `Failed`: a field of the spec is refused; lifts when it is mended.
    InvalidSpec,
    /// `Failed`: a DaemonSet of that name belongs to someone else; lifts when it is gone.
    NameConflict,
}

impl Reason {
    /// The reason as it stands on conditions and events.
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
        }
    }

    /// Type of the condition that this is a reason for.
    #[must_use]
    pub fn condition(self) -> &'static str {
        match self {
            Self::Completed | Self::NoMatchingNodes => COMPLETE,
            _ => FAILED,
        }
    }
}

/// The reasons that lift when their cause does. The others are final, unless the work changes.
const LIFTING: [Reason; 2] = [Reason::InvalidSpec, Reason::NameConflict];

/// The condition for `reason` of a Job of this generation, true since `now`, or since it first was
/// true according to `previous`.
#[must_use]
pub fn condition(
    reason: Reason,
    message: String,
    generation: Option<i64>,
    previous: &[Condition],
    now: Timestamp,
) -> Condition {
    let type_ = reason.condition();
    let since = find_true(previous, type_)
        .map_or(Time(now), |condition| condition.last_transition_time.clone());
    Condition {
        type_: type_.to_owned(),
        status: "True".to_owned(),
        reason: reason.as_str().to_owned(),
        message,
        last_transition_time: since,
        observed_generation: generation,
    }
}

/// Whether it is the operator's. Anybody may add conditions of other types.
#[must_use]
pub fn is_ours(condition: &Condition) -> bool {
    [COMPLETE, FAILED].contains(&condition.type_.as_str())
}

/// The condition of this type, if it is there and true.
#[must_use]
pub fn find_true<'a>(conditions: &'a [Condition], type_: &str) -> Option<&'a Condition> {
    conditions.iter().find(|condition| condition.type_ == type_ && condition.status == "True")
}

/// The condition among `conditions` that says that a Job is finished: complete, or failed for good.
#[must_use]
pub fn finished(conditions: &[Condition]) -> Option<&Condition> {
    find_true(conditions, COMPLETE).or_else(|| {
        find_true(conditions, FAILED)
            .filter(|condition| !LIFTING.iter().any(|reason| reason.as_str() == condition.reason))
    })
}
