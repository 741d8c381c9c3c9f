//! What is known of a cluster between processes, and who is using it.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};

use super::Provider;
use crate::wait::Deadline;

/// The file in a cluster's folder that holds its [`Record`].
const FILE: &str = "cluster.json";

/// How long to wait for other runs that are making a cluster. Each takes a minute or two.
const LOCK_TIMEOUT: Duration = Duration::from_secs(15 * 60);

/// How a cluster was made.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// kind's name of it.
    pub name: String,
    /// How many nodes it has, the control plane included.
    pub nodes: usize,
    /// The image that its nodes run.
    pub image: String,
    /// What runs them.
    #[serde(default)]
    pub provider: Provider,
    /// The kind program.
    pub kind: PathBuf,
    /// The kubectl program.
    pub kubectl: PathBuf,
    /// Whether somebody asked for it to outlive its run.
    #[serde(default)]
    pub kept: bool,
}

impl Record {
    /// The record in a folder, if there is one.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn load(folder: &Path) -> Result<Option<Self>> {
        let path = folder.join(FILE);
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(|| cannot("read", &path)),
        };
        let record = serde_json::from_slice(&text).with_context(|| cannot("read", &path))?;
        Ok(Some(record))
    }

    /// Writes the record into a folder.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn save(&self, folder: &Path) -> Result<()> {
        let path = folder.join(FILE);
        let text = serde_json::to_vec_pretty(self)?;
        std::fs::write(&path, text).with_context(|| cannot("write", &path))
    }

    pub(super) fn remove(folder: &Path) -> Result<()> {
        let path = folder.join(FILE);
        std::fs::remove_file(&path).with_context(|| cannot("remove", &path))
    }
}

/// An exclusive lock on a file, held until it is dropped or its process dies.
#[derive(Debug)]
pub struct FileLock(#[expect(dead_code, reason = "an open file holds the lock")] File);

impl FileLock {
    /// Takes the lock if nobody has it.
    ///
    /// # Errors
    /// When the file cannot be opened or locked for another reason.
    pub fn try_take(path: &Path) -> Result<Option<Self>> {
        let file = File::options()
            .create(true)
            .append(true)
            .open(path)
            .with_context(|| cannot("open", path))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error).with_context(|| cannot("lock", path)),
        }
    }

    /// Waits for the lock.
    ///
    /// # Errors
    /// When somebody else holds it for longer than a quarter of an hour.
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

fn cannot(verb: &str, path: &Path) -> String {
    format!("cannot {verb} {}", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn record_is_read_as_it_was_written_until_it_is_removed() {
        let folder = tempfile::tempdir().expect("a folder");
        let record = Record {
            name: "dsjob".to_owned(),
            nodes: 3,
            provider: Provider::Podman,
            image: "kindest/node:v1.33.0".to_owned(),
            kind: PathBuf::from("/usr/bin/kind"),
            kubectl: PathBuf::from("/usr/bin/kubectl"),
            kept: true,
        };
        assert_eq!(Record::load(folder.path()).expect("none"), None);
        record.save(folder.path()).expect("saved");
        assert_eq!(Record::load(folder.path()).expect("one"), Some(record));
        Record::remove(folder.path()).expect("removed");
        assert_eq!(Record::load(folder.path()).expect("none"), None);
    }

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
