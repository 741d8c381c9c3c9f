//! The record of a cluster on disk.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use harness::paths::if_there;
use serde::{Deserialize, Serialize};

use super::provider::Provider;

/// The file in a cluster's folder that holds its [`Record`].
const FILE: &str = "cluster.json";

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
    pub fn load(folder: &Path) -> Result<Option<Self>> {
        let path = folder.join(FILE);
        let Some(text) = if_there(fs_err::read(&path))? else { return Ok(None) };
        serde_json::from_slice(&text).with_context(|| format!("{} is no record", path.display()))
    }

    /// Writes the record into a folder.
    pub fn save(&self, folder: &Path) -> Result<()> {
        let text = serde_json::to_vec_pretty(self)?;
        Ok(fs_err::write(folder.join(FILE), text)?)
    }

    pub(super) fn remove(folder: &Path) -> Result<()> {
        Ok(fs_err::remove_file(folder.join(FILE))?)
    }
}
