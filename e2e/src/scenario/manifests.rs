//! What users apply.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::scene::Scene;
use crate::deploy::MANIFESTS;
use crate::kubectl;
use crate::kustomize::{self, Kustomization, READY};

/// Manifests that are applied as they are.
const PLAIN: [&str; 3] = [MANIFESTS, "deploy/samples", "deploy/admission"];

/// The kustomization whose namespace has to exist.
const NAMESPACED: &str = "namespaced";

/// Neither kubectl nor the API server warns of anything when it is applied.
pub(super) async fn apply_without_a_warning(scene: &Scene<'_>) -> Result<()> {
    for folder in PLAIN {
        dry_run(scene, "--filename", Path::new(folder)).await?;
    }
    let own = tempfile::tempdir().context("cannot make a temporary folder")?;
    let folders = kustomize::folders(READY)?;
    for folder in &folders {
        if folder.ends_with(NAMESPACED) {
            in_own_namespace(scene, folder, own.path())?;
            dry_run(scene, "--kustomize", own.path()).await?;
        } else {
            dry_run(scene, "--kustomize", folder).await?;
        }
    }
    let count = PLAIN.len() + folders.len();
    scene.cx.phase.outcome(format_args!("{count} folders"));
    Ok(())
}

/// Writes a kustomization that moves another one into the scene's namespace.
fn in_own_namespace(scene: &Scene<'_>, folder: &Path, own: &Path) -> Result<()> {
    let kustomization = Kustomization {
        namespace: Some(scene.namespace()),
        resources: vec![PathBuf::from(folder)],
        ..Kustomization::default()
    };
    kustomization.write(own)
}

/// The API server goes through all of it, and keeps nothing.
async fn dry_run(scene: &Scene<'_>, option: &str, path: &Path) -> Result<()> {
    let apply = scene
        .cx
        .cluster
        .kubectl(["apply", "--dry-run=server", option])
        .arg(path)
        .name("kubectl-apply-dry-run");
    kubectl::without_warning(apply, scene.cx.logs).await?;
    Ok(())
}
