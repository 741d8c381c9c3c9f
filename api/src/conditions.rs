//! Conditions of a Job, in the words of batch/v1.

use k8s_openapi::{
    apimachinery::pkg::apis::meta::v1::{Condition, Time},
    jiff::Timestamp,
};

use crate::v1beta1::Job;

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
            Self::InvalidSpec => "InvalidSpec",
            Self::NameConflict => "NameConflict",
        }
    }

    /// Type of the condition that this is a reason for.
    #[must_use]
    pub fn condition(self) -> &'static str {
        match self {
            Self::Completed | Self::NoMatchingNodes => COMPLETE,
            Self::InvalidSpec | Self::NameConflict => FAILED,
        }
    }
}

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
    let since = find_true(previous, type_).map_or(Time(now), |condition| {
        condition.last_transition_time.clone()
    });
    Condition {
        type_: type_.to_owned(),
        status: "True".to_owned(),
        reason: reason.as_str().to_owned(),
        message,
        last_transition_time: since,
        observed_generation: generation,
    }
}

/// The condition of this type, if it is there and true.
#[must_use]
pub fn find_true<'a>(conditions: &'a [Condition], type_: &str) -> Option<&'a Condition> {
    conditions
        .iter()
        .find(|condition| condition.type_ == type_ && condition.status == "True")
}

/// The condition `Complete` of `job`, if it is true and was written for the spec as it is now.
#[must_use]
pub fn complete(job: &Job) -> Option<&Condition> {
    let status = job.status.as_ref()?;
    let current = status.observed_generation.is_some()
        && status.observed_generation == job.metadata.generation;
    find_true(&status.conditions, COMPLETE).filter(|_| current)
}
