//! A field of a spec, and checks of its value.

/// An invalid field of a Job, shown as by `kubectl`: path, then reason.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{field}: {message}")]
pub struct InvalidField {
    /// Path of the field, such as `spec.mountPath`.
    pub field: String,
    /// Description of the error in its value.
    pub message: String,
}

/// The error in a value, if there is one.
pub(super) type Check = Result<(), String>;

pub(super) fn optional<T>(value: Option<T>, check: impl FnOnce(T) -> Check) -> Check {
    value.map_or(Ok(()), check)
}

pub(super) fn at_least(minimum: i64, value: i64) -> Check {
    if value < minimum { Err(format!("must be at least {minimum}: {value}")) } else { Ok(()) }
}
