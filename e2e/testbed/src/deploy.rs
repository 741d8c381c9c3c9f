//! Installs the operator as a user would: `kubectl apply -f deploy/`.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use harness::kubectl;
use harness::process::LogDir;
use harness::wait::{State, Waiter, named};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DynamicObject, ListParams};
use kube::core::Selector;
use kube::{Api, Client, ResourceExt as _};
use serde::Deserialize;

use crate::kind::Cluster;

/// The folder with what users apply, in the workspace.
pub const MANIFESTS: &str = "deploy/";

/// The Deployment that `deploy/` makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deployed {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// How often each container of the Deployment was restarted, by pod and container.
pub type Restarts = BTreeMap<String, i32>;

/// Applies `deploy/`.
pub async fn apply(cluster: &Cluster, logs: &LogDir) -> Result<Deployed> {
    apply_from(cluster, "--filename", Path::new(MANIFESTS), logs).await
}

/// Applies a kustomization.
pub async fn apply_kustomization(
    cluster: &Cluster,
    folder: &Path,
    logs: &LogDir,
) -> Result<Deployed> {
    apply_from(cluster, "--kustomize", folder, logs).await
}

async fn apply_from(
    cluster: &Cluster,
    option: &str,
    path: &Path,
    logs: &LogDir,
) -> Result<Deployed> {
    let apply = cluster
        .kubectl(["apply", "--output", "json", option])
        .arg(path)
        .name("kubectl-apply-deploy");
    let output = kubectl::without_warning(apply, logs).await?;
    let applied: Applied = serde_json::from_slice(&output.stdout)
        .with_context(|| format!("kubectl printed no list, see {}", output.log.display()))?;
    applied.deployment()
}

impl Deployed {
    /// Replaces the running pods, so that they start from images that were loaded since.
    pub async fn restart(&self, cluster: &Cluster, logs: &LogDir) -> Result<()> {
        let name = format!("deployment/{}", self.name);
        cluster
            .kubectl(["rollout", "restart", &name, "--namespace", &self.namespace])
            .run(logs)
            .await?;
        Ok(())
    }

    /// Deletes the Deployment, as users do. Its pods go meanwhile.
    pub async fn delete(&self, cluster: &Cluster, logs: &LogDir) -> Result<()> {
        cluster
            .kubectl(["delete", "deployment", &self.name, "--namespace", &self.namespace])
            .name("kubectl-delete-deployment")
            .run(logs)
            .await?;
        Ok(())
    }

    /// Waits until the pods of the current template, and no others, are available.
    pub async fn wait_until_available(&self, client: &Client, wait: &Waiter<'_>) -> Result<()> {
        let deployments = Api::<Deployment>::namespaced(client.clone(), &self.namespace);
        let expected = format!("Deployment {}/{} available", self.namespace, self.name);
        wait.watch(deployments, named(&self.name), &expected, |found| match found.values().next() {
            None => State::Waiting("no such Deployment".to_owned()),
            Some(deployment) => rollout(deployment),
        })
        .await
    }

    /// The pods of the Deployment that stay, without those that are leaving.
    pub async fn pods(&self, client: &Client) -> Result<Vec<Pod>> {
        let deployments = Api::<Deployment>::namespaced(client.clone(), &self.namespace);
        let deployment = deployments.get(&self.name).await?;
        let selector = deployment.spec.unwrap_or_default().selector;
        let selector = Selector::try_from(selector)?;
        let pods = Api::<Pod>::namespaced(client.clone(), &self.namespace);
        let parameters = ListParams::default().labels_from(&selector);
        let mut pods = pods.list(&parameters).await?.items;
        pods.retain(|pod| pod.metadata.deletion_timestamp.is_none());
        Ok(pods)
    }

    /// How often the containers were restarted so far, less those of pods that are leaving.
    pub async fn restarts(&self, client: &Client) -> Result<Restarts> {
        Ok(self.pods(client).await?.iter().flat_map(restarts).collect())
    }
}

fn restarts(pod: &Pod) -> impl Iterator<Item = (String, i32)> {
    let statuses = pod.status.iter().flat_map(|status| &status.container_statuses);
    statuses.flatten().map(|container| {
        let name = format!("{}/{}", pod.name_any(), container.name);
        (name, container.restart_count)
    })
}

/// The reading that `kubectl rollout status` uses.
fn rollout(deployment: &Deployment) -> State<()> {
    let wanted = deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
    let status = deployment.status.clone().unwrap_or_default();
    let current = status.observed_generation >= deployment.metadata.generation;
    let [updated, total, available] =
        [status.updated_replicas, status.replicas, status.available_replicas]
            .map(Option::unwrap_or_default);
    let is_so = current && [updated, total, available] == [wanted; 3];
    State::of(is_so.then_some(()), || {
        format!("{available} of {wanted} pods available, {updated} updated, {total} in all")
    })
}

/// What `kubectl apply --output json` prints.
#[derive(Deserialize)]
struct Applied {
    items: Vec<DynamicObject>,
}

impl Applied {
    fn deployment(self) -> Result<Deployed> {
        let is_it = |object: &&DynamicObject| {
            object.types.as_ref().is_some_and(|types| types.kind == "Deployment")
        };
        match self.items.iter().filter(is_it).collect::<Vec<_>>()[..] {
            [it] => {
                let namespace = it.namespace().unwrap_or_default();
                Ok(Deployed { namespace, name: it.name_any() })
            }
            ref other => bail!("{} Deployments were applied, and one is expected", other.len()),
        }
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::apps::v1::{DeploymentSpec, DeploymentStatus};

    use super::*;

    #[test]
    fn deployment_is_found_among_the_applied_objects() {
        let list = r#"{"kind": "List", "items": [
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "system"}},
            {"apiVersion": "apps/v1", "kind": "Deployment",
             "metadata": {"name": "operator", "namespace": "system"}}
        ]}"#;
        let applied: Applied = serde_json::from_str(list).expect("a list");
        let deployed = applied.deployment().expect("a Deployment");
        assert_eq!((deployed.namespace.as_str(), deployed.name.as_str()), ("system", "operator"));
        let none: Applied = serde_json::from_str(r#"{"items": []}"#).expect("a list");
        assert!(none.deployment().is_err());
    }

    fn deployment(generation: i64, observed: i64, updated: i32, total: i32) -> Deployment {
        let mut deployment = Deployment {
            spec: Some(DeploymentSpec::default()),
            status: Some(DeploymentStatus {
                observed_generation: Some(observed),
                updated_replicas: Some(updated),
                replicas: Some(total),
                available_replicas: Some(1),
                ..DeploymentStatus::default()
            }),
            ..Deployment::default()
        };
        deployment.metadata.generation = Some(generation);
        deployment
    }

    #[test]
    fn available_pods_of_an_older_template_do_not_count() {
        assert_eq!(rollout(&deployment(2, 2, 1, 1)), State::Reached(()));
        for old in [deployment(2, 1, 1, 1), deployment(2, 2, 0, 1), deployment(2, 2, 1, 2)] {
            assert!(matches!(rollout(&old), State::Waiting(_)));
        }
    }
}
