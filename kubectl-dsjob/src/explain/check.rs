//! The form of a check.

use crate::model::{evidence::Evidence, finding::Finding};

/// A check, which finds one cause.
pub(super) struct Check {
    /// Its name, for programs.
    pub(super) name: &'static str,
    pub(super) find: fn(&Evidence) -> Option<Finding>,
}
