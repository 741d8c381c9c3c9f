//! The phases before the scenarios: machine, images, cluster, load, deploy.

use std::time::Duration;

use anyhow::{Result, ensure};
use clap::ValueEnum as _;
use e2e::cluster::{Cluster, FileLock, Provider, Record, Source};
use e2e::deploy::{self, Deployed};
use e2e::process::Cmd;
use e2e::progress::Phase;
use e2e::scenario;
use e2e::wait::{Deadline, Waiter};
use e2e::{images, paths};
use kube::Client;
use sha2::{Digest as _, Sha256};

use super::session::{Session, runs};
use crate::context::Context;
use crate::image::{self, Image, Names, Profile};
use crate::node_image::{self, Tools};
use crate::provision::{self, Provision};

/// How long the nodes of a new cluster may take to get ready once kind is done.
const NODES_LIMIT: Duration = Duration::from_secs(180);

/// How long the operator's Deployment may take to be available.
const DEPLOY_LIMIT: Duration = Duration::from_secs(120);

/// What scenarios need.
pub(super) struct Ready {
    pub(super) cluster: Cluster,
    pub(super) client: Client,
    pub(super) deployed: Deployed,
}

/// What only some scenarios need.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Needs {
    /// Something in the cluster that enforces NetworkPolicies.
    pub(super) network_policies: bool,
}

impl Ready {
    /// What a scenario works with that shows its progress in `phase`.
    pub(super) fn context<'a>(
        &'a self,
        session: &'a Session,
        phase: &'a Phase,
    ) -> scenario::Context<'a> {
        scenario::Context {
            cluster: &self.cluster,
            client: &self.client,
            deployed: &self.deployed,
            logs: &session.logs,
            phase,
        }
    }
}

/// What the names of clusters begin with that this checkout makes: another one has its own.
pub(super) fn names_of_this_checkout() -> String {
    let path = paths::workspace();
    let digest = Sha256::digest(path.as_os_str().as_encoded_bytes());
    let tag: String = digest.iter().take(2).map(|byte| format!("{byte:02x}")).collect();
    format!("dsjob-{tag}-")
}

/// Brings up a cluster with the operator deployed from this source tree.
pub(super) async fn prepare(session: &Session, needs: Needs, cx: &Context) -> Result<Ready> {
    let progress = &session.progress;
    let provision = Provision::new(cx, &session.logs, progress);
    progress
        .phase("doctor", async |_| {
            provision::docker::ensure(&provision).await?;
            if session.options.provider == Provider::Podman {
                provision::podman::ensure(&provision).await?;
            }
            let docker = provision::docker::server(&session.logs).await.unwrap_or_default();
            session.report(|report| report.versions.insert("docker".to_owned(), docker));
            anyhow::Ok(())
        })
        .await?;
    // Compiling keeps the processors busy, making a cluster mostly waits.
    let (mut images, (cluster, is_new)) =
        tokio::try_join!(build_images(session, &provision), make_cluster(session, &provision))?;
    // Official node images enforce them by themselves.
    if needs.network_policies && node_image::is_built_here(&cluster.record().image) {
        let image = progress
            .phase("kube-router", async |phase| node_image::kube_router(&provision, phase).await)
            .await?;
        images.push(Source { local: image, name: images::KUBE_ROUTER.to_owned() });
    }
    let client = cluster.client().await?;
    let version = client.apiserver_version().await?;
    session.report(|report| {
        report.cluster = Some(cluster.record().clone());
        report.versions.insert("kubernetes".to_owned(), version.git_version);
    });
    let loaded = progress
        .phase("load", async |phase| {
            let loaded = cluster.load(&images).await?;
            phase.outcome(format_args!("{} loaded, {} were there", loaded.loaded, loaded.present));
            anyhow::Ok(loaded)
        })
        .await?;
    let deployed = progress
        .phase("deploy", async |phase| {
            let deployed = deploy::apply(&cluster, &session.logs).await?;
            if loaded.loaded > 0 && !is_new {
                deployed.restart(&cluster, &session.logs).await?;
            }
            let deadline = Deadline::after(DEPLOY_LIMIT);
            let wait = Waiter::new(&client, phase, &deployed.namespace, deadline);
            deployed.wait_until_available(&client, &wait).await?;
            phase.outcome(format_args!("{}/{}", deployed.namespace, deployed.name));
            anyhow::Ok(deployed)
        })
        .await?;
    Ok(Ready { cluster, client, deployed })
}

/// The images of `deploy/` and its samples.
async fn build_images(session: &Session, provision: &Provision) -> Result<Vec<Source>> {
    let all = Image::value_variants();
    let profile = if session.options.reuse { Profile::Quick } else { Profile::Release };
    session
        .progress
        .phase("images", async |phase| {
            let built = image::build(all, &Names::default(), profile, provision, phase).await?;
            let busybox = node_image::busybox(provision, phase).await?;
            let named = built.into_iter().map(|image| Source::named(image.reference));
            let busybox = Source { local: busybox, name: images::BUSYBOX.to_owned() };
            anyhow::Ok(named.chain([busybox]).collect())
        })
        .await
}

/// The cluster of the session, and whether it is a new one.
async fn make_cluster(session: &Session, provision: &Provision) -> Result<(Cluster, bool)> {
    let options = &session.options;
    let progress = &session.progress;
    if options.reuse
        && let Some(cluster) = Cluster::open(&session.cluster_folder, &session.logs).await?
    {
        let record = cluster.record();
        let same_image = options.node_image.as_ref().is_none_or(|image| *image == record.image)
            && options.kubernetes.as_ref().is_none_or(|it| node_image::is_of(&record.image, it));
        ensure!(
            record.nodes == options.nodes && same_image && record.provider == options.provider,
            "the cluster that stays has {} nodes of {}, run by {}: `cargo xtask e2e down` deletes it, or ask for \
             the same",
            record.nodes,
            record.image,
            record.provider
        );
        session.say(format_args!("using cluster {}", record.name));
        session.heal().await;
        return Ok((cluster, false));
    }
    let (image, tools) = progress
        .phase("node image", async |phase| {
            if let Some(image) = &options.node_image {
                let kind = provision::KIND.ensure(provision).await?;
                let kubectl = node_image::kubectl(provision).await?;
                return Ok((image.clone(), Tools { kind, kubectl }));
            }
            let kubernetes = options.kubernetes.as_deref();
            let (image, tools) = node_image::ensure(kubernetes, provision, phase).await?;
            phase.outcome(format_args!(
                "{}, Kubernetes {}",
                image.reference, image.kubernetes_version
            ));
            anyhow::Ok((image.reference, tools))
        })
        .await?;
    let version = Cmd::new(&tools.kind).arg("--version").run(&session.logs).await?.text();
    session.report(|report| report.versions.insert("kind".to_owned(), version));
    let _creating = FileLock::take(&runs().join("create.lock")).await?;
    session.cluster_is_half_made(true);
    // What is left of a cluster that stopped is of no use.
    Cluster::delete(&session.cluster_folder, &session.logs).await?;
    progress
        .phase("cluster", async |phase| {
            let record = Record {
                name: format!("{}{}", names_of_this_checkout(), paths::run_name()),
                nodes: options.nodes,
                provider: options.provider,
                image,
                kind: tools.kind,
                kubectl: tools.kubectl,
                kept: false,
            };
            phase.detail(format_args!("kind create cluster of {}", record.image));
            let cluster = Cluster::create(record, &session.cluster_folder, &session.logs).await?;
            let client = cluster.client().await?;
            let deadline = Deadline::after(NODES_LIMIT);
            let wait = Waiter::new(&client, phase, "kube-system", deadline);
            cluster.wait_for_nodes(&client, &wait).await?;
            phase.outcome(format_args!("{}, {} nodes", cluster.record().name, options.nodes));
            session.cluster_is_half_made(false);
            anyhow::Ok((cluster, true))
        })
        .await
}
