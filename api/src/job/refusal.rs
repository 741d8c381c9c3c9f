//! Refusals of templates.

/// A field of a template that cannot be accepted.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Refusal {
    /// Path of the field below the template; empty for the template itself.
    pub path: String,
    /// Description of the error in its value.
    pub message: String,
}
