//! Refusals of templates.

use kube::core::{Reason, Rule};

use crate::labels;

/// A field of a template that cannot be accepted.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Refusal {
    /// Path of the field below the template; empty for the template itself.
    pub path: String,
    /// Description of the error in its value.
    pub message: String,
}

/// The refusal of a field that must not be set.
pub(super) fn must_not_be_set(path: String, reason: &str) -> Refusal {
    Refusal { path, message: format!("must not be set: {reason}") }
}

/// Reason for refusing any annotation or gate of the operator's.
pub(super) fn belongs_to_operator() -> String {
    format!("what begins with {} belongs to the operator", labels::GROUP)
}

/// A rule that refuses a field with the message of [`must_not_be_set`].
pub(super) fn forbidden(rule: String, reason: &str) -> Rule {
    let message = format!("must not be set: {reason}");
    Rule::new(rule).message(message.as_str()).reason(Reason::FieldValueForbidden)
}
