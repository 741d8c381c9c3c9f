//! Results go to standard output, which may be a pipe.

use std::io::{self, Write as _};

use anyhow::{Context as _, Result};

/// Writes a result. Whoever reads may have read enough: `cargo xtask doctor | head`.
///
/// # Errors
/// When it cannot be written, and somebody still reads.
pub(crate) fn write(text: &str) -> Result<()> {
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written.context("cannot write to standard output"),
    }
}
