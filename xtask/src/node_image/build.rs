//! Builds the offline images, each from the one before: a minimal Debian, Kubernetes' programs, the
//! components' images, the node. What Docker has already is not built again.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use e2e::cluster::FileLock;
use e2e::paths;
use e2e::progress::Phase;

use super::docker::{self, Build};
use super::recipe::{
    APISERVER, COMPONENTS, CONTROLLER_MANAGER, Component, ETCD, KUBERNETES_VERSION, Recipe,
};
use super::{NodeImage, Source, debian};
use crate::control_plane::Sources;
use crate::provision::{Provision, cache_dir};

/// What a failed build means, and what to do.
const PACKAGES: &str = "cannot install packages in an image; see that `apt-get update` works, and \
    that containers with the host's network reach what it reaches";
const IMAGE: &str = "cannot build the node image; `cargo xtask doctor` tells whether disk is short, \
    the log tells the rest";

/// Builds images of one recipe.
pub(super) struct Builder<'a> {
    recipe: Recipe,
    provision: &'a Provision,
    phase: &'a Phase,
}

impl<'a> Builder<'a> {
    /// A builder of what `images/` describes.
    ///
    /// # Errors
    /// When that cannot be read.
    pub(super) fn new(provision: &'a Provision, phase: &'a Phase) -> Result<Self> {
        Ok(Self { recipe: Recipe::read(&paths::workspace().join("images"))?, provision, phase })
    }

    /// The node image, if it was built before.
    pub(super) async fn existing_node(&self) -> Option<NodeImage> {
        let present = docker::has(&self.recipe.node, self.provision).await;
        present.then(|| self.node_image())
    }

    /// Builds the node image.
    ///
    /// # Errors
    /// When it cannot be built here, with what to do.
    pub(super) async fn node(&self) -> Result<NodeImage> {
        self.once(&self.recipe.node, async || {
            self.debian().await?;
            self.kubernetes().await?;
            self.components().await?;
            self.phase.detail("building the node image");
            let context = tempfile::tempdir().context("cannot make a temporary folder")?;
            copy_files(&folder("node"), context.path())?;
            let images = COMPONENTS.each_ref().map(|it| self.recipe.component(it));
            let archive = context.path().join("component-images.tar");
            docker::save(&images, &archive, self.provision).await?;
            self.node_build(context.path())
                .run(Some(&self.recipe.node), self.provision)
                .await
                .context(IMAGE)
        })
        .await?;
        Ok(self.node_image())
    }

    /// The images of a control plane, if all were built before.
    pub(super) async fn existing_control_plane(&self) -> Option<Sources> {
        let sources = self.control_plane_sources();
        for reference in sources.references() {
            if !docker::has(reference, self.provision).await {
                return None;
            }
        }
        Some(sources)
    }

    /// Builds the images of a control plane.
    ///
    /// # Errors
    /// When they cannot be built here, with what to do.
    pub(super) async fn control_plane(&self) -> Result<Sources> {
        self.busybox().await?;
        self.components().await?;
        Ok(self.control_plane_sources())
    }

    /// The base with a shell, if it was built before.
    pub(super) async fn existing_busybox(&self) -> Option<String> {
        let present = docker::has(&self.recipe.busybox, self.provision).await;
        present.then(|| self.recipe.busybox.clone())
    }

    /// Builds the base with a shell.
    ///
    /// # Errors
    /// When it cannot be built here, with what to do.
    pub(super) async fn busybox(&self) -> Result<String> {
        self.once(&self.recipe.busybox, async || {
            self.debian().await?;
            self.phase.detail("building busybox");
            Build::new(folder("busybox"), "Dockerfile")
                .argument("DEBIAN", &self.recipe.debian)
                .run(Some(&self.recipe.busybox), self.provision)
                .await
                .context(PACKAGES)
        })
        .await?;
        Ok(self.recipe.busybox.clone())
    }

    async fn components(&self) -> Result<()> {
        for component in &COMPONENTS {
            self.once(&self.recipe.component(component), async || {
                // Each may have been removed without the other.
                self.debian().await?;
                self.kubernetes().await?;
                self.component(component).await
            })
            .await?;
        }
        Ok(())
    }

    async fn component(&self, component: &Component) -> Result<()> {
        self.phase.detail(format_args!("building {}", component.name));
        self.component_build()
            .target(component.name)
            .run(Some(&self.recipe.component(component)), self.provision)
            .await
            .with_context(|| format!("cannot build the image of {}", component.name))
    }

    /// Compiles Kubernetes. Meanwhile the packages of the images that build on it are fetched, for
    /// which Docker's cache is the place to keep them.
    async fn kubernetes(&self) -> Result<()> {
        self.once(&self.recipe.kubernetes, async || {
            self.debian().await?;
            self.phase.detail(format_args!(
                "compiling Kubernetes {KUBERNETES_VERSION}, six minutes on two cores"
            ));
            let compile = async {
                Build::new(folder("node"), "kubernetes.Dockerfile")
                    .argument("DEBIAN", &self.recipe.debian)
                    .argument("KUBERNETES_VERSION", KUBERNETES_VERSION)
                    .run(Some(&self.recipe.kubernetes), self.provision)
                    .await
                    .context(
                        "cannot compile Kubernetes from Debian's source package; `cargo xtask \
                         doctor` tells whether disk or memory is short, the log tells the rest",
                    )
            };
            let fetch = async {
                self.component_build().target("programs").run(None, self.provision).await?;
                self.node_build(&folder("node")).target("system").run(None, self.provision).await
            };
            let fetch = async { fetch.await.context(PACKAGES) };
            tokio::try_join!(compile, fetch).map(|((), ())| ())
        })
        .await
    }

    async fn debian(&self) -> Result<()> {
        self.once(&self.recipe.debian, async || {
            self.phase.detail("making a minimal Debian");
            debian::build(&self.recipe.debian, self.provision).await
        })
        .await
    }

    /// Does the work unless Docker has the image, and never twice at the same time.
    async fn once(&self, reference: &str, work: impl AsyncFnOnce() -> Result<()>) -> Result<()> {
        if docker::has(reference, self.provision).await {
            return Ok(());
        }
        let _lock = lock(reference).await?;
        if docker::has(reference, self.provision).await {
            return Ok(());
        }
        work().await
    }

    fn component_build(&self) -> Build {
        Build::new(folder("node"), "components.Dockerfile")
            .argument("DEBIAN", &self.recipe.debian)
            .argument("KUBERNETES", &self.recipe.kubernetes)
    }

    fn node_build(&self, context: &Path) -> Build {
        Build::new(context, "Dockerfile")
            .argument("DEBIAN", &self.recipe.debian)
            .argument("KUBERNETES", &self.recipe.kubernetes)
    }

    fn node_image(&self) -> NodeImage {
        NodeImage {
            reference: self.recipe.node.clone(),
            kubernetes_version: KUBERNETES_VERSION.to_owned(),
            source: Source::Built,
        }
    }

    fn control_plane_sources(&self) -> Sources {
        Sources {
            etcd: self.recipe.component(&ETCD),
            kube_apiserver: self.recipe.component(&APISERVER),
            kube_controller_manager: self.recipe.component(&CONTROLLER_MANAGER),
            busybox: self.recipe.busybox.clone(),
        }
    }
}

fn folder(image: &str) -> PathBuf {
    paths::workspace().join("images").join(image)
}

/// Two processes, or two parts of this one, that build the same would only be in each other's way.
async fn lock(reference: &str) -> Result<FileLock> {
    let folder = cache_dir()?.join("locks");
    std::fs::create_dir_all(&folder)
        .with_context(|| format!("cannot make {}", folder.display()))?;
    FileLock::take(&folder.join(reference.replace(['/', ':'], "_"))).await
}

fn copy_files(from: &Path, to: &Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        std::fs::copy(entry.path(), to.join(entry.file_name()))?;
    }
    Ok(())
}
