//! Installs that are not the plain one, and the way back.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use kube::api::DynamicObject;
use serde_json::{Value, json};

use super::scene::Scene;
use crate::deploy::{self, Deployed};
use crate::kustomize;
use crate::wait::{Deadline, Waiter};

/// How long the pods of another install may take to be ready.
const AVAILABLE: Duration = Duration::from_secs(120);

/// Does `work` with a kustomization installed in the place of `deploy/`, which comes back afterwards.
///
/// What is installed is ended before, as users are told to: the plain install takes no part in the
/// election of a leader.
pub(super) async fn with(
    scene: &Scene<'_>,
    kustomization: &Path,
    work: impl AsyncFnOnce(&Deployed) -> Result<()>,
) -> Result<()> {
    let result = replaced(scene, kustomization, work).await;
    result.and(put_back(scene, kustomization).await)
}

async fn replaced(
    scene: &Scene<'_>,
    kustomization: &Path,
    work: impl AsyncFnOnce(&Deployed) -> Result<()>,
) -> Result<()> {
    let cx = scene.cx;
    cx.deployed.delete(cx.cluster, cx.logs).await?;
    let deployed = deploy::apply_kustomization(cx.cluster, kustomization, cx.logs).await?;
    let wait = Waiter::new(cx.client, cx.phase, &deployed.namespace, Deadline::after(AVAILABLE));
    deployed.wait_until_available(cx.client, &wait).await?;
    work(&deployed).await
}

/// Deletes all that the kustomization has and `deploy/` has not, and what both have but differs too much.
pub(super) async fn put_back(scene: &Scene<'_>, kustomization: &Path) -> Result<()> {
    let cx = scene.cx;
    let kubectl = &cx.cluster.record().kubectl;
    let base = kustomize::render(kubectl, Path::new(BASE), cx.logs).await?;
    let theirs = kustomize::render(kubectl, kustomization, cx.logs).await?;
    let plain: BTreeSet<_> = base.iter().map(identity).collect();
    let is_of_theirs = |object: &&DynamicObject| {
        let is_ours = object.types.as_ref().is_some_and(|types| types.kind == "Deployment");
        is_ours || !plain.contains(&identity(object))
    };
    let items: Vec<Value> = theirs
        .iter()
        .filter(is_of_theirs)
        .map(serde_json::to_value)
        .collect::<serde_json::Result<_>>()?;
    let list = json!({"apiVersion": "v1", "kind": "List", "items": items});
    cx.cluster
        .kubectl(["delete", "--ignore-not-found", "--filename", "-"])
        .stdin(list.to_string())
        .name("kubectl-delete-kustomization")
        .run(cx.logs)
        .await?;
    scene.redeploy().await
}

/// What `deploy/` has.
const BASE: &str = "deploy/kustomize/base";

/// What tells objects of an install apart.
fn identity(object: &DynamicObject) -> [Option<&str>; 3] {
    let kind = object.types.as_ref().map(|types| types.kind.as_str());
    [kind, object.metadata.namespace.as_deref(), object.metadata.name.as_deref()]
}
