//! Faults that are over in a moment, and that Kubernetes makes up for by itself.

use anyhow::{Context as _, Result};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, Preconditions};
use kube::{Api, Client, ResourceExt as _};

use crate::kind::{Cluster, Node};

/// Kills the processes of containers, all at once, as `kill -9` does. `$@` are their ids.
const KILL: &str = r#"
for id; do
    ctr --namespace k8s.io tasks kill --signal SIGKILL "$id" &
    killers="$killers $!"
done
for killer in $killers; do wait "$killer" || exit 1; done
"#;

/// Stops the sandboxes of all pods of the namespace `$1`.
///
/// On a busy machine one takes longer than the two seconds that crictl would wait.
const STOP_SANDBOXES: &str = r#"
pods=$(crictl --timeout 30s pods --quiet --state ready --namespace "^$1\$")
test -n "$pods" && crictl --timeout 30s stopp $pods
"#;

/// Kills their processes, which hold the namespaces; what runs in those runs on.
const KILL_SANDBOXES: &str = r#"
pods=$(crictl --timeout 30s pods --quiet --state ready --namespace "^$1\$")
test -n "$pods" || exit 1
for pod in $pods; do
    ctr --namespace k8s.io tasks kill --signal SIGKILL "$pod" || exit 1
done
"#;

/// Stops the sandboxes of a namespace's pods on a node, and what runs in them.
///
/// The kubelet creates others, and starts the pods' containers again, init containers as well.
pub async fn stop_sandboxes(cluster: &Cluster, node: &Node, namespace: &str) -> Result<()> {
    node.script(STOP_SANDBOXES, &[namespace]).run(cluster.logs()).await?;
    Ok(())
}

/// Kills the processes of the sandboxes of a namespace's pods on a node.
///
/// The kubelet ends what has run in them, and goes on as with those that were stopped.
pub async fn sandboxes(cluster: &Cluster, node: &Node, namespace: &str) -> Result<()> {
    node.script(KILL_SANDBOXES, &[namespace]).run(cluster.logs()).await?;
    Ok(())
}

/// Kills running containers of a pod on its node.
///
/// The kubelet starts them again: at once the first time, after ten seconds and more the next times.
pub async fn containers(cluster: &Cluster, pod: &Pod, names: &[&str]) -> Result<()> {
    let ids = names.iter().map(|name| container_id(pod, name));
    let ids = ids.map(|id| Ok(bare(id?))).collect::<Result<Vec<_>>>()?;
    let name = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref());
    let node = cluster.node(name.context("the pod is on no node")?);
    node.script(KILL, &ids).run(cluster.logs()).await?;
    Ok(())
}

/// The id of a running container.
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

/// Deletes exactly this pod from the API, at once. One that is gone already is no error.
///
/// Its processes may run on for a moment, beside those of the pod that takes its place.
pub async fn delete_pod(client: &Client, pod: &Pod) -> Result<()> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), &pod.namespace().unwrap_or_default());
    let preconditions = Preconditions { uid: pod.uid(), resource_version: None };
    let params = DeleteParams::default().grace_period(0).preconditions(preconditions);
    match pods.delete(&pod.name_any(), &params).await {
        Err(kube::Error::Api(refusal)) if refusal.code == 404 => Ok(()),
        deleted => Ok(deleted.map(drop)?),
    }
}
