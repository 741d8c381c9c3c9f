//! The checksums of a release, as `sha256sum --check` reads them.

use std::path::Path;

use anyhow::Result;
use harness::paths;

use super::folder::{CHECKSUMS, Folder};
use crate::digest::sha256;

/// Writes the sums of all files.
pub(super) fn write(folder: &Folder) -> Result<()> {
    let mut sums = String::new();
    for file in paths::entries(folder.path())? {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        if !name.starts_with('.') {
            sums += &format!("{}  {name}\n", sha256(&fs_err::read(&file)?));
        }
    }
    folder.write(CHECKSUMS, sums.as_bytes())
}

/// The sums that were written.
pub(super) fn read(folder: &Path) -> Result<String> {
    Ok(fs_err::read_to_string(folder.join(CHECKSUMS))?)
}
