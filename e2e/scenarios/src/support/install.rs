//! Installs that are not the plain one, and the way back.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use harness::deadline::Deadline;
use harness::wait::Waiter;
use kube::api::DynamicObject;
use serde_json::{Value, json};
use testbed::deploy::{self, Deployed};
use testbed::manifests;

use crate::support::context::Context;

/// How long the pods of an install may take to be ready. A new pod waits for the old one to be gone.
const AVAILABLE: Duration = Duration::from_secs(120);

/// Does `work` with a kustomization installed in the place of `deploy/`, which comes back afterwards.
pub(crate) async fn with(
    cx: Context<'_>,
    kustomization: &Path,
    work: impl AsyncFnOnce(&Deployed) -> Result<()>,
) -> Result<()> {
    let installed = async {
        let deployed = replace(cx, kustomization).await?;
        work(&deployed).await
    };
    installed.await.and(put_back(cx, kustomization).await)
}

/// Installs a kustomization in the place of `deploy/`.
///
/// The plain install ends before: a kustomization of another namespace would work beside it.
pub(crate) async fn replace(cx: Context<'_>, kustomization: &Path) -> Result<Deployed> {
    cx.deployed.delete(cx.cluster, cx.logs).await?;
    let deployed = deploy::apply_kustomization(cx.cluster, kustomization, cx.logs).await?;
    until_available(cx, &deployed).await?;
    Ok(deployed)
}

/// Deletes all that the kustomization has and `deploy/` has not, and what both have but differs too much.
pub(crate) async fn put_back(cx: Context<'_>, kustomization: &Path) -> Result<()> {
    let kubectl = &cx.cluster.record().kubectl;
    let base = manifests::render(kubectl, Path::new(BASE), cx.logs).await?;
    let theirs = manifests::render(kubectl, kustomization, cx.logs).await?;
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
    redeploy(cx).await
}

/// Applies `deploy/` anew, and waits until what is in it is available, whatever time is left.
pub(crate) async fn redeploy(cx: Context<'_>) -> Result<()> {
    deploy::apply(cx.cluster, cx.logs).await?;
    until_available(cx, cx.deployed).await
}

async fn until_available(cx: Context<'_>, deployed: &Deployed) -> Result<()> {
    let wait = Waiter::new(cx.client, cx.phase, &deployed.namespace, Deadline::after(AVAILABLE));
    deployed.wait_until_available(cx.client, &wait).await
}

/// What `deploy/` has.
const BASE: &str = "deploy/kustomize/base";

/// What tells objects of an install apart.
fn identity(object: &DynamicObject) -> [Option<&str>; 3] {
    let kind = object.types.as_ref().map(|types| types.kind.as_str());
    [kind, object.metadata.namespace.as_deref(), object.metadata.name.as_deref()]
}
