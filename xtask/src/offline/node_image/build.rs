//! Builds the offline images, each from the one before: a minimal Debian, the Go programs, the components'
//! images, the node. What is there already is not built again.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use harness::file_lock::FileLock;
use harness::paths;
use harness::progress::Phase;

use super::debian;
use super::recipe::{APISERVER, COMPONENTS, CONTROLLER_MANAGER, Component, ETCD, Recipe};
use crate::offline::control_plane::Sources;
use crate::offline::docker::{self, Build};
use crate::offline::provision::{Provision, cache_dir};

/// What a failed build means, and what to do.
const PACKAGES: &str = "cannot install packages in an image; see that `apt-get update` works, and \
    that containers with the host's network reach what it reaches";
const IMAGE: &str = "cannot build the node image; `cargo xtask doctor` tells whether disk is short, \
    the log tells the rest";

/// The programs that a node holds beside its components, by the module that they come from.
const OF_KUBERNETES: [&str; 2] = ["kubectl", "kubelet"];
const OF_CONTAINERD: [&str; 3] = ["containerd", "containerd-shim-runc-v2", "ctr"];

/// Builds images of one recipe.
pub(super) struct Builder<'a> {
    pub(super) recipe: Recipe,
    provision: &'a Provision,
    phase: &'a Phase,
}

impl<'a> Builder<'a> {
    /// A builder of what `images/` describes for a minor version of Kubernetes.
    pub(super) fn new(minor: &str, provision: &'a Provision, phase: &'a Phase) -> Result<Self> {
        Ok(Self { recipe: Recipe::read(minor)?, provision, phase })
    }

    /// Whether the node image was built before.
    pub(super) async fn existing_node(&self) -> bool {
        docker::has(&self.recipe.node, self.provision.logs()).await
    }

    /// Builds the node image.
    pub(super) async fn node(&self) -> Result<()> {
        self.once(&self.recipe.node, async || {
            let (kubernetes, containerd, crictl) = self.programs().await?;
            self.components().await?;
            self.phase.detail("assembling the node image");
            let context = context()?;
            copy_files(&folder("node"), context.path())?;
            let programs = context.path().join("programs");
            link(&kubernetes, &OF_KUBERNETES, &programs)?;
            link(&containerd, &OF_CONTAINERD, &programs)?;
            link(&crictl, &["crictl"], &programs)?;
            link(&kubernetes, &["kubeadm"], &context.path().join("kubernetes"))?;
            let images = COMPONENTS.each_ref().map(|it| self.recipe.component(it));
            let archive = context.path().join("component-images.tar");
            docker::save(&images, &archive, self.provision.logs()).await?;
            self.node_build(context.path())
                .run(Some(&self.recipe.node), self.provision.logs())
                .await
                .context(IMAGE)
        })
        .await
    }

    /// Builds the images of a control plane.
    pub(super) async fn control_plane(&self) -> Result<()> {
        self.busybox().await?;
        self.components().await
    }

    /// Builds the base with a shell.
    pub(super) async fn busybox(&self) -> Result<()> {
        self.once(&self.recipe.busybox, async || {
            self.debian().await?;
            self.phase.detail("building busybox");
            Build::new(folder("busybox"), "Dockerfile")
                .argument("DEBIAN", &self.recipe.debian)
                .run(Some(&self.recipe.busybox), self.provision.logs())
                .await
                .context(PACKAGES)
        })
        .await
    }

    /// Builds what enforces NetworkPolicies.
    pub(super) async fn kube_router(&self) -> Result<String> {
        let Recipe { kube_router, kube_router_image, debian, .. } = &self.recipe;
        self.once(kube_router_image, async || {
            self.debian().await?;
            let programs = kube_router.build(self.provision, Some(self.phase)).await?;
            let context = context()?;
            copy_files(&folder("kube-router"), context.path())?;
            link(&programs, &["kube-router"], context.path())?;
            Build::new(context.path(), "Dockerfile")
                .argument("DEBIAN", debian)
                .run(Some(kube_router_image), self.provision.logs())
                .await
                .context(PACKAGES)
        })
        .await?;
        Ok(kube_router_image.clone())
    }

    /// Builds Prometheus.
    pub(super) async fn prometheus(&self) -> Result<()> {
        let Recipe { prometheus, prometheus_image, .. } = &self.recipe;
        self.once(prometheus_image, async || {
            let programs = prometheus.build(self.provision, Some(self.phase)).await?;
            let context = context()?;
            link(&programs, &["prometheus"], context.path())?;
            Build::new(context.path(), folder("prometheus").join("Dockerfile"))
                .run(Some(prometheus_image), self.provision.logs())
                .await
        })
        .await
    }

    /// The `kubectl` of the same build.
    pub(super) async fn kubectl(&self) -> Result<PathBuf> {
        let folder = self.recipe.kubernetes.build(self.provision, Some(self.phase)).await?;
        Ok(folder.join("kubectl"))
    }

    /// Compiles what a node holds: the folders of Kubernetes', containerd's and crictl's programs.
    /// Meanwhile the packages of the images are fetched, for which Docker's cache is the place to keep them.
    async fn programs(&self) -> Result<(PathBuf, PathBuf, PathBuf)> {
        let Recipe { kubernetes, containerd, crictl, etcd, .. } = &self.recipe;
        // One after another: `go build` keeps all processors busy by itself.
        let compile = async {
            let kubernetes = kubernetes.build(self.provision, Some(self.phase)).await?;
            let containerd = containerd.build(self.provision, Some(self.phase)).await?;
            etcd.build(self.provision, Some(self.phase)).await?;
            let crictl = crictl.build(self.provision, Some(self.phase)).await?;
            anyhow::Ok((kubernetes, containerd, crictl))
        };
        let fetch = async {
            self.debian().await?;
            self.target_build(&folder("node"))
                .target("packages")
                .run(None, self.provision.logs())
                .await?;
            self.node_build(&folder("node")).target("system").run(None, self.provision.logs()).await
        };
        let fetch = async { fetch.await.context(PACKAGES) };
        tokio::try_join!(compile, fetch).map(|(programs, ())| programs)
    }

    async fn components(&self) -> Result<()> {
        for component in &COMPONENTS {
            let reference = self.recipe.component(component);
            self.once(&reference, async || {
                let build = self.component(component, &reference).await;
                build.with_context(|| format!("cannot build the image of {}", component.name))
            })
            .await?;
        }
        Ok(())
    }

    async fn component(&self, component: &Component, reference: &str) -> Result<()> {
        // A context of its own with just what goes in: Docker's older builder takes a copy of all of it.
        let context = context()?;
        let programs =
            self.recipe.module(component).build(self.provision, Some(self.phase)).await?;
        let program = programs.join(component.program);
        self.phase.detail(format_args!("building the image of {}", component.name));
        let build = if component.has_debian {
            self.debian().await?;
            link_as(&program, &context.path().join(component.program))?;
            copy_files(&folder("node"), context.path())?;
            self.target_build(context.path()).target(component.name)
        } else {
            let whole = context.path().join("context");
            link_as(&program, &whole.join(component.name))?;
            Build::new(whole, folder("node").join("program.Dockerfile"))
        };
        build.run(Some(reference), self.provision.logs()).await
    }

    async fn debian(&self) -> Result<()> {
        self.once(&self.recipe.debian, async || {
            debian::build(&self.recipe.debian, self.provision).await
        })
        .await
    }

    /// Does the work unless Docker has the image, and never twice at the same time.
    async fn once(&self, reference: &str, work: impl AsyncFnOnce() -> Result<()>) -> Result<()> {
        if docker::has(reference, self.provision.logs()).await {
            return Ok(());
        }
        let _lock = lock(reference).await?;
        if docker::has(reference, self.provision.logs()).await {
            return Ok(());
        }
        work().await
    }

    fn target_build(&self, context: &Path) -> Build {
        Build::new(context, folder("node").join("components.Dockerfile"))
            .argument("DEBIAN", &self.recipe.debian)
    }

    fn node_build(&self, context: &Path) -> Build {
        Build::new(context, folder("node").join("Dockerfile"))
            .argument("DEBIAN", &self.recipe.debian)
    }

    /// The images of a control plane, whether they are built yet or not.
    pub(super) fn control_plane_sources(&self) -> Sources {
        Sources {
            etcd: self.recipe.component(&ETCD),
            kube_apiserver: self.recipe.component(&APISERVER),
            kube_controller_manager: self.recipe.component(&CONTROLLER_MANAGER),
            busybox: self.recipe.busybox.clone(),
        }
    }
}

/// The `kubectl` of the build of a minor version of Kubernetes, if there is one.
pub(super) fn existing_kubectl(minor: &str) -> Result<Option<PathBuf>> {
    Ok(Recipe::read(minor)?.kubernetes.built().map(|folder| folder.join("kubectl")))
}

fn folder(image: &str) -> PathBuf {
    paths::workspace().join("images").join(image)
}

/// A folder for the context of a build, on the file system of the programs, so that these are linked.
fn context() -> Result<tempfile::TempDir> {
    let cache = cache_dir()?;
    fs_err::create_dir_all(&cache)?;
    tempfile::tempdir_in(&cache).context("cannot make a temporary folder")
}

/// Two processes, or two parts of this one, that build the same would only be in each other's way.
async fn lock(reference: &str) -> Result<FileLock> {
    let folder = cache_dir()?.join("locks");
    fs_err::create_dir_all(&folder)?;
    FileLock::take(&folder.join(reference.replace(['/', ':'], "_"))).await
}

/// Copies the files of a folder, without the folders in it.
fn copy_files(from: &Path, to: &Path) -> std::io::Result<()> {
    for file in paths::entries(from)?.iter().filter(|entry| entry.is_file()) {
        fs_err::copy(file, to.join(file.file_name().unwrap_or_default()))?;
    }
    Ok(())
}

fn link(from: &Path, programs: &[&str], to: &Path) -> Result<()> {
    programs.iter().try_for_each(|program| link_as(&from.join(program), &to.join(program)))
}

fn link_as(from: &Path, to: &Path) -> Result<()> {
    if let Some(folder) = to.parent() {
        std::fs::create_dir_all(folder)?;
    }
    Ok(fs_err::hard_link(from, to)?)
}
