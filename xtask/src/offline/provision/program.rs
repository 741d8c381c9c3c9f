//! Programs that are a file each: the one on `PATH` is used, else one is built from its Go module or fetched from Debian.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use fs_err::tokio as fs;
use harness::paths::if_there;
use harness::process::Cmd;

use super::apt;
use super::cache::cache_dir;
use super::go::{self, Module};
use super::host::Host;
use super::permission::Provision;

/// The release of Debian whose packages are used: Go programs run on any Debian.
const RELEASE: &str = "trixie";

/// Makes clusters of containers.
pub(crate) const KIND: Program = Program {
    name: "kind",
    cure: "install kind (https://kind.sigs.k8s.io/docs/user/quick-start) into a folder of PATH",
    module: Some("hack/tools/kind"),
};

/// Talks to clusters.
pub(crate) const KUBECTL: Program = Program {
    name: "kubectl",
    cure: "install kubectl (https://kubernetes.io/docs/tasks/tools) into a folder of PATH",
    module: None,
};

/// Checks metrics, and the rules of alerts.
pub(crate) const PROMTOOL: Program = Program {
    name: "promtool",
    cure: "install promtool, which comes with Prometheus (https://prometheus.io/download), into a folder of PATH",
    module: None,
};

/// Installs charts.
pub(crate) const HELM: Program = Program {
    name: "helm",
    cure: "install helm (https://helm.sh/docs/intro/install) into a folder of PATH",
    module: Some("hack/tools/helm"),
};

/// Pushes image layouts to registries.
pub(crate) const CRANE: Program = Program {
    name: "crane",
    cure: "install crane (https://github.com/google/go-containerregistry) into a folder of PATH",
    module: Some("hack/tools/crane"),
};

/// A program, which Debian has in a package of the same name.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Program {
    pub(crate) name: &'static str,
    /// What to do where it cannot be provided.
    pub(crate) cure: &'static str,
    /// The folder of a Go module whose tools it is one of, in the workspace.
    module: Option<&'static str>,
}

impl Program {
    /// The one that is there: on `PATH`, or built or fetched before.
    pub(crate) fn find(self) -> Option<PathBuf> {
        let built = || Module::read(self.module?).ok()?.built().map(|it| it.join(self.name));
        let fetched = || self.folder().ok().map(|folder| self.path_in(&folder));
        which::which(self.name)
            .ok()
            .or_else(built)
            .or_else(|| fetched().filter(|path| path.exists()))
    }

    /// The path of one that works here. What is fetched goes into the cache.
    pub(crate) async fn ensure(self, provision: &Provision) -> Result<PathBuf> {
        if let Some(path) = self.find() {
            return Ok(path);
        }
        match self.module {
            Some(_) if go::check_toolchain(provision.logs()).await.is_ok() => {
                self.build(provision).await
            }
            _ => self.fetch(provision).await,
        }
    }

    /// The path of the one of its Go module, whatever `PATH` holds.
    pub(crate) async fn build(self, provision: &Provision) -> Result<PathBuf> {
        let module = self.module.with_context(|| format!("{} is not built here", self.name))?;
        Ok(Module::read(module)?.build(provision, None).await?.join(self.name))
    }

    async fn fetch(self, provision: &Provision) -> Result<PathBuf> {
        let Self { name, cure, .. } = self;
        let host = Host::detect();
        if !host.is_debian() {
            bail!("{name} is missing, and {} is not Debian to fetch it from; {cure}", host.name);
        }
        let folder = self.folder()?;
        let change = format!("fetching Debian's package {name} into {}", folder.display());
        provision.announce(&change, cure)?;
        let work = tempfile::tempdir().context("cannot make a temporary folder")?;
        let archive = apt::download(provision, name, RELEASE, work.path())
            .await
            .with_context(|| format!("cannot fetch Debian's package {name}; {cure}"))?;
        // Unpacked beside its place and moved there whole, so that a broken attempt leaves nothing.
        let fresh = folder.with_extension("new");
        if_there(fs::remove_dir_all(&fresh).await)?;
        fs::create_dir_all(&fresh).await?;
        Cmd::new("dpkg-deb")
            .arg("--extract")
            .arg(archive)
            .arg(&fresh)
            .run(provision.logs())
            .await?;
        if_there(fs::remove_dir_all(&folder).await)?;
        fs::rename(&fresh, &folder).await?;
        Ok(self.path_in(&folder))
    }

    /// Where the package is unpacked.
    fn folder(self) -> Result<PathBuf> {
        Ok(cache_dir()?.join("debian").join(self.name))
    }

    fn path_in(self, folder: &Path) -> PathBuf {
        folder.join("usr/bin").join(self.name)
    }
}
