//! Folders: the workspace, its target folder, one for each run.

use std::io;
use std::path::{Path, PathBuf};

/// The root of the workspace.
///
/// Cargo names the folder of the package to the programs that it runs; a binary started by hand
/// takes the place where it was built.
pub fn workspace() -> PathBuf {
    let package = std::env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    let root = package.ancestors().find(|folder| folder.join("Cargo.lock").exists());
    root.map_or_else(|| package.clone(), Path::to_path_buf)
}

/// Cargo's target folder, where everything that the harness writes goes.
pub fn target() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(dir) => workspace().join(dir),
        None => workspace().join("target"),
    }
}

/// What an access to a file or a folder gave, or nothing where there is no such file.
pub fn if_there<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        result => result.map(Some),
    }
}

/// The paths of what is in a folder, by name.
pub fn entries(folder: impl AsRef<Path>) -> io::Result<Vec<PathBuf>> {
    let entries = fs_err::read_dir(folder.as_ref())?.map(|entry| Ok(entry?.path()));
    let mut paths: Vec<_> = entries.collect::<io::Result<_>>()?;
    paths.sort();
    Ok(paths)
}

/// The paths of the files in a folder and in those in it, by name; of a file it is that alone.
pub fn files(path: impl AsRef<Path>) -> io::Result<Vec<PathBuf>> {
    if !path.as_ref().is_dir() {
        return Ok(vec![path.as_ref().to_owned()]);
    }
    let files: Vec<_> = entries(path)?.into_iter().map(files).collect::<io::Result<_>>()?;
    Ok(files.concat())
}

/// A name for a run that sorts by time (UTC) and differs between processes: `20260131-142536-4711`.
pub fn run_name() -> String {
    let now = jiff::Timestamp::now().strftime("%Y%m%d-%H%M%S");
    format!("{now}-{}", std::process::id())
}
