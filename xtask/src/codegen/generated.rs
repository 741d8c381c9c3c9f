//! Generated files.

use std::path::PathBuf;

/// A generated file.
pub(super) struct Generated {
    pub(super) path: PathBuf,
    pub(super) content: String,
}
