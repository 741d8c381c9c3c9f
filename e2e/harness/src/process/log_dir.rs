//! Where the logs of commands go.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::paths;

/// A folder with one log file for each command that was run. Clones share the numbering.
#[derive(Clone, Debug)]
pub struct LogDir {
    path: PathBuf,
    next: Arc<AtomicU32>,
}

impl LogDir {
    /// Makes the folder, with its parents. Numbering goes on after the files that are there.
    pub fn create(path: impl Into<PathBuf>) -> io::Result<Self> {
        let path = path.into();
        fs_err::create_dir_all(&path)?;
        let number = |file: &PathBuf| file.file_name()?.to_str()?.split('-').next()?.parse().ok();
        let last: Option<u32> = paths::entries(&path)?.iter().filter_map(number).max();
        Ok(Self { path, next: Arc::new(AtomicU32::new(last.unwrap_or_default() + 1)) })
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A new path in the folder, `NNN-name.log`.
    pub(super) fn next_file(&self, name: &str) -> PathBuf {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.path.join(format!("{number:03}-{name}.log"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbering_continues_in_a_folder_that_was_used_before() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let logs = LogDir::create(dir.path().join("logs")).expect("a log folder");
        std::fs::write(logs.next_file("one"), "").expect("written");
        let again = LogDir::create(dir.path().join("logs")).expect("a log folder");
        assert!(again.next_file("two").ends_with("002-two.log"));
    }
}
