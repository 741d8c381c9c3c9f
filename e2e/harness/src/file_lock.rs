//! Locks between processes.

use std::fs::TryLockError;
use std::path::Path;
use std::time::Duration;

use anyhow::{Result, bail};
use fs_err::File;

use crate::deadline::Deadline;

/// How long [`FileLock::take`] waits for another process, which may be building an image.
const LOCK_TIMEOUT: Duration = Duration::from_secs(15 * 60);

/// An exclusive lock on a file, held until it is dropped or its process dies.
#[derive(Debug)]
pub struct FileLock(#[expect(dead_code, reason = "an open file holds the lock")] File);

impl FileLock {
    /// Takes the lock if nobody has it.
    pub fn try_take(path: &Path) -> Result<Option<Self>> {
        let file = File::options().create(true).append(true).open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error.into()),
        }
    }

    /// Waits for the lock.
    pub async fn take(path: &Path) -> Result<Self> {
        let deadline = Deadline::after(LOCK_TIMEOUT);
        loop {
            if let Some(lock) = Self::try_take(path)? {
                return Ok(lock);
            }
            if deadline.remaining().is_zero() {
                bail!("another process has held {} for {:.0?}", path.display(), deadline.elapsed());
            }
            // Polled: a blocking lock could not be given up at an interrupt.
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lock_has_one_holder_at_a_time() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("lock");
        let first = FileLock::try_take(&path).expect("usable");
        assert!(first.is_some());
        assert!(FileLock::try_take(&path).expect("usable").is_none());
        drop(first);
        assert!(FileLock::try_take(&path).expect("usable").is_some());
    }
}
