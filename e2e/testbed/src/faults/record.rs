//! What is broken, on disk: a file for each fault in a folder of the cluster's.

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use fs_err as fs;
use harness::paths::{entries, if_there};
use serde::{Deserialize, Serialize};

use super::fault::Fault;

/// The folder of the records, in the cluster's.
const FOLDER: &str = "faults";

/// A fault on record.
#[derive(Debug)]
pub(super) struct Record {
    path: PathBuf,
    pub(super) content: Content,
}

#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Content {
    #[serde(rename = "kind")]
    pub(super) fault: Fault,
    pub(super) node: String,
}

impl Record {
    /// Puts a fault on record, after those that are there.
    pub(super) fn write(cluster: &Path, fault: Fault, node: &str) -> Result<Self> {
        let folder = cluster.join(FOLDER);
        fs::create_dir_all(&folder)?;
        let last = paths(&folder)?.iter().filter_map(|path| number(path)).max();
        let number = last.map_or(1, |last| last + 1);
        let path = folder.join(format!("{number:03}-{fault}-{node}.json"));
        let content = Content { fault, node: node.to_owned() };
        fs::write(&path, serde_json::to_vec(&content)?)?;
        Ok(Self { path, content })
    }

    /// All faults on record, in the order in which they were put there.
    pub(super) fn all(cluster: &Path) -> Result<Vec<Self>> {
        paths(&cluster.join(FOLDER))?
            .into_iter()
            .map(|path| {
                let text = fs::read(&path)?;
                let content = serde_json::from_slice(&text)
                    .with_context(|| format!("{} is no record", path.display()))?;
                Ok(Self { path, content })
            })
            .collect()
    }

    /// Takes the fault off the record; another process may have done so before.
    pub(super) fn remove(&self) -> Result<()> {
        if_there(fs::remove_file(&self.path))?;
        Ok(())
    }
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.content.fault, self.content.node)
    }
}

/// The files of a folder, sorted by number; none if there is no such folder.
fn paths(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut paths = if_there(entries(folder))?.unwrap_or_default();
    paths.retain(|path| number(path).is_some());
    paths.sort_by_key(|path| number(path));
    Ok(paths)
}

fn number(path: &Path) -> Option<u32> {
    path.file_name()?.to_str()?.split('-').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recorded(cluster: &Path) -> Vec<(Fault, String)> {
        let all = Record::all(cluster).expect("read");
        all.iter().map(|record| (record.content.fault, record.content.node.clone())).collect()
    }

    #[test]
    fn faults_are_on_record_in_order_until_they_are_removed() {
        let cluster = tempfile::tempdir().expect("a folder");
        let cluster = cluster.path();
        assert_eq!(recorded(cluster), []);
        let first = Record::write(cluster, Fault::NodeFrozen, "worker").expect("written");
        Record::write(cluster, Fault::ApiServerOut, "control-plane").expect("written");
        let down = (Fault::ApiServerOut, "control-plane".to_owned());
        assert_eq!(recorded(cluster), [(Fault::NodeFrozen, "worker".to_owned()), down.clone()]);
        first.remove().expect("removed");
        first.remove().expect("removed already");
        Record::write(cluster, Fault::NodeDown, "worker").expect("written");
        assert_eq!(recorded(cluster), [down, (Fault::NodeDown, "worker".to_owned())]);
    }
}
