//! Folders: the workspace, its target folder, one for each run.

use std::path::{Path, PathBuf};

/// The root of the workspace.
///
/// Cargo names the folder of the package to the programs that it runs; a binary started by hand
/// takes the place where it was built.
#[must_use]
pub fn workspace() -> PathBuf {
    let package = std::env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    let root = package.ancestors().find(|folder| folder.join("Cargo.lock").exists());
    root.map_or_else(|| package.clone(), Path::to_path_buf)
}

/// Cargo's target folder, where everything that the harness writes goes.
#[must_use]
pub fn target() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(dir) => workspace().join(dir),
        None => workspace().join("target"),
    }
}

/// A name for a run that sorts by time (UTC) and differs between processes: `20260131-142536-4711`.
#[must_use]
pub fn run_name() -> String {
    let now = jiff::Timestamp::now().strftime("%Y%m%d-%H%M%S");
    format!("{now}-{}", std::process::id())
}
