//! Installs of what `cargo xtask release` makes.
//!
//! They measure the time to the first Job that is done.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use api::job::Job;
use harness::images;
use harness::process::Cmd;
use harness::provide::Release;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{Api, CustomResourceExt as _};

use crate::support::env::ScenarioEnv;
use crate::support::install;

/// The Job that users begin with.
const HELLO: &str = "deploy/samples/hello.yaml";

/// Name of the release of the chart, and so of the Deployment.
const NAME: &str = "daemonset-job";

/// Longest time from the first command to the first Job that is done.
///
/// The images are on the nodes before.
const LIMIT: Duration = Duration::from_secs(60);

/// The version under which the chart is packaged once more, as if it were a later one.
///
/// There is no chart of an earlier release yet. Between two versions, at least the number differs, and with it labels.
const LATER: &str = "99.0.0";

/// How long helm may wait for anything.
const HELM_LIMIT: &str = "--timeout=3m";

/// The commands of the README lead to a Job that is done.
///
/// The manifests name the images by their digests.
pub(crate) async fn by_manifests(env: &ScenarioEnv<'_>) -> Result<()> {
    let release = release(env)?;
    let manifest = release.folder.join("install.yaml").display().to_string();
    let work = async {
        env.uninstall().await?;
        load(env, release).await?;
        let begun = Instant::now();
        env.kubectl_ours(&["apply", "--server-side", "--filename", &manifest]).await?;
        first_job(env).await?;
        let taken = begun.elapsed();
        images_are_those_of(env, release).await?;
        env.kubectl_ours(&["delete", "--ignore-not-found", "--filename", &manifest]).await?;
        in_time(env, "kubectl apply", taken)
    };
    work.await.and(install::redeploy(env.cx).await)
}

/// Jobs outlive install, test, upgrade, rollback and uninstall of the chart.
pub(crate) async fn by_chart(env: &ScenarioEnv<'_>) -> Result<()> {
    let release = release(env)?;
    let helm = Helm { env, release, home: tempfile::tempdir().context("no temporary folder")? };
    let work = async {
        env.uninstall().await?;
        load(env, release).await?;
        let begun = Instant::now();
        helm.with_chart("install", &["--create-namespace"]).await?;
        first_job(env).await?;
        let taken = begun.elapsed();
        images_are_those_of(env, release).await?;
        helm.run("test", &[]).await?;

        helm.with_chart("upgrade", &["--set", "replicas=2"]).await?;
        ensure!(replicas(env).await? == Some(2), "the upgrade has changed nothing");
        env.job("hello").get().await.context("the Job is gone")?;
        helm.run("rollback", &["--wait"]).await?;
        ensure!(replicas(env).await? == Some(1), "the rollback has changed nothing");
        helm.run("test", &[]).await?;

        let later = helm.package_as(LATER).await?.display().to_string();
        helm.run("upgrade", &[&later, "--wait"]).await?;
        ensure!(version(env).await?.as_deref() == Some(LATER), "the upgrade has changed nothing");
        images_are_those_of(env, release).await?;
        env.job("hello").get().await.context("the Job is gone")?;
        helm.run("test", &[]).await?;

        helm.run("uninstall", &["--wait"]).await?;
        let definitions: Api<CustomResourceDefinition> = Api::all(env.cx.client.clone());
        definitions.get(Job::crd_name()).await.context("the definition is gone")?;
        env.job("hello").get().await.context("the Job is gone")?;
        in_time(env, "helm install --wait", taken)
    };
    let result = work.await;
    // After a failure there may be a release; in any case there is what it leaves on purpose.
    let _ = helm.run("uninstall", &["--ignore-not-found", "--wait"]).await;
    let definition = format!("customresourcedefinition/{}", Job::crd_name());
    let namespace = format!("namespace/{}", env.cx.deployed.namespace);
    let delete = ["delete", "--ignore-not-found", &definition, &namespace];
    let deleted = env.kubectl_ours(&delete).await;
    result.and(deleted).and(install::redeploy(env.cx).await)
}

fn release<'a>(env: &ScenarioEnv<'a>) -> Result<&'a Release> {
    env.cx.release.context("no release was made")
}

/// Gives the nodes the images under their digests alone, as they would pull them.
async fn load(env: &ScenarioEnv<'_>, release: &Release) -> Result<()> {
    for image in &release.images {
        env.cx.phase.detail(format_args!("loading {}", image.reference));
        env.cx.cluster.load_layout(&image.layout, &image.reference, &image.digest).await?;
    }
    Ok(())
}

/// The second and the third command of the README.
async fn first_job(env: &ScenarioEnv<'_>) -> Result<()> {
    env.kubectl(&["apply", "--filename", HELLO], "").await?;
    let wait = ["wait", "--for=condition=Complete", "dsjob/hello", "--timeout=2m"];
    env.kubectl(&wait, "").await?;
    let job = env.job("hello").get().await?;
    let completed = job.status.and_then(|status| status.completed);
    ensure!(completed == Some(env.of_all(env.nodes.len())), "done on {completed:?} nodes");
    Ok(())
}

fn in_time(env: &ScenarioEnv<'_>, command: &str, taken: Duration) -> Result<()> {
    env.cx.phase.outcome(format_args!("{command} to the first Job done: {taken:.1?}"));
    ensure!(taken <= LIMIT, "it took {taken:.1?} from {command} to the first Job that was done");
    Ok(())
}

/// Sees that the Deployment names the images by digest.
///
/// That of idle pods is one of them.
async fn images_are_those_of(env: &ScenarioEnv<'_>, release: &Release) -> Result<()> {
    let deployments: Api<Deployment> =
        Api::namespaced(env.cx.client.clone(), &env.cx.deployed.namespace);
    let deployment = deployments.get(NAME).await?;
    let pod = deployment.spec.and_then(|spec| spec.template.spec).context("no pod template")?;
    let pinned = |repository: &str| {
        let image = release.images.iter().find(|image| image.reference.contains(repository));
        let image = image.with_context(|| format!("no image {repository} was released"))?;
        let name = image.reference.rsplit_once(':').map_or(&*image.reference, |(name, _)| name);
        anyhow::Ok(format!("{name}@{}", image.digest))
    };
    let (operator, terminator) = (pinned(images::OPERATOR)?, pinned(images::TERMINATOR)?);
    let named: Vec<_> =
        pod.containers.iter().filter_map(|container| container.image.as_deref()).collect();
    ensure!(named == [&*operator, &*terminator], "{named:?}");
    let variables = pod.containers.iter().flat_map(|container| &container.env).flatten();
    let pause: Vec<_> = variables
        .filter(|variable| variable.name == "PAUSE_IMAGE")
        .filter_map(|variable| variable.value.as_deref())
        .collect();
    ensure!(pause == [&*operator], "{pause:?}");
    Ok(())
}

async fn replicas(env: &ScenarioEnv<'_>) -> Result<Option<i32>> {
    let deployments: Api<Deployment> =
        Api::namespaced(env.cx.client.clone(), &env.cx.deployed.namespace);
    Ok(deployments.get(NAME).await?.status.and_then(|status| status.available_replicas))
}

/// The version that the Deployment says it is of.
async fn version(env: &ScenarioEnv<'_>) -> Result<Option<String>> {
    let deployments: Api<Deployment> =
        Api::namespaced(env.cx.client.clone(), &env.cx.deployed.namespace);
    let labels = deployments.get(NAME).await?.metadata.labels.unwrap_or_default();
    Ok(labels.get("app.kubernetes.io/version").cloned())
}

/// Helm as the administrator of the cluster.
struct Helm<'s> {
    env: &'s ScenarioEnv<'s>,
    release: &'s Release,
    home: tempfile::TempDir,
}

impl Helm<'_> {
    /// Installs or upgrades by the chart, and waits until its objects are ready.
    async fn with_chart(&self, verb: &str, rest: &[&str]) -> Result<()> {
        let chart = self.release.chart.display().to_string();
        let words: Vec<_> = [&*chart, "--wait"].into_iter().chain(rest.iter().copied()).collect();
        self.run(verb, &words).await
    }

    /// Packages the chart of the release under another version.
    async fn package_as(&self, version: &str) -> Result<PathBuf> {
        let (folder, logs) = (self.home.path(), self.env.cx.logs);
        let unpack = Cmd::new("tar").arg("--extract").arg("--file").arg(&self.release.chart);
        unpack.arg("--directory").arg(folder).run(logs).await?;
        Cmd::new(&self.release.helm)
            .args(["package", "--version", version, "--app-version", version, "--destination"])
            .arg(folder)
            .arg(folder.join(NAME))
            .name("helm-package")
            .run(logs)
            .await?;
        Ok(folder.join(format!("{NAME}-{version}.tgz")))
    }

    async fn run(&self, verb: &str, rest: &[&str]) -> Result<()> {
        let cx = self.env.cx;
        cx.phase.detail(format_args!("helm {verb}"));
        Cmd::new(&self.release.helm)
            .args([verb, NAME])
            .args(rest)
            .args([HELM_LIMIT, "--namespace", &cx.deployed.namespace])
            .env("KUBECONFIG", cx.cluster.kubeconfig())
            .env("HELM_CACHE_HOME", self.home.path().join("cache"))
            .env("HELM_CONFIG_HOME", self.home.path().join("config"))
            .env("HELM_DATA_HOME", self.home.path().join("data"))
            .timeout(Duration::from_secs(240))
            .name(format!("helm-{verb}"))
            .run(cx.logs)
            .await?;
        Ok(())
    }
}
