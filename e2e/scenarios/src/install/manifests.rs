//! What users apply.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use harness::kubectl;
use harness::kustomize::{self, Kustomization, READY};
use testbed::deploy::MANIFESTS;

use crate::support::env::ScenarioEnv;

/// Manifests that are applied as they are.
const PLAIN: [&str; 3] = [MANIFESTS, "deploy/samples", "deploy/admission"];

/// The kustomization whose namespace has to exist.
const NAMESPACED: &str = "namespaced";

/// Neither kubectl nor the API server warns of anything when it is applied.
pub(crate) async fn apply_without_a_warning(env: &ScenarioEnv<'_>) -> Result<()> {
    for folder in PLAIN {
        dry_run(env, "--filename", Path::new(folder)).await?;
    }
    let own = tempfile::tempdir().context("cannot make a temporary folder")?;
    let folders = kustomize::folders(READY)?;
    for folder in &folders {
        if folder.ends_with(NAMESPACED) {
            in_own_namespace(env, folder, own.path())?;
            dry_run(env, "--kustomize", own.path()).await?;
        } else {
            dry_run(env, "--kustomize", folder).await?;
        }
    }
    let count = PLAIN.len() + folders.len();
    env.cx.phase.outcome(format_args!("{count} folders"));
    Ok(())
}

/// Writes a kustomization that moves another one into the env's namespace.
fn in_own_namespace(env: &ScenarioEnv<'_>, folder: &Path, own: &Path) -> Result<()> {
    let kustomization = Kustomization {
        namespace: Some(env.namespace()),
        resources: vec![PathBuf::from(folder)],
        ..Kustomization::default()
    };
    kustomization.write(own)
}

/// The API server goes through all of it, and keeps nothing.
async fn dry_run(env: &ScenarioEnv<'_>, option: &str, path: &Path) -> Result<()> {
    let apply = env
        .cx
        .cluster
        .kubectl(["apply", "--dry-run=server", option])
        .arg(path)
        .name("kubectl-apply-dry-run");
    kubectl::without_warning(apply, env.cx.logs).await?;
    Ok(())
}
