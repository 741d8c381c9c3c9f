//! `cargo xtask node-image`: the image of a kind node, and the other images that tests are made of.
//!
//! Where a registry answers, the official images are pulled and nothing is built. Elsewhere the
//! same is built from Debian packages, once for each state of the recipe under `images/`:
//!
//! | function | connected | offline |
//! | --- | --- | --- |
//! | [`ensure`] | `kindest/node` | `daemonset-job/kind-node` |
//! | [`control_plane_sources`] | `registry.k8s.io/…` | `daemonset-job/{etcd,kube-apiserver,…}` |
//! | [`busybox`] | `busybox` | `daemonset-job/busybox` |
//!
//! A cluster of the built node image needs nothing of its own in kind's configuration and no step
//! after its creation: the image installs its pod network, keeps the routes between the nodes, and
//! leaves CoreDNS out. There is no cluster DNS, so that pods reach Services by address.

mod build;
mod debian;
mod docker;
mod official;
mod recipe;

use std::path::Path;

use anyhow::{Context as _, Result};
use e2e::process::{Cmd, CommandError};
use e2e::progress::{Phase, Progress};

use self::build::Builder;
use crate::context::{Context, Verdict};
use crate::control_plane::Sources;
use crate::provision::{self, Provision};

#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Build the offline image even where the official one can be pulled.
    #[arg(long)]
    build: bool,
}

pub(crate) async fn run(args: Args, cx: &Context) -> Result<Verdict> {
    let logs = cx.logs("node-image")?;
    let progress = Progress::new();
    let provision = Provision::new(cx, &logs, &progress);
    let image = progress
        .phase("node image", async |phase| {
            provision::docker::ensure(&provision).await?;
            let image = if args.build {
                Builder::new(&provision, phase)?.node().await?
            } else {
                let kind = provision::KIND.ensure(&provision).await?;
                ensure(&kind, &provision, phase).await?
            };
            phase.outcome(format_args!("{} ({:?})", image.reference, image.source));
            anyhow::Ok(image)
        })
        .await?;
    println!("{}", image.reference);
    Ok(Verdict::Passed)
}

/// An image that kind can make nodes of; Docker has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NodeImage {
    /// Its name, as `kind create cluster --image` takes it.
    pub(crate) reference: String,
    /// The version of Kubernetes in it, for example `v1.34.0`.
    pub(crate) kubernetes_version: String,
    /// Where it came from.
    pub(crate) source: Source,
}

/// Where an image came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// From a registry.
    Pulled,
    /// Built here.
    Built,
}

/// Provides the image of a kind node that fits the kind program: the official one, or one built here.
///
/// # Errors
/// When none can be pulled and none be built, with what to do.
pub(crate) async fn ensure(kind: &Path, provision: &Provision, phase: &Phase) -> Result<NodeImage> {
    let official = official::node_image(kind, provision).await?;
    if docker::has(official, provision).await {
        return pulled(official, provision).await;
    }
    let builder = Builder::new(provision, phase)?;
    if let Some(image) = builder.existing_node().await {
        return Ok(image);
    }
    match docker::pull(official, provision, phase).await {
        Ok(()) => pulled(official, provision).await,
        Err(error) => {
            report_unpullable(official, &error, provision);
            builder
                .node()
                .await
                .with_context(|| instead(official, &error, "give another with --node-image"))
        }
    }
}

async fn pulled(reference: &str, provision: &Provision) -> Result<NodeImage> {
    Ok(NodeImage {
        reference: reference.to_owned(),
        kubernetes_version: version_in(reference, provision).await?,
        source: Source::Pulled,
    })
}

/// Reads the version that a node image says it has, where kind reads it too.
async fn version_in(reference: &str, provision: &Provision) -> Result<String> {
    let version = Cmd::new("docker")
        .args(["run", "--rm", "--entrypoint=cat"])
        .args([reference, "/kind/version"])
        .run(provision.logs())
        .await
        .with_context(|| format!("{reference} is no image of a kind node"))?;
    Ok(version.text())
}

/// Provides the images that a control plane in a container is made of, see `images/control-plane`.
///
/// # Errors
/// When they can neither be pulled nor built, with what to do.
pub(crate) async fn control_plane_sources(provision: &Provision, phase: &Phase) -> Result<Sources> {
    let builder = Builder::new(provision, phase)?;
    if let Some(sources) = builder.existing_control_plane().await {
        return Ok(sources);
    }
    let official = Sources::official();
    for reference in official.references() {
        if let Err(error) = docker::pull_if_absent(reference, provision, phase).await {
            report_unpullable(reference, &error, provision);
            return builder
                .control_plane()
                .await
                .with_context(|| instead(reference, &error, "pull it by hand"));
        }
    }
    Ok(official)
}

/// Provides a base image with a shell and the usual small programs, all of them `/bin/busybox`.
///
/// # Errors
/// When it can neither be pulled nor built, with what to do.
pub(crate) async fn busybox(provision: &Provision, phase: &Phase) -> Result<String> {
    let builder = Builder::new(provision, phase)?;
    if let Some(reference) = builder.existing_busybox().await {
        return Ok(reference);
    }
    let official = Sources::official().busybox;
    match docker::pull_if_absent(&official, provision, phase).await {
        Ok(()) => Ok(official),
        Err(error) => {
            report_unpullable(&official, &error, provision);
            builder.busybox().await.with_context(|| instead(&official, &error, "pull it by hand"))
        }
    }
}

fn report_unpullable(reference: &str, error: &CommandError, provision: &Provision) {
    provision.say(format_args!(
        "{} cannot be pulled ({}): building from Debian packages instead",
        short(reference),
        reason(error)
    ));
}

/// Why an image had to be built here, for when that fails as well.
fn instead(reference: &str, pull: &CommandError, cure: &str) -> String {
    format!(
        "{} cannot be pulled ({}), and building one here failed; get Docker to reach a registry, or {cure}",
        short(reference),
        reason(pull)
    )
}

/// A name without its digest, which tells people nothing.
fn short(reference: &str) -> &str {
    reference.split('@').next().unwrap_or(reference)
}

fn reason(error: &CommandError) -> String {
    let last = error.tail.last();
    last.map_or_else(|| error.cause.to_string(), |line| line.trim().to_owned())
}
