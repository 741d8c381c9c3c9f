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
//! | [`prometheus`] | `quay.io/prometheus/prometheus` | `daemonset-job/prometheus` |
//!
//! A cluster of the built node image needs nothing of its own in kind's configuration and no step
//! after its creation: the image installs its pod network, keeps the routes between the nodes, and
//! leaves CoreDNS out. There is no cluster DNS, so that pods reach Services by address.

mod build;
mod debian;
mod official;
mod recipe;

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use harness::command::Verdict;
use harness::images;
use harness::process::{Cmd, CommandError};
use harness::progress::{Phase, Progress};
use harness::provide::NodeImage;

use self::build::Builder;
use self::recipe::MINORS;
use crate::context::Context;
use crate::offline::control_plane::Sources;
use crate::offline::docker;
use crate::offline::provision::{self, Provision};

/// The official image of Prometheus, of the version that is built here elsewhere.
const PROMETHEUS: &str = "quay.io/prometheus/prometheus:v3.16.0";

/// The Kubernetes that is built by default, and runs the integration tests.
const NEWEST: &str = MINORS[0];

/// An image that kind can make nodes of; Docker has it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Found {
    /// Its name, as `kind create cluster --image` takes it.
    reference: String,
    /// The version of Kubernetes in it, for example `v1.34.0`.
    kubernetes_version: String,
    /// Where it came from.
    origin: Origin,
}

/// Where an image came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    /// From a registry.
    Pulled,
    /// Built here.
    Built,
}

#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Build the offline image even if the official one can be pulled.
    #[arg(long)]
    build: bool,

    /// Minor version of Kubernetes, for example 1.33. Default: the newest available.
    #[arg(long, value_name = "MINOR", value_parser = images::parse_minor)]
    kubernetes: Option<String>,
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
                built(&Builder::new(kubernetes.unwrap_or(NEWEST), &provision, phase)?).await?
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

/// Provides a kind node's image and the programs that fit it, pulled or built here.
pub(crate) async fn ensure(
    kubernetes: Option<&str>,
    provision: &Provision,
    phase: &Phase,
) -> Result<NodeImage> {
    let kind = provision::KIND.ensure(provision).await?;
    let (image, kind) = node_image(kubernetes, kind, provision, phase).await?;
    let kubectl = match image.origin {
        Origin::Pulled => provision::KUBECTL.ensure(provision).await?,
        Origin::Built => {
            let builder = Builder::new(kubernetes.unwrap_or(NEWEST), provision, phase)?;
            builder.kubectl().await?
        }
    };
    let kubernetes = Some(image.kubernetes_version);
    Ok(NodeImage { reference: image.reference, kubernetes, kind, kubectl })
}

/// The image, and the kind that makes nodes of it: the given one, or that of `hack/tools/kind` where that is too old.
async fn node_image(
    kubernetes: Option<&str>,
    kind: PathBuf,
    provision: &Provision,
    phase: &Phase,
) -> Result<(Found, PathBuf)> {
    let build = async || {
        let builder = Builder::new(kubernetes.unwrap_or(NEWEST), provision, phase)?;
        let image = built(&builder).await?;
        anyhow::Ok((image, provision::KIND.build(provision).await?))
    };
    let mut kind = kind;
    let mut official = official::node_image(kubernetes, &kind, provision).await?;
    if official.is_none() && provision::go::check_toolchain(provision.logs()).await.is_ok() {
        kind = provision::KIND.build(provision).await?;
        official = official::node_image(kubernetes, &kind, provision).await?;
    }
    let Some(official) = official else {
        return build()
            .await
            .context("kind has no official node image of this version for this host");
    };
    if docker::has(&official, provision.logs()).await {
        return Ok((pulled(&official, provision).await?, kind));
    }
    // A version that cannot be built may still be pulled.
    if let Ok(builder) = Builder::new(kubernetes.unwrap_or(NEWEST), provision, phase)
        && builder.existing_node().await
    {
        return build().await;
    }
    match docker::pull(&official, provision.logs(), phase).await {
        Ok(()) => Ok((pulled(&official, provision).await?, kind)),
        Err(error) => {
            report_unpullable(&official, &error, provision);
            build()
                .await
                .with_context(|| instead(&official, &error, "give another with --node-image"))
        }
    }
}

async fn built(builder: &Builder<'_>) -> Result<Found> {
    builder.node().await?;
    Ok(Found {
        reference: builder.recipe.node.clone(),
        kubernetes_version: builder.recipe.kubernetes_version.clone(),
        origin: Origin::Built,
    })
}

async fn pulled(reference: &str, provision: &Provision) -> Result<Found> {
    Ok(Found {
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
pub(crate) async fn control_plane_sources(provision: &Provision, phase: &Phase) -> Result<Sources> {
    let builder = Builder::new(NEWEST, provision, phase)?;
    let (built, official) = (builder.control_plane_sources(), Sources::official());
    let build = async || builder.control_plane().await;
    let images = (&built.references()[..], &official.references()[..]);
    match built_or_pulled(images, build, provision, phase).await? {
        Origin::Built => Ok(built),
        Origin::Pulled => Ok(official),
    }
}

/// Takes images that were built here, or pulls the official ones, or builds them.
async fn built_or_pulled(
    (built, official): (&[&str], &[&str]),
    build: impl AsyncFnOnce() -> Result<()>,
    provision: &Provision,
    phase: &Phase,
) -> Result<Origin> {
    let mut is_built = true;
    for reference in built {
        is_built &= docker::has(reference, provision.logs()).await;
    }
    if is_built {
        return Ok(Origin::Built);
    }
    for reference in official {
        if let Err(error) = docker::pull_if_absent(reference, provision.logs(), phase).await {
            report_unpullable(reference, &error, provision);
            let context = || instead(reference, &error, "pull it by hand");
            build().await.with_context(context)?;
            return Ok(Origin::Built);
        }
    }
    Ok(Origin::Pulled)
}

/// Provides a base image with a shell and the usual small programs, all of them `/bin/busybox`.
pub(crate) async fn busybox(provision: &Provision, phase: &Phase) -> Result<String> {
    let builder = Builder::new(NEWEST, provision, phase)?;
    let [built, official] =
        [builder.control_plane_sources(), Sources::official()].map(|it| it.busybox);
    let build = async || builder.busybox().await;
    let origin = built_or_pulled((&[&built], &[&official]), build, provision, phase).await?;
    Ok(if matches!(origin, Origin::Built) { built } else { official })
}

/// Builds the image of kube-router, which enforces NetworkPolicies on nodes whose image was built here.
pub(crate) async fn kube_router(provision: &Provision, phase: &Phase) -> Result<String> {
    Builder::new(NEWEST, provision, phase)?.kube_router().await
}

/// Provides the image of Prometheus, pulled or built here.
pub(crate) async fn prometheus(provision: &Provision, phase: &Phase) -> Result<String> {
    let builder = Builder::new(NEWEST, provision, phase)?;
    let built = &builder.recipe.prometheus_image;
    let build = async || builder.prometheus().await;
    let origin =
        built_or_pulled((&[built.as_str()], &[PROMETHEUS]), build, provision, phase).await?;
    Ok(if matches!(origin, Origin::Built) { built.clone() } else { PROMETHEUS.to_owned() })
}

/// Provides a `kubectl`: the one that was built here, which is current, or else this machine's.
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
        error.reason()
    ));
}

/// Why an image had to be built here, for when that fails as well.
fn instead(reference: &str, pull: &CommandError, cure: &str) -> String {
    format!(
        "{} cannot be pulled ({}), and building one here failed; get Docker to reach a registry, or {cure}",
        short(reference),
        pull.reason()
    )
}

/// A name without its digest, which tells people nothing.
fn short(reference: &str) -> &str {
    reference.split('@').next().unwrap_or(reference)
}
