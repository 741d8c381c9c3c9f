//! kind: the one on `PATH`, or Debian's.

use std::path::PathBuf;

use anyhow::Result;

use super::Provision;
use super::apt::{self, Program};

/// What to do where it cannot be provided.
pub(crate) const CURE: &str =
    "install kind (https://kind.sigs.k8s.io/docs/user/quick-start) into a folder of PATH";

const DEBIAN: Program = Program { package: "kind", path: "usr/bin/kind" };

/// The kind that is there: on `PATH`, or fetched before.
pub(crate) fn find() -> Option<PathBuf> {
    which::which("kind").ok().or_else(|| DEBIAN.cached())
}

/// The path of a kind that works here.
///
/// # Errors
/// When there is none and it cannot be provided, with what to do.
pub(crate) async fn ensure(provision: &Provision) -> Result<PathBuf> {
    match find() {
        Some(path) => Ok(path),
        None => apt::unpack(provision, DEBIAN, CURE).await,
    }
}
