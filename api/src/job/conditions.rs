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

/// Types of the conditions that the operator sets.
const TYPES: [&str; 3] = [COMPLETE, FAILED, DAEMON_SET_EDITED];

/// Reason of a Job's condition.
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
}

impl Reason {
    /// All reasons.
    const ALL: [Self; 8] = [
        Self::Completed,
        Self::NoMatchingNodes,
        Self::DeadlineExceeded,
        Self::MaxFailedNodesExceeded,
        Self::NodesFailed,
        Self::InvalidSpec,
        Self::NameConflict,
        Self::DaemonSetRefused,
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
            _ => FAILED,
        }
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

/// A true condition for `reason`, of a Job of this generation, since `now`.
#[must_use]
pub fn condition(
    reason: Reason,
    message: String,
    generation: Option<i64>,
    now: Timestamp,
) -> Condition {
    Condition {
        type_: reason.condition().to_owned(),
        status: "True".to_owned(),
        reason: reason.to_string(),
        message,
        last_transition_time: Time(now),
        observed_generation: generation,
    }
}

/// The condition of a Job of this generation whose DaemonSet somebody edits.
#[must_use]
pub fn daemon_set_edited(message: String, generation: Option<i64>, now: Timestamp) -> Condition {
    Condition {
        type_: DAEMON_SET_EDITED.to_owned(),
        status: "True".to_owned(),
        reason: DAEMON_SET_EDITED.to_owned(),
        message,
        last_transition_time: Time(now),
        observed_generation: generation,
    }
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

/// Whether the operator owns the condition. Others may add other types.
#[must_use]
pub fn is_ours(condition: &Condition) -> bool {
    TYPES.contains(&condition.type_.as_str())
}

/// The condition of this type, if it is true.
#[must_use]
pub fn find_true<'a>(conditions: &'a [Condition], type_: &str) -> Option<&'a Condition> {
    conditions.iter().find(|condition| condition.type_ == type_ && condition.status == "True")
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
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn failed(reason: Reason, second: i64) -> Condition {
        condition(reason, reason.to_string(), Some(1), at(second))
    }

    #[test]
    fn a_reason_is_read_as_it_was_written_and_others_are_unknown() {
        for reason in Reason::ALL {
            assert_eq!(reason.to_string().parse(), Ok(reason));
            assert_eq!(Reason::of(&failed(reason, 0)), Some(reason));
        }
        for text in ["", "completed", "Completed: all", "Evicted"] {
            assert_eq!(text.parse::<Reason>(), Err(UnknownReason), "{text}");
        }
    }

    #[test]
    fn a_condition_that_stays_true_keeps_its_time_and_others_stay_as_they_are() {
        let others = Condition { type_: "Audited".to_owned(), ..failed(Reason::NodesFailed, 1) };
        let mut conditions = vec![others.clone()];
        set(&mut conditions, failed(Reason::InvalidSpec, 2));
        set(&mut conditions, failed(Reason::NodesFailed, 3));
        let since_then = failed(Reason::NodesFailed, 2);
        assert_eq!(conditions, [others.clone(), since_then.clone()]);
        let turned = Condition { status: "False".to_owned(), ..failed(Reason::NodesFailed, 4) };
        set(&mut conditions, turned.clone());
        assert_eq!(conditions, [others.clone(), turned]);
        remove(&mut conditions, FAILED);
        assert_eq!(conditions, [others]);
    }

    #[test]
    fn a_job_is_finished_unless_the_reason_may_lift_and_unknown_reasons_do_not() {
        for reason in Reason::ALL {
            let conditions = [failed(reason, 0)];
            let lifts = matches!(
                reason,
                Reason::InvalidSpec | Reason::NameConflict | Reason::DaemonSetRefused
            );
            assert_eq!(finished(&conditions).is_none(), lifts, "{reason}");
            assert_eq!(blocked(&conditions).is_some(), lifts, "{reason}");
        }
        let later = [Condition { reason: "Later".to_owned(), ..failed(Reason::NodesFailed, 0) }];
        assert!(finished(&later).is_some() && blocked(&later).is_none());
        assert!(finished(&[]).is_none() && blocked(&[]).is_none());
    }
}
