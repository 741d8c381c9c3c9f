//! The folder of a release.

use std::path::{Path, PathBuf};

use anyhow::Result;
use harness::command::Refusal;
use harness::paths::{self, if_there};

/// The file with the checksums of the others, which is written last.
pub(super) const CHECKSUMS: &str = "SHA256SUMS";

/// A folder with the files of one release and nothing else.
pub(super) struct Folder(PathBuf);

impl Folder {
    /// Makes the folder, or removes what an earlier release left in it.
    pub(super) fn empty(path: &Path) -> Result<Self> {
        let files = if_there(paths::entries(path))?.unwrap_or_default();
        // The mark is there from the beginning.
        let is_ours = [CHECKSUMS, MARK].iter().any(|name| files.contains(&path.join(name)));
        if !files.is_empty() && !is_ours {
            let error = format!(
                "{} holds something other than a release: name another folder by --output",
                path.display()
            );
            return Err(Refusal::Usage(error).into());
        }
        if !files.is_empty() {
            fs_err::remove_dir_all(path)?;
        }
        fs_err::create_dir_all(path)?;
        let folder = Self(path.to_owned());
        folder.write(MARK, b"")?;
        Ok(folder)
    }

    /// Writes a file.
    pub(super) fn write(&self, name: &str, content: &[u8]) -> Result<()> {
        Ok(fs_err::write(self.file(name), content)?)
    }

    /// The path of a file in it.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// The path of the folder, which is complete.
    pub(super) fn into_path(self) -> PathBuf {
        // Whoever reads the folder needs no mark any more.
        let _ = fs_err::remove_file(self.0.join(MARK));
        self.0
    }
}

/// The file that makes a folder ours while the release in it is incomplete.
const MARK: &str = ".incomplete";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folder_of_somebody_else_is_left_alone() {
        let home = tempfile::tempdir().expect("a folder");
        std::fs::write(home.path().join("thesis.tex"), "").expect("written");
        let error = Folder::empty(home.path()).err().expect("refused").to_string();
        assert!(error.contains("something other than a release"), "{error}");
        assert!(home.path().join("thesis.tex").exists());
    }

    #[test]
    fn earlier_release_goes_whether_it_was_complete_or_not() {
        let home = tempfile::tempdir().expect("a folder");
        let path = home.path().join("dist");
        let first = Folder::empty(&path).expect("a folder");
        first.write("old", b"").expect("written");
        let second = Folder::empty(&path).expect("a folder");
        assert!(!second.file("old").exists());
        second.write(CHECKSUMS, b"").expect("written");
        second.write("old", b"").expect("written");
        second.into_path();
        assert!(!Folder::empty(&path).expect("a folder").file("old").exists());
    }
}
