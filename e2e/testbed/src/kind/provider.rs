//! What runs the nodes of a cluster: Docker, or Podman with the same commands.

use std::fmt;
use std::str::FromStr;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use harness::process::{Cmd, LogDir};

/// What runs the nodes of a cluster. Images are built by Docker either way.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Provider {
    /// kind's default.
    #[default]
    Docker,
    /// Without a daemon; kind calls its support an experiment.
    Podman,
}

/// All there are.
const ALL: [Provider; 2] = [Provider::Docker, Provider::Podman];

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
        let wanted = full_name(image).unwrap_or_else(|| image.to_owned());
        if self == Self::Docker
            || has(self, &wanted).await.is_ok()
            || has(Self::Docker, image).await.is_err()
        {
            return Ok(());
        }
        let archive = tempfile::NamedTempFile::new().context("cannot make a temporary file")?;
        let save = Self::Docker.cmd().args(["save", "--output"]).arg(archive.path()).arg(image);
        save.run(logs).await?;
        self.cmd().args(["load", "--input"]).arg(archive.path()).run(logs).await?;
        if let Some(full) = full_name(image) {
            self.cmd().args(["tag", image, &full]).run(logs).await?;
        }
        Ok(())
    }
}

/// The name by which kind asks Podman for an image that names no registry.
fn full_name(image: &str) -> Option<String> {
    let first = image.split_once('/').map_or("", |(first, _)| first);
    let has_registry = first == "localhost" || first.contains(['.', ':']);
    (!has_registry).then(|| format!("docker.io/{image}"))
}

/// The name of its program, which is also kind's name of it.
impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Docker => "docker",
            Self::Podman => "podman",
        })
    }
}

impl FromStr for Provider {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = ALL.into_iter().find(|provider| provider.to_string() == text);
        found.ok_or_else(|| "docker or podman is expected".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registry_that_is_not_told_is_dockers() {
        assert_eq!(full_name("a/node:v1").as_deref(), Some("docker.io/a/node:v1"));
        assert_eq!(full_name("node:v1").as_deref(), Some("docker.io/node:v1"));
        for whole in ["localhost/a:v1", "registry.example.org/a:v1", "registry:5000/a:v1"] {
            assert_eq!(full_name(whole), None);
        }
    }

    #[test]
    fn providers_are_named_on_the_command_line_as_they_are_shown() {
        for provider in ALL {
            assert_eq!(provider.to_string().parse(), Ok(provider));
        }
        assert!("containerd".parse::<Provider>().is_err());
    }
}
