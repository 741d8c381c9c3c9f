//! `cargo xtask node-image`: the image of a kind node, and the other images that tests are made of.
//!
//! Where a registry answers, the official images are pulled and nothing is built. Elsewhere the
//! same is built from Go modules and Debian packages, once for each state of the recipe under `images/`:
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

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use e2e::process::{Cmd, CommandError};
use e2e::progress::{Phase, Progress};

use self::build::Builder;
use self::recipe::MINORS;
use crate::context::{Context, Verdict};
use crate::control_plane::Sources;
use crate::provision::{self, Provision};

/// The minor version of Kubernetes that is built unless another is asked for, and that the control plane of the
/// integration tests has.
const NEWEST: &str = MINORS[0];

#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Build the offline image even where the official one can be pulled.
    #[arg(long)]
    build: bool,

    /// Minor version of Kubernetes, for example 1.33. Default: the newest that there is an image of.
    #[arg(long, value_name = "MINOR", value_parser = parse_minor)]
    kubernetes: Option<String>,
}

/// A minor version of Kubernetes as people write it: `1.33`.
pub(crate) fn parse_minor(text: &str) -> Result<String, String> {
    let minor = text.strip_prefix("1.").and_then(|minor| minor.parse::<u32>().ok());
    match minor {
        Some(minor) if minor >= 31 => Ok(format!("1.{minor}")),
        Some(_) => Err("daemonset-job takes Kubernetes 1.31 or later".to_owned()),
        None => Err("a minor version is expected, for example 1.37".to_owned()),
    }
}

pub(crate) async fn run(args: Args, cx: &Context) -> Result<Verdict> {
    let logs = cx.logs("node-image")?;
    let progress = Progress::new();
    let provision = Provision::new(cx, &logs, &progress);
    let kubernetes = args.kubernetes.as_deref();
    let image = progress
        .phase("node image", async |phase| {
            provision::docker::ensure(&provision).await?;
            let image = if args.build {
                Builder::new(kubernetes.unwrap_or(NEWEST), &provision, phase)?.node().await?
            } else {
                let kind = provision::KIND.ensure(&provision).await?;
                node_image(kubernetes, kind, &provision, phase).await?.0
            };
            phase.outcome(format_args!("{} ({:?})", image.reference, image.origin));
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
    pub(crate) origin: Origin,
}

/// Where an image came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// From a registry.
    Pulled,
    /// Built here.
    Built,
}

/// Programs that fit a node image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tools {
    /// Makes clusters of it.
    pub(crate) kind: PathBuf,
    /// Talks to them.
    pub(crate) kubectl: PathBuf,
}

/// Provides the image of a kind node, of the minor version of Kubernetes that is asked for or the newest, and the
/// programs that fit it: the official one and what this machine has, or all of it built here.
///
/// # Errors
/// When none can be pulled and none be built, with what to do.
pub(crate) async fn ensure(
    kubernetes: Option<&str>,
    provision: &Provision,
    phase: &Phase,
) -> Result<(NodeImage, Tools)> {
    let kind = provision::KIND.ensure(provision).await?;
    let (image, kind) = node_image(kubernetes, kind, provision, phase).await?;
    let kubectl = match image.origin {
        Origin::Pulled => provision::KUBECTL.ensure(provision).await?,
        Origin::Built => {
            let builder = Builder::new(kubernetes.unwrap_or(NEWEST), provision, phase)?;
            builder.kubectl().await?
        }
    };
    Ok((image, Tools { kind, kubectl }))
}

/// The image, and the kind that makes nodes of it: the given one, or that of `hack/tools` where that is too old.
async fn node_image(
    kubernetes: Option<&str>,
    kind: PathBuf,
    provision: &Provision,
    phase: &Phase,
) -> Result<(NodeImage, PathBuf)> {
    let build = async || {
        let builder = Builder::new(kubernetes.unwrap_or(NEWEST), provision, phase)?;
        let image = builder.node().await?;
        anyhow::Ok((image, provision::KIND.build(provision).await?))
    };
    let mut kind = kind;
    let mut official = official::node_image(kubernetes, &kind, provision).await?;
    if official.is_none() && provision::go::is_there(provision.logs()).await {
        kind = provision::KIND.build(provision).await?;
        official = official::node_image(kubernetes, &kind, provision).await?;
    }
    let Some(official) = official else {
        return build()
            .await
            .context("kind has no official node image of this version for this host");
    };
    if docker::has(official, provision).await {
        return Ok((pulled(official, provision).await?, kind));
    }
    // A version that cannot be built may still be pulled.
    if let Ok(builder) = Builder::new(kubernetes.unwrap_or(NEWEST), provision, phase)
        && builder.existing_node().await
    {
        return build().await;
    }
    match docker::pull(official, provision, phase).await {
        Ok(()) => Ok((pulled(official, provision).await?, kind)),
        Err(error) => {
            report_unpullable(official, &error, provision);
            build()
                .await
                .with_context(|| instead(official, &error, "give another with --node-image"))
        }
    }
}

async fn pulled(reference: &str, provision: &Provision) -> Result<NodeImage> {
    Ok(NodeImage {
        reference: reference.to_owned(),
        kubernetes_version: version_in(reference, provision).await?,
        origin: Origin::Pulled,
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
    let builder = Builder::new(NEWEST, provision, phase)?;
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
    let builder = Builder::new(NEWEST, provision, phase)?;
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

/// Whether a node image was built here, by its name.
pub(crate) fn is_built_here(reference: &str) -> bool {
    reference.starts_with(recipe::REPOSITORY)
}

/// Whether a node image is of a minor version of Kubernetes, for example `1.33`, by its tag.
pub(crate) fn is_of(reference: &str, minor: &str) -> bool {
    reference.contains(&format!(":v{minor}."))
}

/// Builds the image of kube-router, which enforces NetworkPolicies on nodes whose image was built here.
///
/// # Errors
/// When it cannot be built, with what to do.
pub(crate) async fn kube_router(provision: &Provision, phase: &Phase) -> Result<String> {
    Builder::new(NEWEST, provision, phase)?.kube_router().await
}

/// Provides a `kubectl`: the one that was built here, which is current, or else this machine's.
///
/// # Errors
/// When there is none and it cannot be provided, with what to do.
pub(crate) async fn kubectl(provision: &Provision) -> Result<PathBuf> {
    match build::existing_kubectl(NEWEST)? {
        Some(kubectl) => Ok(kubectl),
        None => provision::KUBECTL.ensure(provision).await,
    }
}

fn report_unpullable(reference: &str, error: &CommandError, provision: &Provision) {
    provision.say(format_args!(
        "{} cannot be pulled ({}): building it here instead",
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_of_a_node_image_is_read_from_its_tag() {
        for image in ["kindest/node:v1.33.1@sha256:0", "daemonset-job/kind-node:v1.33.13-0e45"] {
            assert!(is_of(image, "1.33"), "{image}");
            assert!(!is_of(image, "1.3") && !is_of(image, "1.37"), "{image}");
        }
    }

    #[test]
    fn versions_that_are_none_or_too_old_are_refused() {
        assert_eq!(parse_minor("1.33"), Ok("1.33".to_owned()));
        for bad in ["1.30", "33", "v1.33", "1.33.1", "2.1", ""] {
            assert!(parse_minor(bad).is_err(), "{bad}");
        }
    }
}
