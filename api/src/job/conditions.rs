//! Conditions of a Job, named as in batch/v1.

mod reason;
mod types;

use k8s_openapi::{
    apimachinery::pkg::apis::meta::v1::{Condition, Time},
    jiff::Timestamp,
};

use self::types::TYPES;
pub use self::{
    reason::{Reason, UnknownReason},
    types::{COMPLETE, DAEMON_SET_EDITED, FAILED, READY, RECONCILING, STALLED, SUSPENDED, WAITING},
};

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

/// The condition `Stalled` of a Job whose condition `Failed` is true.
#[must_use]
pub fn stalled(failed: &Condition) -> Condition {
    Condition { type_: STALLED.to_owned(), ..failed.clone() }
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

/// Orders the operator's conditions: those that are true first.
pub fn sort(conditions: &mut [Condition]) {
    conditions.sort_by_key(place);
}

/// Whether the conditions are in that order.
#[must_use]
pub fn are_sorted(conditions: &[Condition]) -> bool {
    conditions.is_sorted_by_key(place)
}

fn place(condition: &Condition) -> (bool, Option<usize>) {
    let of_type = TYPES.iter().position(|type_| *type_ == condition.type_);
    (condition.status != "True", of_type)
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
