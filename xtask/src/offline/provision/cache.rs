//! The folder of the cache.

use std::path::PathBuf;

use anyhow::{Context as _, Result};

/// The folder where programs and other results outlive `cargo clean`:
/// `${XDG_CACHE_HOME:-~/.cache}/daemonset-job`.
pub(crate) fn cache_dir() -> Result<PathBuf> {
    let base = match std::env::var_os("XDG_CACHE_HOME").filter(|dir| !dir.is_empty()) {
        Some(dir) => PathBuf::from(dir),
        None => std::env::home_dir()
            .context("cannot tell where to cache: set HOME or XDG_CACHE_HOME")?
            .join(".cache"),
    };
    Ok(base.join("daemonset-job"))
}
