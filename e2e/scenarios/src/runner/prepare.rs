//! The phases before the scenarios: machine, images, cluster, load, deploy.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, ensure};
use harness::deadline::Deadline;
use harness::process::Cmd;
use harness::progress::Phase;
use harness::provide::{Image, Provider, Release};
use harness::wait::Waiter;
use harness::{images, paths};
use kube::Client;
use testbed::deploy::{self, Deployed};
use testbed::kind::{self, Cluster, Record};

use super::cluster_lifecycle::names_of_this_checkout;
use super::context::Context;
use super::run::Run;

/// How long the nodes of a new cluster may take to get ready once kind is done.
const NODES_LIMIT: Duration = Duration::from_secs(180);

/// How long the operator's Deployment may take to be available.
const DEPLOY_LIMIT: Duration = Duration::from_secs(120);

/// The cluster with the operator deployed.
pub(super) struct Ready {
    pub(super) cluster: Cluster,
    pub(super) client: Client,
    pub(super) deployed: Deployed,
    release: Option<Release>,
    plugin: Option<PathBuf>,
}

/// The needs of some scenarios only.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Needs {
    /// Something in the cluster that enforces NetworkPolicies.
    pub(super) network_policies: bool,
    /// The image of Prometheus.
    pub(super) prometheus: bool,
    /// The kubectl plugin.
    pub(super) plugin: bool,
    /// What `cargo xtask release` makes.
    pub(super) release: bool,
}

impl Ready {
    /// The context of a scenario that shows its progress in `phase`.
    pub(super) fn context<'a>(&'a self, run: &'a Run, phase: &'a Phase) -> scenarios::Context<'a> {
        scenarios::Context {
            cluster: &self.cluster,
            client: &self.client,
            deployed: &self.deployed,
            release: self.release.as_ref(),
            plugin: self.plugin.as_deref(),
            logs: &run.folder.logs,
            phase,
        }
    }
}

/// Brings up a cluster with the operator deployed from this source tree.
pub(super) async fn prepare(run: &Run, needs: Needs, cx: &Context) -> Result<Ready> {
    let Run { progress, folder, report, .. } = run;
    let provider = cx.provider(&folder.logs)?;
    progress
        .phase("doctor", async |phase| {
            let podman = run.options.cluster.provider == kind::Provider::Podman;
            report.version("docker", provider.docker(podman, phase).await?);
            anyhow::Ok(())
        })
        .await?;
    // Compiling keeps the processors busy, making a cluster mostly waits.
    let (mut images, (cluster, is_new)) =
        tokio::try_join!(build_images(run, &provider), open_or_make_cluster(run, &provider))?;
    // Official node images enforce them by themselves.
    if needs.network_policies && images::is_built_here(&cluster.record().image) {
        let build = async |phase: &Phase| provider.kube_router(phase).await;
        images.push(progress.phase("kube-router", build).await?);
    }
    if needs.prometheus {
        let provide = async |phase: &Phase| provider.prometheus(phase).await;
        images.push(progress.phase("prometheus", provide).await?);
    }
    let plugin = match needs.plugin {
        true => Some(build_plugin(run, &provider).await?),
        false => None,
    };
    let release = match needs.release {
        true => Some(make_release(run, &provider).await?),
        false => None,
    };
    let client = cluster.client().await?;
    let version = client.apiserver_version().await?;
    let record = serde_json::to_value(cluster.record())?;
    report.change(|report| report.cluster = record);
    report.version("kubernetes", version.git_version);
    let loaded = progress
        .phase("load", async |phase| {
            let loaded = cluster.load(&images).await?;
            phase.outcome(format_args!("{} loaded, {} were there", loaded.loaded, loaded.present));
            anyhow::Ok(loaded)
        })
        .await?;
    let deployed = progress
        .phase("deploy", async |phase| {
            let deployed = deploy::apply(&cluster, &folder.logs).await?;
            if loaded.loaded > 0 && !is_new {
                deployed.restart(&cluster, &folder.logs).await?;
            }
            let deadline = Deadline::after(DEPLOY_LIMIT);
            let wait = Waiter::new(&client, phase, &deployed.namespace, deadline);
            deployed.wait_until_available(&client, &wait).await?;
            phase.outcome(format_args!("{}/{}", deployed.namespace, deployed.name));
            anyhow::Ok(deployed)
        })
        .await?;
    Ok(Ready { cluster, client, deployed, release, plugin })
}

async fn build_plugin(run: &Run, provider: &Provider) -> Result<PathBuf> {
    let profile = run.options.build();
    let build = async |phase: &Phase| provider.plugin(profile, phase).await;
    run.progress.phase("plugin", build).await
}

async fn make_release(run: &Run, provider: &Provider) -> Result<Release> {
    let make = async |phase: &Phase| {
        let release = provider.release(phase).await?;
        phase.outcome(release.folder.display());
        anyhow::Ok(release)
    };
    run.progress.phase("release", make).await
}

/// Builds the images of `deploy/` and its samples.
async fn build_images(run: &Run, provider: &Provider) -> Result<Vec<Image>> {
    let profile = run.options.build();
    let build = async |phase: &Phase| provider.images(profile, phase).await;
    run.progress.phase("images", build).await
}

/// Opens or makes the cluster of the run; returns whether it is new.
async fn open_or_make_cluster(run: &Run, provider: &Provider) -> Result<(Cluster, bool)> {
    let options = &run.options.cluster;
    if let Some(cluster) = run.cluster.open().await? {
        let record = cluster.record();
        let same_image = options.node_image.as_ref().is_none_or(|image| *image == record.image)
            && options.kubernetes.as_ref().is_none_or(|it| images::is_of_minor(&record.image, it));
        ensure!(
            record.nodes == options.nodes && same_image && record.provider == options.provider,
            "the cluster that stays has {} nodes of {}, run by {}: `cargo xtask e2e down` deletes it, or ask for \
             the same",
            record.nodes,
            record.image,
            record.provider
        );
        run.progress.say(format_args!("using cluster {}", record.name));
        run.cluster.heal().await;
        return Ok((cluster, false));
    }
    let image = run
        .progress
        .phase("node image", async |phase| {
            let (kubernetes, image) =
                (options.kubernetes.as_deref(), options.node_image.as_deref());
            let image = provider.node_image(kubernetes, image, phase).await?;
            if let Some(kubernetes) = &image.kubernetes {
                phase.outcome(format_args!("{}, Kubernetes {kubernetes}", image.reference));
            }
            anyhow::Ok(image)
        })
        .await?;
    let version = Cmd::new(&image.kind).arg("--version").run(&run.folder.logs).await?.text();
    run.report.version("kind", version);
    let record = Record {
        name: format!("{}{}", names_of_this_checkout(), paths::run_name()),
        nodes: options.nodes,
        provider: options.provider,
        image: image.reference,
        kind: image.kind,
        kubectl: image.kubectl,
        kept: false,
    };
    let cluster = run.cluster.make(create(run, record)).await?;
    Ok((cluster, true))
}

async fn create(run: &Run, record: Record) -> Result<Cluster> {
    run.progress
        .phase("cluster", async |phase| {
            phase.detail(format_args!("kind create cluster of {}", record.image));
            let cluster = Cluster::create(record, &run.cluster.folder, &run.folder.logs).await?;
            let client = cluster.client().await?;
            let deadline = Deadline::after(NODES_LIMIT);
            let wait = Waiter::new(&client, phase, "kube-system", deadline);
            cluster.wait_for_nodes(&client, &wait).await?;
            let record = cluster.record();
            phase.outcome(format_args!("{}, {} nodes", record.name, record.nodes));
            anyhow::Ok(cluster)
        })
        .await
}
