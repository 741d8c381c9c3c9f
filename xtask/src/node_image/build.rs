//! Builds the offline images, each from the one before: a minimal Debian, Kubernetes' programs, the
//! components' images, the node. What Docker has already is not built again.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use e2e::cluster::FileLock;
use e2e::paths;
use e2e::progress::Phase;

use super::docker::{self, Build};
use super::recipe::{APISERVER, COMPONENTS, CONTROLLER_MANAGER, ETCD, KUBERNETES_VERSION, Recipe};
use super::{NodeImage, Source, debian};
use crate::control_plane::Sources;
use crate::provision::{Provision, cache_dir};

/// The node image of the current recipe, if it has been built.
pub(super) async fn existing_node(provision: &Provision) -> Result<Option<NodeImage>> {
    let recipe = recipe()?;
    let present = docker::has(&recipe.node, provision).await;
    Ok(present.then(|| node_image(&recipe)))
}

/// Builds the node image.
///
/// # Errors
/// When it cannot be built here, with what to do.
pub(super) async fn node(provision: &Provision, phase: &Phase) -> Result<NodeImage> {
    let _lock = lock().await?;
    let recipe = recipe()?;
    if docker::has(&recipe.node, provision).await {
        return Ok(node_image(&recipe));
    }
    ensure_components(&recipe, provision, phase).await?;
    phase.detail("building the node image");
    let images: Vec<_> = COMPONENTS
        .iter()
        .map(|component| recipe.component(component))
        .collect();
    let context = tempfile::tempdir().context("cannot make a temporary folder")?;
    copy_files(&folder("node"), context.path())?;
    docker::save(
        &images,
        &context.path().join("component-images.tar"),
        provision,
    )
    .await?;
    Build::new(context.path(), "Dockerfile")
        .argument("DEBIAN", &recipe.debian)
        .argument("KUBERNETES", &recipe.kubernetes)
        .run(Some(&recipe.node), provision)
        .await
        .context("cannot build the node image")?;
    Ok(node_image(&recipe))
}

/// The images of a control plane of the current recipe, if all have been built.
pub(super) async fn existing_control_plane(provision: &Provision) -> Result<Option<Sources>> {
    let sources = control_plane_sources(&recipe()?);
    for reference in sources.references() {
        if !docker::has(reference, provision).await {
            return Ok(None);
        }
    }
    Ok(Some(sources))
}

/// Builds the images of a control plane.
///
/// # Errors
/// When they cannot be built here, with what to do.
pub(super) async fn control_plane(provision: &Provision, phase: &Phase) -> Result<Sources> {
    let _lock = lock().await?;
    let recipe = recipe()?;
    ensure_busybox(&recipe, provision, phase).await?;
    ensure_components(&recipe, provision, phase).await?;
    Ok(control_plane_sources(&recipe))
}

/// The base with a shell of the current recipe, if it has been built.
pub(super) async fn existing_busybox(provision: &Provision) -> Result<Option<String>> {
    let reference = recipe()?.busybox;
    let present = docker::has(&reference, provision).await;
    Ok(present.then_some(reference))
}

/// Builds the base with a shell.
///
/// # Errors
/// When it cannot be built here, with what to do.
pub(super) async fn busybox(provision: &Provision, phase: &Phase) -> Result<String> {
    let _lock = lock().await?;
    let recipe = recipe()?;
    ensure_busybox(&recipe, provision, phase).await?;
    Ok(recipe.busybox)
}

async fn ensure_busybox(recipe: &Recipe, provision: &Provision, phase: &Phase) -> Result<()> {
    if docker::has(&recipe.busybox, provision).await {
        return Ok(());
    }
    ensure_debian(recipe, provision, phase).await?;
    phase.detail("building busybox");
    Build::new(folder("busybox"), "Dockerfile")
        .argument("DEBIAN", &recipe.debian)
        .run(Some(&recipe.busybox), provision)
        .await
        .context("cannot build busybox")
}

async fn ensure_components(recipe: &Recipe, provision: &Provision, phase: &Phase) -> Result<()> {
    let mut missing = Vec::new();
    for component in &COMPONENTS {
        if !docker::has(&recipe.component(component), provision).await {
            missing.push(component);
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    ensure_kubernetes(recipe, provision, phase).await?;
    for component in missing {
        phase.detail(format_args!("building {}", component.name));
        component_build(recipe)
            .target(component.name)
            .run(Some(&recipe.component(component)), provision)
            .await
            .with_context(|| format!("cannot build the image of {}", component.name))?;
    }
    Ok(())
}

/// Compiles Kubernetes. Meanwhile the packages of the images that build on it are fetched, for
/// which Docker's cache is the place to keep them.
async fn ensure_kubernetes(recipe: &Recipe, provision: &Provision, phase: &Phase) -> Result<()> {
    if docker::has(&recipe.kubernetes, provision).await {
        return Ok(());
    }
    ensure_debian(recipe, provision, phase).await?;
    phase.detail(format_args!(
        "compiling Kubernetes {KUBERNETES_VERSION}, six minutes on two cores"
    ));
    let kubernetes = Build::new(folder("node"), "kubernetes.Dockerfile")
        .argument("DEBIAN", &recipe.debian)
        .argument("KUBERNETES_VERSION", KUBERNETES_VERSION)
        .run(Some(&recipe.kubernetes), provision);
    let packages = async {
        component_build(recipe)
            .target("programs")
            .run(None, provision)
            .await?;
        Build::new(folder("node"), "Dockerfile")
            .argument("DEBIAN", &recipe.debian)
            .argument("KUBERNETES", &recipe.kubernetes)
            .target("system")
            .run(None, provision)
            .await
    };
    let both = tokio::try_join!(
        async {
            kubernetes
                .await
                .context("cannot compile Kubernetes from Debian's source package")
        },
        async {
            packages
                .await
                .context("cannot install the packages of the images")
        },
    );
    both.map(|((), ())| ())
}

async fn ensure_debian(recipe: &Recipe, provision: &Provision, phase: &Phase) -> Result<()> {
    if docker::has(&recipe.debian, provision).await {
        return Ok(());
    }
    phase.detail("making a minimal Debian");
    debian::build(&recipe.debian, provision).await
}

fn component_build(recipe: &Recipe) -> Build {
    Build::new(folder("node"), "components.Dockerfile")
        .argument("DEBIAN", &recipe.debian)
        .argument("KUBERNETES", &recipe.kubernetes)
}

fn node_image(recipe: &Recipe) -> NodeImage {
    NodeImage {
        reference: recipe.node.clone(),
        kubernetes_version: KUBERNETES_VERSION.to_owned(),
        source: Source::Built,
    }
}

fn control_plane_sources(recipe: &Recipe) -> Sources {
    Sources {
        etcd: recipe.component(&ETCD),
        kube_apiserver: recipe.component(&APISERVER),
        kube_controller_manager: recipe.component(&CONTROLLER_MANAGER),
        busybox: recipe.busybox.clone(),
        programs: "/usr/local/bin",
    }
}

fn recipe() -> Result<Recipe> {
    Recipe::read(&paths::workspace().join("images"))
}

fn folder(image: &str) -> PathBuf {
    paths::workspace().join("images").join(image)
}

/// Two processes that build the same would only be in each other's way.
async fn lock() -> Result<FileLock> {
    let folder = cache_dir()?;
    std::fs::create_dir_all(&folder)
        .with_context(|| format!("cannot make {}", folder.display()))?;
    FileLock::take(&folder.join("images.lock")).await
}

fn copy_files(from: &Path, to: &Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        std::fs::copy(entry.path(), to.join(entry.file_name()))?;
    }
    Ok(())
}
