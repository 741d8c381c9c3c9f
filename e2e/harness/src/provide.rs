//! Images and programs that tests need and `cargo xtask` provides.
//!
//! The runners of scenarios and benchmarks link nothing that builds images. They start the program
//! that started them (`$XTASK provide …`), show its progress in their own, and read its answer, which
//! is JSON.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use crate::paths;
use crate::process::{Cmd, LogDir};
use crate::progress::Phase;

/// The environment variable that names the program `xtask`.
pub const XTASK: &str = "XTASK";

/// How long it may take to provide something: a first node image takes a quarter of an hour.
const TIMEOUT: Duration = Duration::from_secs(90 * 60);

/// An image in the local Docker daemon.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct Image {
    /// Its name in the local daemon.
    pub local: String,
    /// Its name in clusters.
    pub name: String,
}

impl Image {
    /// An image that has the same name in both.
    pub fn named(name: String) -> Self {
        Self { local: name.clone(), name }
    }
}

/// The image of a kind node, and the programs that fit it.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeImage {
    /// Its name.
    pub reference: String,
    /// The version of Kubernetes in it, unless the user named the image.
    pub kubernetes: Option<String>,
    /// Makes clusters of it.
    pub kind: PathBuf,
    /// Talks to them.
    pub kubectl: PathBuf,
}

/// A release in a folder, as users get it.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Release {
    /// The folder.
    pub folder: PathBuf,
    /// The images in it.
    pub images: Vec<ReleasedImage>,
    /// The package of the chart in it.
    pub chart: PathBuf,
    /// Installs charts.
    pub helm: PathBuf,
}

/// An image of a release.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ReleasedImage {
    /// Name and tag.
    pub reference: String,
    /// The digest by which manifests and chart name it.
    pub digest: String,
    /// The OCI layout of it, with all processors.
    pub layout: PathBuf,
}

/// How the binaries in the images are built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// Small images, which users get.
    Release,
    /// A short wait after a change.
    Quick,
}

impl Profile {
    /// Its name in `Cargo.toml`, and that of its folder.
    pub fn name(self) -> &'static str {
        match self {
            Self::Release => "release",
            Self::Quick => "quick",
        }
    }
}

/// The answer of a program that could not provide what was asked for.
#[derive(Debug, Deserialize, Serialize)]
pub struct Failure {
    /// What went wrong, and what to do.
    pub error: String,
}

/// Starts `xtask` to provide things.
#[derive(Clone, Debug)]
pub struct Provider {
    program: PathBuf,
    no_provision: bool,
    logs: LogDir,
}

impl Provider {
    /// The program that the environment names. With `no_provision` it changes nothing on this machine.
    pub fn new(no_provision: bool, logs: &LogDir) -> Result<Self> {
        let program = std::env::var_os(XTASK)
            .with_context(|| format!("{XTASK} is not set: start this with `cargo xtask`"))?;
        Ok(Self { program: program.into(), no_provision, logs: logs.clone() })
    }

    /// A command of `xtask`.
    pub fn xtask(&self, args: &[&str]) -> Cmd {
        let no_provision = self.no_provision.then_some("--no-provision");
        Cmd::new(&self.program)
            .args(no_provision)
            .args(args)
            .cwd(paths::workspace())
            // It kills what it has started itself.
            .end_with_sigterm()
    }

    /// Makes sure that Docker answers, and Podman is there if wanted. Returns Docker's version.
    pub async fn docker(&self, podman: bool, phase: &Phase) -> Result<String> {
        let podman = podman.then_some("--podman");
        self.ask(&[&["docker"], podman.as_slice()].concat(), phase).await
    }

    /// Builds the images of `deploy/` and of its samples.
    pub async fn images(&self, profile: Profile, phase: &Phase) -> Result<Vec<Image>> {
        self.ask(&["images", "--profile", profile.name()], phase).await
    }

    /// Provides the node image of a version of Kubernetes, and the programs for it.
    ///
    /// The version is a minor one, the newest, or that of an image by name.
    pub async fn node_image(
        &self,
        kubernetes: Option<&str>,
        image: Option<&str>,
        phase: &Phase,
    ) -> Result<NodeImage> {
        let mut what = vec!["node-image"];
        what.extend(kubernetes.into_iter().flat_map(|minor| ["--kubernetes", minor]));
        what.extend(image.into_iter().flat_map(|image| ["--node-image", image]));
        self.ask(&what, phase).await
    }

    /// Builds the image that enforces NetworkPolicies.
    pub async fn kube_router(&self, phase: &Phase) -> Result<Image> {
        self.ask(&["kube-router"], phase).await
    }

    /// Provides the image of Prometheus.
    pub async fn prometheus(&self, phase: &Phase) -> Result<Image> {
        self.ask(&["prometheus"], phase).await
    }

    /// Provides kind.
    pub async fn kind(&self, phase: &Phase) -> Result<PathBuf> {
        self.ask(&["kind"], phase).await
    }

    /// Provides the image of a control plane in a container.
    pub async fn control_plane(&self, phase: &Phase) -> Result<String> {
        self.ask(&["control-plane"], phase).await
    }

    /// Builds operator and terminator, and returns their folder.
    pub async fn binaries(&self, phase: &Phase) -> Result<PathBuf> {
        self.ask(&["binaries"], phase).await
    }

    /// Builds the kubectl plugin, and returns its path.
    pub async fn plugin(&self, profile: Profile, phase: &Phase) -> Result<PathBuf> {
        self.ask(&["plugin", "--profile", profile.name()], phase).await
    }

    /// Makes a release that is not pushed.
    pub async fn release(&self, phase: &Phase) -> Result<Release> {
        self.ask(&["release"], phase).await
    }

    async fn ask<T: DeserializeOwned>(&self, what: &[&str], phase: &Phase) -> Result<T> {
        let (sender, mut lines) = mpsc::unbounded_channel();
        let run = self
            .xtask(&[&["provide"], what].concat())
            .stderr_lines(sender)
            .timeout(TIMEOUT)
            .name(format!("provide-{}", what.first().copied().unwrap_or_default()))
            .run(&self.logs);
        let mut run = std::pin::pin!(run);
        let result = loop {
            tokio::select! {
                Some(line) = lines.recv() => phase.relay(&line),
                result = &mut run => break result,
            }
        };
        while let Ok(line) = lines.try_recv() {
            phase.relay(&line);
        }
        match result {
            Ok(output) => serde_json::from_slice(&output.stdout)
                .with_context(|| format!("no answer, see {}", output.log.display())),
            Err(error) => match serde_json::from_slice::<Failure>(&error.stdout) {
                Ok(failure) => bail!(failure.error),
                Err(_) => Err(error.into()),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::Progress;

    async fn ask(script: &str) -> Result<PathBuf> {
        let folder = tempfile::tempdir().expect("a folder");
        let program = folder.path().join("xtask");
        std::fs::write(&program, format!("#!/bin/sh\n{script}\n")).expect("written");
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&program, mode).expect("executable");
        let logs = LogDir::create(folder.path().join("logs")).expect("a log folder");
        let provider = Provider { program, no_provision: true, logs };
        Progress::new().phase("kind", async |phase| provider.kind(phase).await).await
    }

    #[tokio::test]
    async fn answer_is_what_the_program_prints() {
        let script = r#"[ "$*" = "--no-provision provide kind" ] && echo '"/bin/kind"'"#;
        assert_eq!(ask(script).await.expect("an answer"), PathBuf::from("/bin/kind"));
    }

    #[tokio::test]
    async fn failure_is_told_in_the_words_of_the_program() {
        let script = r#"echo '{"error": "kind is missing; install it"}'; exit 2"#;
        let error = ask(script).await.expect_err("a failure");
        assert_eq!(error.to_string(), "kind is missing; install it");
        let error = ask("echo broken >&2; exit 3").await.expect_err("a failure").to_string();
        assert!(error.contains("| broken"), "{error}");
    }
}
