//! Binaries that were built before, found again by a hash of all that they are made of.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use fs_err as fs;
use harness::paths;
use harness::process::LogDir;
use serde::Deserialize;

use crate::cargo::cargo;
use crate::digest::Hash;
use crate::offline::provision::cache_dir;

/// Builds that are kept; the oldest goes first.
const KEPT: usize = 8;

/// What binaries of packages are made of, besides the sources of these.
#[derive(Debug)]
pub(super) struct Build<'a> {
    pub(super) packages: &'a [&'a str],
    pub(super) profile: &'a str,
    pub(super) target: &'a str,
    /// The commit of the compiler.
    pub(super) compiler: &'a str,
    /// Its flags, but for those that take this machine's paths out of what it writes.
    pub(super) flags: &'a [String],
}

impl Build<'_> {
    /// The folder of these binaries, which may not be there yet.
    pub(super) async fn folder(&self, logs: &LogDir) -> Result<PathBuf> {
        let metadata = cargo().args(["metadata", "--no-deps", "--format-version", "1", "--locked"]);
        let metadata = metadata.name("cargo-metadata").run(logs).await?.text();
        let metadata: Metadata = serde_json::from_str(&metadata).context("cargo metadata")?;
        let mut hash = Hash::of([self.profile, self.target, self.compiler]);
        for text in self.packages.iter().copied().chain(self.flags.iter().map(String::as_str)) {
            hash = hash.and(text);
        }
        for path in metadata.sources(self.packages)? {
            let content = fs::read(&path)?;
            let name = path.strip_prefix(paths::workspace()).unwrap_or(&path);
            hash = hash.and(name.as_os_str().as_encoded_bytes()).and(content);
        }
        Ok(cache_dir()?.join("binaries").join(hash.short()))
    }

    /// Whether the binaries are in their folder.
    pub(super) fn is_in(&self, folder: &Path) -> bool {
        self.packages.iter().all(|package| folder.join(package).is_file())
    }

    /// Keeps the binaries of `built` in their folder, and few others.
    pub(super) fn keep(&self, built: &Path, folder: &Path) -> Result<()> {
        let parent = folder.parent().context("no cache")?;
        fs::create_dir_all(parent)?;
        // Whoever looks meanwhile sees all of them, or none.
        let fresh = tempfile::tempdir_in(parent)?;
        for package in self.packages {
            fs::copy(built.join(package), fresh.path().join(package))?;
        }
        // Another process may have kept the same a moment ago.
        if !self.is_in(folder) {
            fs::rename(fresh.keep(), folder)?;
        }
        prune(parent)
    }
}

fn prune(folder: &Path) -> Result<()> {
    let mut by_age = paths::entries(folder)?;
    by_age.sort_by_key(|path| path.metadata().and_then(|it| it.modified()).ok());
    let surplus = by_age.len().saturating_sub(KEPT);
    by_age.iter().take(surplus).try_for_each(fs::remove_dir_all)?;
    Ok(())
}

/// What `cargo metadata` tells of the workspace.
#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    manifest_path: PathBuf,
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    kind: Option<String>,
    path: Option<PathBuf>,
}

impl Metadata {
    /// The files of these packages, of those of the workspace that they depend on, and of the workspace itself.
    fn sources(&self, packages: &[&str]) -> Result<BTreeSet<PathBuf>> {
        let by_name: BTreeMap<&str, &Package> =
            self.packages.iter().map(|package| (package.name.as_str(), package)).collect();
        let workspace = paths::workspace();
        let mut files: BTreeSet<PathBuf> =
            ["Cargo.toml", "Cargo.lock", ".cargo/config.toml", "rust-toolchain.toml"]
                .map(|name| workspace.join(name))
                .into_iter()
                .filter(|path| path.is_file())
                .collect();
        let mut todo = packages.to_vec();
        let mut seen = BTreeSet::new();
        while let Some(name) = todo.pop().filter(|name| seen.insert(*name)) {
            let package = by_name.get(name).with_context(|| format!("no package {name}"))?;
            let folder = package.manifest_path.parent().context("a manifest in no folder")?;
            files.insert(package.manifest_path.clone());
            files.extend(paths::files(folder.join("src"))?);
            let build_script = folder.join("build.rs");
            files.extend(Some(build_script).filter(|path| path.is_file()));
            let own = package.dependencies.iter().filter(|dependency| {
                dependency.path.is_some() && dependency.kind.as_deref() != Some("dev")
            });
            todo.extend(own.map(|dependency| dependency.name.as_str()));
        }
        Ok(files)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_changed_source_or_flag_is_another_build() {
        let folder = tempfile::tempdir().unwrap();
        let logs = LogDir::create(folder.path().join("logs")).unwrap();
        let build = |packages, profile| Build {
            packages,
            profile,
            target: "x86_64-unknown-linux-gnu",
            compiler: "abc",
            flags: &[],
        };
        let operator = build(&["operator"][..], "release").folder(&logs).await.unwrap();
        assert_eq!(build(&["operator"], "release").folder(&logs).await.unwrap(), operator);
        assert_ne!(build(&["operator"], "quick").folder(&logs).await.unwrap(), operator);
        assert_ne!(build(&["terminator"], "release").folder(&logs).await.unwrap(), operator);
    }

    #[tokio::test]
    async fn sources_are_those_of_all_crates_of_the_workspace_that_go_in() {
        let folder = tempfile::tempdir().unwrap();
        let logs = LogDir::create(folder.path().join("logs")).unwrap();
        let metadata = cargo().args(["metadata", "--no-deps", "--format-version", "1"]);
        let metadata = metadata.run(&logs).await.unwrap().text();
        let metadata: Metadata = serde_json::from_str(&metadata).unwrap();
        let sources = metadata.sources(&["operator"]).unwrap();
        let has = |path: &str| sources.contains(&paths::workspace().join(path));
        for path in ["Cargo.lock", "operator/src/main.rs", "api/src/lib.rs", "runtime/Cargo.toml"] {
            assert!(has(path), "{path}");
        }
        assert!(!has("terminator/src/main.rs") && !has("xtask/src/main.rs"));
    }

    #[test]
    fn few_builds_are_kept_and_each_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let built = folder.path().join("built");
        fs::create_dir(&built).unwrap();
        fs::write(built.join("operator"), "binary").unwrap();
        let build = Build {
            packages: &["operator"],
            profile: "release",
            target: "t",
            compiler: "c",
            flags: &[],
        };
        let cache = folder.path().join("cache");
        for number in 0..KEPT + 2 {
            build.keep(&built, &cache.join(number.to_string())).unwrap();
        }
        assert_eq!(fs::read_dir(&cache).unwrap().count(), KEPT);
        assert!(build.is_in(&cache.join((KEPT + 1).to_string())));
        assert!(!build.is_in(&cache.join("0")));
    }
}
