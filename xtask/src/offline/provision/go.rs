//! Programs built from Go modules: a go.mod of ours names what to build, its go.sum what that is made of.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use fs_err::tokio as fs;
use harness::file_lock::FileLock;
use harness::paths::{self, if_there};
use harness::process::{Cmd, LogDir};
use harness::progress::Phase;
use tokio::sync::mpsc;

use super::cache::cache_dir;
use super::permission::Provision;
use crate::digest::Hash;

/// Kubernetes takes eight minutes on two processors that do nothing else.
const TIMEOUT: Duration = Duration::from_secs(60 * 60);

/// The minor version of the oldest Go 1.x that builds all modules: Kubernetes 1.37 asks for it.
const OLDEST: u32 = 26;

/// What to do where no such Go is.
pub(crate) const CURE: &str =
    "install Go 1.26 or later (https://go.dev/doc/install) into a folder of PATH";

/// Goes into every hash. Raise it when a change of this file must build all programs again.
const REVISION: &str = "1";

/// A folder with a `go.mod` whose `tool` block names the programs to build, its `go.sum`, and own programs.
#[derive(Clone, Debug)]
#[must_use]
pub(crate) struct Module {
    folder: PathBuf,
    go_mod: String,
    go_sum: String,
    /// The programs of the module itself, if it has some.
    sources: Vec<String>,
    ldflags: String,
    tags: &'static str,
}

impl Module {
    /// Reads the module in a folder of the workspace.
    pub(crate) fn read(folder: impl AsRef<Path>) -> Result<Self> {
        let folder = paths::workspace().join(folder);
        let read = |name| fs_err::read_to_string(folder.join(name));
        let (go_mod, go_sum) = (read("go.mod")?, read("go.sum")?);
        let mut sources = paths::entries(&folder)?;
        sources.retain(|file| file.extension().is_some_and(|extension| extension == "go"));
        let sources = sources.into_iter().map(fs_err::read_to_string).collect::<Result<_, _>>()?;
        Ok(Self { folder, go_mod, go_sum, sources, ldflags: "-s -w".to_owned(), tags: "" })
    }

    /// Sets string variables of the programs: `-X package.variable=value`.
    pub(crate) fn stamp(mut self, variable: &str, value: &str) -> Self {
        self.ldflags += &format!(" -X {variable}={value}");
        self
    }

    /// Sets build tags, separated by commas.
    pub(crate) fn tags(mut self, tags: &'static str) -> Self {
        self.tags = tags;
        self
    }

    /// The version of a module that this one requires, for example `v1.37.2`.
    pub(crate) fn version_of(&self, module: &str) -> Result<String> {
        required(&self.go_mod, module).with_context(|| {
            format!("{} does not require {module}", self.folder.join("go.mod").display())
        })
    }

    /// A hash of everything that makes the programs, in 12 hexadecimal digits.
    pub(crate) fn hash(&self) -> String {
        let hash = Hash::of([REVISION, &self.go_mod, &self.go_sum, &self.ldflags, self.tags]);
        self.sources.iter().fold(hash, |hash, source| hash.and(source)).short()
    }

    /// The folder of the programs, if they were built before.
    pub(crate) fn built(&self) -> Option<PathBuf> {
        self.output().ok().filter(|folder| folder.is_dir())
    }

    /// Builds the programs unless that was done before, and returns their folder.
    pub(crate) async fn build(
        &self,
        provision: &Provision,
        phase: Option<&Phase>,
    ) -> Result<PathBuf> {
        let output = self.output()?;
        if output.is_dir() {
            return Ok(output);
        }
        if let Some(parent) = output.parent() {
            fs::create_dir_all(parent).await?;
        }
        let _lock = FileLock::take(&output.with_extension("lock")).await?;
        if output.is_dir() {
            return Ok(output);
        }
        check_toolchain(provision.logs()).await?;
        // Built beside its place and moved there whole, so that a broken build leaves nothing.
        let fresh = output.with_extension("new");
        if_there(fs::remove_dir_all(&fresh).await)?;
        self.compile(&fresh, provision, phase).await.with_context(|| {
            format!(
                "cannot build the Go programs of {}; see that `go mod download` works there",
                self.folder.display()
            )
        })?;
        fs::rename(&fresh, &output).await?;
        Ok(output)
    }

    async fn compile(
        &self,
        output: &Path,
        provision: &Provision,
        phase: Option<&Phase>,
    ) -> Result<()> {
        let name = self.name();
        let show = |text: fmt::Arguments<'_>| {
            if let Some(phase) = phase {
                phase.detail(text);
            }
        };
        show(format_args!("{name}: fetching Go modules"));
        // Cached packages are not compiled, so those that are stale are the ones to wait for.
        let stale = self.go("list").args(["-deps", "-f", "{{if .Stale}}{{.ImportPath}}{{end}}"]);
        let stale = stale.arg("tool").name(format!("go-list-{name}")).run(provision.logs()).await?;
        let total = stale.text().lines().count();
        let (lines, mut compiled) = mpsc::unbounded_channel();
        let build = self.go("build").args(["-v", "-o"]).arg(output.join("")).arg("tool");
        let build =
            build.name(format!("go-build-{name}")).stderr_lines(lines).run(provision.logs());
        let mut build = std::pin::pin!(build);
        let mut count = 0_usize;
        loop {
            tokio::select! {
                result = &mut build => {
                    result?;
                    return Ok(());
                }
                Some(_) = compiled.recv() => {
                    count += 1;
                    show(format_args!("{name}: package {count} of {total}"));
                }
            }
        }
    }

    /// The `go` command with all that a build depends on.
    fn go(&self, verb: &str) -> Cmd {
        let mut go = Cmd::new("go")
            .arg(verb)
            .args(["-trimpath", "-ldflags", &self.ldflags])
            .cwd(&self.folder)
            .env("CGO_ENABLED", "0")
            .env("GOWORK", "off")
            .timeout(TIMEOUT);
        if !self.tags.is_empty() {
            go = go.args(["-tags", self.tags]);
        }
        go
    }

    /// The last part of the name in `go.mod`.
    fn name(&self) -> &str {
        let line = self.go_mod.lines().find_map(|line| line.strip_prefix("module "));
        line.and_then(|path| path.trim().rsplit('/').next()).unwrap_or("programs")
    }

    fn output(&self) -> Result<PathBuf> {
        Ok(cache_dir()?.join("go").join(format!("{}-{}", self.name(), self.hash())))
    }
}

/// The version in a line `module version` of a `require` block.
fn required(go_mod: &str, module: &str) -> Option<String> {
    go_mod.lines().find_map(|line| {
        let line = line.trim_start().trim_start_matches("require ");
        let mut words = line.split_whitespace();
        (words.next()? == module).then(|| words.next())?.map(str::to_owned)
    })
}

/// Checks that the Go on `PATH` builds the modules.
pub(crate) async fn check_toolchain(logs: &LogDir) -> Result<()> {
    match toolchain(logs).await {
        None => bail!("Go is missing, which builds node images where no registry answers; {CURE}"),
        Some(version) if is_recent(&version) => Ok(()),
        Some(version) => bail!("{version} is too old to build current Kubernetes; {CURE}"),
    }
}

/// The version of the Go on `PATH`, for example `go1.26.8`.
pub(crate) async fn toolchain(logs: &LogDir) -> Option<String> {
    let version = Cmd::new("go").args(["env", "GOVERSION"]).run(logs).await;
    version.ok().map(|output| output.text())
}

/// Whether a version of Go builds the modules.
pub(crate) fn is_recent(version: &str) -> bool {
    // The minor version in `go1.26.8`.
    let rest = version.strip_prefix("go1.").unwrap_or_default();
    let minor = rest.split(|c: char| !c.is_ascii_digit()).next().and_then(|it| it.parse().ok());
    minor.is_some_and(|minor: u32| minor >= OLDEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn required_version_is_read_from_either_form() {
        let go_mod = "module a\n\nrequire k8s.io/kubernetes v1.37.2\n\nrequire (\n\tx/y v0.1.0 // indirect\n)\n";
        assert_eq!(required(go_mod, "k8s.io/kubernetes").as_deref(), Some("v1.37.2"));
        assert_eq!(required(go_mod, "x/y").as_deref(), Some("v0.1.0"));
        assert_eq!(required(go_mod, "x"), None);
    }

    #[test]
    fn old_go_is_not_recent() {
        for (version, recent) in
            [("go1.19.8", false), ("go1.26rc1", true), ("go1.26.8", true), ("devel", false)]
        {
            assert_eq!(is_recent(version), recent, "{version}");
        }
    }

    #[test]
    fn other_sources_or_stamps_make_another_build() -> Result<()> {
        let module = Module::read("hack/tools/gitops")?;
        let mut edited = module.clone();
        edited.sources.iter_mut().for_each(|source| source.push('\n'));
        let stamped = module.clone().stamp("main.version", "v1");
        assert!(![edited.hash(), stamped.hash()].contains(&module.hash()));
        Ok(())
    }
}
