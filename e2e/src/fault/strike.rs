//! Faults that are over in a moment, and that Kubernetes makes up for by itself.

use anyhow::{Context as _, Result};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, Preconditions};
use kube::{Api, Client, ResourceExt as _};

use crate::cluster::Cluster;

/// Kills the processes of containers, all at once, as `kill -9` does. `$@` are their ids.
const KILL: &str = r#"
for id; do
    ctr --namespace k8s.io tasks kill --signal SIGKILL "$id" &
    killers="$killers $!"
done
for killer in $killers; do wait "$killer" || exit 1; done
"#;

/// Kills running containers of a pod on its node. The kubelet starts them again: at once the first
/// time, after ten seconds and more when that is repeated in the same pod.
///
/// # Errors
/// When the pod is on no node, or one of the containers does not run.
pub async fn kill(cluster: &Cluster, pod: &Pod, containers: &[&str]) -> Result<()> {
    let ids = containers.iter().map(|name| container_id(pod, name));
    let ids = ids.map(|id| Ok(bare(id?))).collect::<Result<Vec<_>>>()?;
    let name = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref());
    let node = cluster.node(name.context("the pod is on no node")?);
    node.script(KILL, &ids).run(cluster.logs()).await?;
    Ok(())
}

/// The id of a running container.
///
/// # Errors
/// When it does not run.
pub fn container_id<'a>(pod: &'a Pod, container: &str) -> Result<&'a str> {
    let statuses = pod.status.iter().flat_map(|status| &status.container_statuses).flatten();
    let id = statuses
        .filter(|status| status.state.as_ref().is_some_and(|state| state.running.is_some()))
        .find(|status| status.name == container)
        .and_then(|status| status.container_id.as_deref());
    id.with_context(|| format!("{container} of pod {} does not run", pod.name_any()))
}

/// As the container runtime knows it: without the runtime's name.
fn bare(id: &str) -> &str {
    id.split_once("://").map_or(id, |(_, id)| id)
}

/// Deletes exactly this pod from the API, at once: its processes may run on for a moment, beside those
/// of the pod that takes its place. One that is gone already is no error.
///
/// # Errors
/// When the API server refuses.
pub async fn delete_pod(client: &Client, pod: &Pod) -> Result<()> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), &pod.namespace().unwrap_or_default());
    let preconditions = Preconditions { uid: pod.uid(), resource_version: None };
    let params = DeleteParams::default().grace_period(0).preconditions(preconditions);
    match pods.delete(&pod.name_any(), &params).await {
        Err(kube::Error::Api(refusal)) if refusal.code == 404 => Ok(()),
        deleted => Ok(deleted.map(drop)?),
    }
}
