//! What runs the nodes of a cluster: Docker, or Podman with the same commands.

use std::fmt;

use anyhow::{Context as _, Result};
use clap::ValueEnum;
use harness::images::full_name;
use harness::process::{Cmd, LogDir};
use serde::{Deserialize, Serialize};

/// What runs the nodes of a cluster. Images are built by Docker either way.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Provider {
    /// kind's default.
    #[default]
    Docker,
    /// Without a daemon; kind calls its support an experiment.
    Podman,
}

impl Provider {
    /// A command of it.
    pub fn cmd(self) -> Cmd {
        Cmd::new(self.to_string())
    }

    /// The template by which it lists the names of containers, each with the value of a label.
    pub(super) fn names_with_label(self, label: &str) -> String {
        match self {
            Self::Docker => format!("{{{{.Names}}}} {{{{.Label \"{label}\"}}}}"),
            Self::Podman => format!("{{{{.Names}}}} {{{{index .Labels \"{label}\"}}}}"),
        }
    }

    /// Gives it an image of the local Docker daemon. What Docker does not have, kind will pull.
    pub(super) async fn take(self, image: &str, logs: &LogDir) -> Result<()> {
        let has =
            |provider: Self, image| provider.cmd().args(["image", "inspect", image]).run(logs);
        // The name by which kind asks Podman for an image that names no registry.
        let full = full_name(image);
        if self == Self::Docker
            || has(self, &full).await.is_ok()
            || has(Self::Docker, image).await.is_err()
        {
            return Ok(());
        }
        let archive = tempfile::NamedTempFile::new().context("cannot make a temporary file")?;
        let save = Self::Docker.cmd().args(["save", "--output"]).arg(archive.path()).arg(image);
        save.run(logs).await?;
        self.cmd().args(["load", "--input"]).arg(archive.path()).run(logs).await?;
        self.cmd().args(["tag", image, &full]).run(logs).await?;
        Ok(())
    }
}

/// The name of its program, which is also kind's name of it.
impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}
