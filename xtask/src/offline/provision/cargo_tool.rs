//! Cargo's own tools, built from their sources on crates.io.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::cache::cache_dir;
use super::permission::Provision;
use crate::cargo::cargo;

/// Long enough for a slow machine: two processors take two minutes.
const TIMEOUT: Duration = Duration::from_secs(30 * 60);

/// Checks the dependencies against `deny.toml`.
pub(crate) const DENY: CargoTool = CargoTool { name: "cargo-deny", version: "0.20.2" };

/// Lists what a binary is made of.
pub(crate) const CYCLONEDX: CargoTool = CargoTool { name: "cargo-cyclonedx", version: "0.5.9" };

/// A crate whose binary has its name, in one version: checks are to be the same.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CargoTool {
    name: &'static str,
    version: &'static str,
}

impl CargoTool {
    /// The path of the binary. It is built once, and kept in the cache.
    pub(crate) async fn ensure(self, provision: &Provision) -> Result<PathBuf> {
        let Self { name, version } = self;
        let root = cache_dir()?.join("cargo").join(format!("{name}-{version}"));
        let binary = root.join("bin").join(name);
        if binary.exists() {
            return Ok(binary);
        }
        let install = format!("cargo install --locked --version ={version} {name}");
        let cure = format!("`{install} --root {}` provides it", root.display());
        provision.announce(&format!("building {name} {version} into {}", root.display()), &cure)?;
        cargo()
            .args(["install", "--locked", "--version", &format!("={version}"), name, "--root"])
            .arg(&root)
            // It runs for a second: what counts is how long the build takes.
            .arg("--debug")
            .env("CARGO_PROFILE_DEV_DEBUG", "0")
            .env("CARGO_PROFILE_DEV_OPT_LEVEL", "1")
            // Apart from the workspace's own results, and removed when done.
            .env_remove("CARGO_TARGET_DIR")
            .timeout(TIMEOUT)
            .name(name)
            .run(provision.logs())
            .await
            .with_context(|| {
                format!(
                    "cannot build {name}: get cargo to reach crates.io, or put {version} into {}",
                    binary.display()
                )
            })?;
        Ok(binary)
    }
}
