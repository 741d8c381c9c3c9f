//! The checksums of a release, as `sha256sum --check` reads them.

use std::path::Path;

use anyhow::Result;

use super::folder::{CHECKSUMS, Folder};
use crate::digest::sha256;

/// Writes the sums of all files.
pub(super) fn write(folder: &Folder) -> Result<()> {
    let mut names = Vec::new();
    for entry in fs_err::read_dir(folder.path())? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if !name.starts_with('.') {
            names.push(name);
        }
    }
    names.sort();
    let mut sums = String::new();
    for name in names {
        let bytes = fs_err::read(folder.file(&name))?;
        sums += &format!("{}  {name}\n", sha256(&bytes));
    }
    folder.write(CHECKSUMS, sums.as_bytes())
}

/// The sums that were written.
pub(super) fn read(folder: &Path) -> Result<String> {
    Ok(fs_err::read_to_string(folder.join(CHECKSUMS))?)
}
