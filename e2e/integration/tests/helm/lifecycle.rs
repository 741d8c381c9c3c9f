//! Install, upgrade, rollback and uninstall of the chart, on an API server of its own: the resource
//! definition comes and goes.

use anyhow::{Context as _, Result, ensure};
use api::job::Job;
use harness::wait::Namespaced;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::api::rbac::v1::ClusterRole;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{DynamicObject, GroupVersionKind, PostParams};
use kube::runtime::{conditions, wait::await_condition};
use kube::{Api, Client, CustomResourceExt as _, ResourceExt as _, discovery};
use testbed::control_plane::ControlPlane;
use testbed::manifests;

use super::{CHART, Helm, NAMESPACE, RELEASE};
use crate::cluster::{RUNTIME, artifacts, control_plane_image};
use crate::job::manifest;
use crate::test::TIMEOUT;

/// A control plane without anything of ours, and helm as its administrator.
struct Installation {
    control_plane: ControlPlane,
    client: Client,
    helm: Helm,
}

impl Installation {
    async fn start() -> Result<Self> {
        let control_plane = ControlPlane::start(&control_plane_image()?).await?;
        control_plane.start_controllers().await?;
        let client = control_plane.client()?;
        let thread = std::thread::current();
        let name = thread.name().unwrap_or_default().replace("::", "-");
        let file = artifacts().join(format!("{name}.kubeconfig"));
        std::fs::write(&file, control_plane.admin_kubeconfig())?;
        let helm = Helm { kubeconfig: Some(file), ..Helm::new()? };
        Ok(Self { control_plane, client, helm })
    }

    /// Runs a command of helm on the release.
    async fn helm(&self, verb: &str, rest: &[&str]) -> Result<()> {
        let words = [verb, RELEASE].into_iter().chain(rest.iter().copied());
        self.helm.run(words.chain(["--namespace", NAMESPACE])).await?;
        Ok(())
    }

    fn api<K: Namespaced>(&self) -> Api<K> {
        Api::namespaced(self.client.clone(), NAMESPACE)
    }

    /// The objects of the release that the API server does not have.
    async fn missing(&self) -> Result<Vec<String>> {
        let manifest =
            self.helm.run(["get", "manifest", RELEASE, "--namespace", NAMESPACE]).await?;
        let mut missing = Vec::new();
        for object in manifests::objects(&manifest.text())? {
            let types = object.types.as_ref().context("a kind")?;
            let kind = GroupVersionKind::try_from(types)?;
            let (resource, _) = discovery::pinned_kind(&self.client, &kind).await?;
            let objects: Api<DynamicObject> = match object.namespace() {
                Some(namespace) => Api::namespaced_with(self.client.clone(), &namespace, &resource),
                None => Api::all_with(self.client.clone(), &resource),
            };
            if objects.get_opt(&object.name_any()).await?.is_none() {
                missing.push(format!("{} {}", types.kind, object.name_any()));
            }
        }
        Ok(missing)
    }

    async fn replicas(&self) -> Result<Option<i32>> {
        let deployment = self.api::<Deployment>().get(RELEASE).await?;
        Ok(deployment.spec.and_then(|spec| spec.replicas))
    }

    async fn has_dashboard(&self) -> Result<bool> {
        Ok(self.api::<ConfigMap>().get_opt("daemonset-job-dashboard").await?.is_some())
    }

    fn definitions(&self) -> Api<CustomResourceDefinition> {
        Api::all(self.client.clone())
    }

    fn jobs(&self) -> Api<Job> {
        Api::namespaced(self.client.clone(), "default")
    }

    /// Creates a Job, once its kind is served.
    async fn create_job(&self, name: &str) -> Result<()> {
        let served = conditions::is_crd_established();
        let served = await_condition(self.definitions(), Job::crd_name(), served);
        tokio::time::timeout(TIMEOUT, served).await.context("Jobs are not served")??;
        self.jobs().create(&PostParams::default(), manifest(name).job()).await?;
        Ok(())
    }
}

/// On one control plane, for it takes longer to start than these take.
#[test]
fn releases_come_change_and_go_as_helm_promises_and_jobs_stay() {
    let work = async {
        let it = &Installation::start().await?;
        release_is_installed_upgraded_rolled_back_and_uninstalled_and_jobs_stay(it).await?;
        release_takes_over_the_objects_of_kubectl_apply_and_jobs_stay(it).await?;
        release_of_one_namespace_stands_beside_that_of_another(it).await
    };
    RUNTIME.block_on(work).unwrap_or_else(|error| panic!("{error:#}"));
}

async fn release_is_installed_upgraded_rolled_back_and_uninstalled_and_jobs_stay(
    it: &Installation,
) -> Result<()> {
    it.helm("install", &[CHART, "--create-namespace"]).await?;
    ensure!(it.missing().await?.is_empty(), "missing: {:?}", it.missing().await?);
    ensure!(it.replicas().await? == Some(1));
    it.create_job("stays").await?;

    let more = ["--set", "replicas=2,metrics.dashboard.enabled=true"];
    it.helm("upgrade", &[CHART, more[0], more[1]]).await?;
    ensure!(it.missing().await?.is_empty(), "missing: {:?}", it.missing().await?);
    ensure!(it.replicas().await? == Some(2) && it.has_dashboard().await?);

    it.helm("rollback", &[]).await?;
    ensure!(it.replicas().await? == Some(1) && !it.has_dashboard().await?);

    it.helm("uninstall", &[]).await?;
    ensure!(it.api::<Deployment>().get_opt(RELEASE).await?.is_none());
    let roles: Api<ClusterRole> = Api::all(it.client.clone());
    ensure!(roles.get_opt(RELEASE).await?.is_none());
    it.jobs().get("stays").await.context("the Job is gone")?;

    // A later release of the same name continues with them, and deletes them if it is told to.
    it.helm("install", &[CHART]).await?;
    it.jobs().get("stays").await.context("the Job is gone")?;
    it.helm("upgrade", &[CHART, "--set", "crds.keep=false"]).await?;
    let definition = it.definitions().get(Job::crd_name()).await?;
    let uid = definition.uid().unwrap_or_default();
    it.helm("uninstall", &[]).await?;
    let deleted = conditions::is_deleted(&uid);
    let deleted = await_condition(it.definitions(), Job::crd_name(), deleted);
    tokio::time::timeout(TIMEOUT, deleted).await.context("the definition stays")??;
    Ok(())
}

async fn release_takes_over_the_objects_of_kubectl_apply_and_jobs_stay(
    it: &Installation,
) -> Result<()> {
    let deploy = harness::paths::workspace().join("deploy");
    it.control_plane.apply(&deploy).await?;
    it.create_job("stays").await?;
    let error = it.helm("install", &[CHART]).await.err().context("it is taken unasked")?;
    ensure!(format!("{error:#}").contains("invalid ownership metadata"), "{error:#}");
    it.helm("install", &[CHART, "--take-ownership", "--force-conflicts"]).await?;
    ensure!(it.missing().await?.is_empty(), "missing: {:?}", it.missing().await?);
    it.jobs().get("stays").await.context("the Job is gone")?;
    it.helm("uninstall", &[]).await
}

async fn release_of_one_namespace_stands_beside_that_of_another(it: &Installation) -> Result<()> {
    it.control_plane.apply(&harness::paths::workspace().join("deploy/35-users.yaml")).await?;
    for team in ["team-a", "team-b"] {
        let values = format!("{CHART}/examples/namespaced.yaml");
        let set = format!("watchNamespace={team}");
        let options = ["--namespace", team, "--create-namespace", "--values", &values];
        let install = ["install", team, CHART, "--set", &set];
        it.helm.run(install.iter().chain(&options)).await?;
    }
    it.helm.run(["uninstall", "team-a", "--namespace", "team-a"]).await?;
    let left: Api<Deployment> = Api::namespaced(it.client.clone(), "team-b");
    left.get("team-b-daemonset-job").await.context("the other one is gone")?;
    it.definitions().get(Job::crd_name()).await.context("the definition is gone")?;
    Ok(())
}
