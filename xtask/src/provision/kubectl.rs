//! kubectl: the one on `PATH`, or Debian's.

use std::path::PathBuf;

use anyhow::Result;

use super::Provision;
use super::apt::{self, Program};

/// What to do where it cannot be provided.
pub(crate) const CURE: &str =
    "install kubectl (https://kubernetes.io/docs/tasks/tools) into a folder of PATH";

const DEBIAN: Program = Program { package: "kubectl", path: "usr/bin/kubectl" };

/// The kubectl that is there: on `PATH`, or fetched before.
pub(crate) fn find() -> Option<PathBuf> {
    which::which("kubectl").ok().or_else(|| DEBIAN.cached())
}

/// The path of a kubectl that works here.
///
/// # Errors
/// When there is none and it cannot be provided, with what to do.
pub(crate) async fn ensure(provision: &Provision) -> Result<PathBuf> {
    match find() {
        Some(path) => Ok(path),
        None => apt::unpack(provision, DEBIAN, CURE).await,
    }
}
