//! What the image builders ask of Docker.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use harness::process::{Cmd, CommandError, LogDir};
use harness::progress::Phase;

/// A node image has a gigabyte. Docker itself gives up a silent registry.
const PULL_TIMEOUT: Duration = Duration::from_secs(15 * 60);

/// What takes longest is fetching packages.
const BUILD_TIMEOUT: Duration = Duration::from_secs(20 * 60);

/// What the daemon says of an image: `Id`, the hash of its content, or `Size`.
pub(crate) async fn inspect(
    reference: &str,
    what: &str,
    logs: &LogDir,
) -> Result<String, CommandError> {
    let format = format!("{{{{.{what}}}}}");
    let inspect = Cmd::new("docker").args(["image", "inspect", "--format", &format, reference]);
    Ok(inspect.run(logs).await?.text())
}

/// Whether the daemon has an image.
pub(super) async fn has(reference: &str, logs: &LogDir) -> bool {
    inspect(reference, "Id", logs).await.is_ok()
}

/// Pulls an image.
pub(super) async fn pull(
    reference: &str,
    logs: &LogDir,
    phase: &Phase,
) -> Result<(), CommandError> {
    phase.detail(format_args!("docker pull {reference}"));
    Cmd::new("docker")
        .args(["pull", "--quiet", reference])
        .timeout(PULL_TIMEOUT)
        .run(logs)
        .await
        .map(drop)
}

/// Pulls an image that the daemon does not have.
pub(super) async fn pull_if_absent(
    reference: &str,
    logs: &LogDir,
    phase: &Phase,
) -> Result<(), CommandError> {
    if has(reference, logs).await {
        return Ok(());
    }
    pull(reference, logs, phase).await
}

/// A `docker build`.
pub(crate) struct Build {
    context: PathBuf,
    dockerfile: PathBuf,
    target: Option<&'static str>,
    arguments: Vec<String>,
}

impl Build {
    /// A build of the last stage of `dockerfile`: a path, or a name in `context`.
    pub(crate) fn new(context: impl Into<PathBuf>, dockerfile: impl AsRef<Path>) -> Self {
        let context = context.into();
        let dockerfile = context.join(dockerfile);
        Self { context, dockerfile, target: None, arguments: Vec::new() }
    }

    /// Builds this stage instead of the last one.
    pub(super) fn target(mut self, stage: &'static str) -> Self {
        self.target = Some(stage);
        self
    }

    /// Sets an `ARG`.
    pub(crate) fn argument(mut self, name: &str, value: &str) -> Self {
        self.arguments.push(format!("{name}={value}"));
        self
    }

    /// Runs the build, and names the result; without a name it fills Docker's cache.
    pub(crate) async fn run(self, reference: Option<&str>, logs: &LogDir) -> Result<()> {
        let name =
            reference.or(self.target).unwrap_or("stage").rsplit('/').next().unwrap_or_default();
        let mut build = Cmd::new("docker")
            // The host's network: a mirror may be reachable from there only.
            .args(["build", "--network=host"])
            .arg("--file")
            .arg(&self.dockerfile)
            .name(format!("docker-build-{name}"))
            .timeout(BUILD_TIMEOUT);
        if let Some(target) = self.target {
            build = build.args(["--target", target]);
        }
        if let Some(reference) = reference {
            build = build.args(["--tag", reference]);
        }
        for argument in &self.arguments {
            build = build.args(["--build-arg", argument]);
        }
        // Without a value Docker takes what the environment holds, if anything.
        for proxy in ["http_proxy", "https_proxy", "no_proxy"] {
            build = build.args(["--build-arg", proxy]);
        }
        build.arg(&self.context).run(logs).await?;
        Ok(())
    }
}

/// Saves images into one archive.
pub(super) async fn save(references: &[String], archive: &Path, logs: &LogDir) -> Result<()> {
    Cmd::new("docker").args(["save", "--output"]).arg(archive).args(references).run(logs).await?;
    Ok(())
}
