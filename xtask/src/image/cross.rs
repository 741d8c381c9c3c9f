//! Builds for another processor than that of this machine.
//!
//! They take Rust's library for it, and a compiler of C, which links too.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use harness::process::Cmd;

use super::architecture::Architecture;
use crate::offline::provision::{Provision, apt};

/// A library of 30 MB, over a slow connection.
const DOWNLOAD_TIMEOUT: Duration = Duration::from_secs(10 * 60);

/// Sees that library and compiler are there, or gets them.
///
/// The library comes by rustup, the compiler from Debian.
pub(super) async fn ensure(
    architecture: Architecture,
    target: &str,
    sysroot: &Path,
    provision: &Provision,
) -> Result<()> {
    if !sysroot.join("lib/rustlib").join(target).join("lib").is_dir() {
        add_target(target, provision).await?;
    }
    let compiler = compiler(architecture);
    if which::which(&compiler).is_err() {
        let packages = packages(architecture);
        let packages: Vec<_> = packages.iter().map(String::as_str).collect();
        let purpose = format!("to build for {}", architecture.name());
        apt::install(provision, &packages, &purpose).await?;
    }
    if which::which(&compiler).is_err() {
        bail!("there is no {compiler} to build for {}", architecture.name());
    }
    Ok(())
}

/// Gets Rust's library for a target.
pub(crate) async fn add_target(target: &str, provision: &Provision) -> Result<()> {
    let cure = format!("`rustup target add {target}` provides it");
    provision.announce(&format!("adding Rust's library for {target}"), &cure)?;
    Cmd::new("rustup")
        .args(["target", "add", target])
        .timeout(DOWNLOAD_TIMEOUT)
        .run(provision.logs())
        .await
        .with_context(|| format!("Rust's library for {target} is missing; {cure}"))?;
    Ok(())
}

/// The compiler of C, which links too.
fn compiler(architecture: Architecture) -> String {
    format!("{}-linux-gnu-gcc", architecture.machine())
}

/// Debian's packages with the compiler and a static C library.
fn packages(architecture: Architecture) -> [String; 2] {
    let machine = architecture.machine().replace('_', "-");
    [format!("gcc-{machine}-linux-gnu"), format!("libc6-dev-{}-cross", architecture.name())]
}

/// The variables by which cargo, and crates that compile C, find the compiler.
pub(super) fn environment(architecture: Architecture, target: &str) -> [(String, String); 2] {
    let name = target.replace('-', "_");
    let compiler = compiler(architecture);
    [
        (format!("CARGO_TARGET_{}_LINKER", name.to_uppercase()), compiler.clone()),
        (format!("CC_{name}"), compiler),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_debian_and_cargo() {
        assert_eq!(
            packages(Architecture::Arm64),
            ["gcc-aarch64-linux-gnu", "libc6-dev-arm64-cross"]
        );
        assert_eq!(
            packages(Architecture::Amd64),
            ["gcc-x86-64-linux-gnu", "libc6-dev-amd64-cross"]
        );
        let variables = environment(Architecture::Arm64, "aarch64-unknown-linux-gnu");
        let names = variables.map(|(name, value)| format!("{name}={value}"));
        assert_eq!(
            names,
            [
                "CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc",
                "CC_aarch64_unknown_linux_gnu=aarch64-linux-gnu-gcc",
            ]
        );
    }
}
