//! `xtask provide`: what the runners of scenarios and benchmarks ask for, see [`harness::provide`].

use anyhow::Result;
use clap::{Subcommand, ValueEnum as _};
use harness::command::{self, Verdict};
use harness::progress::{Phase, Progress};
use harness::provide::{Failure, Image as Source, NodeImage, Profile, Release, ReleasedImage};
use harness::{images, paths};
use serde::Serialize;
use serde_json::Value;

use crate::context::Context;
use crate::image::{self, Image, Names};
use crate::offline::provision::{self, Provision};
use crate::offline::{control_plane, node_image};
use crate::release;

/// The crate of the kubectl plugin, and its program.
const PLUGIN: &str = "kubectl-dsjob";

#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Clone, Debug, Subcommand)]
enum What {
    /// A Docker daemon that answers: its version.
    Docker {
        /// And Podman.
        #[arg(long)]
        podman: bool,
    },
    /// The images of `deploy/` and of its samples.
    Images {
        #[arg(long)]
        profile: String,
    },
    /// The image of a node, and the programs that fit it.
    NodeImage {
        #[arg(long)]
        kubernetes: Option<String>,
        #[arg(long)]
        node_image: Option<String>,
    },
    /// The image that enforces NetworkPolicies.
    KubeRouter,
    /// The image that scrapes metrics.
    Prometheus,
    /// The path of kind.
    Kind,
    /// The image of a control plane.
    ControlPlane,
    /// The folder of operator and terminator.
    Binaries,
    /// The path of the kubectl plugin.
    Plugin {
        #[arg(long)]
        profile: String,
    },
    /// What `release --no-push` makes.
    Release,
}

/// Provides it, and prints the answer or the failure.
pub(crate) async fn run(args: Args, cx: &Context) -> Result<Verdict> {
    let logs = cx.logs("provide")?;
    let progress = Progress::relay();
    let provision = Provision::new(cx, &logs, &progress);
    let provided = progress
        .phase("provide", async |phase| args.what.provide(&provision, &progress, phase).await)
        .await;
    let (answer, verdict) = match provided {
        Ok(answer) => (answer, Verdict::Passed),
        Err(error) => (json(&Failure { error: format!("{error:#}") })?, Verdict::Broken),
    };
    command::print(&format!("{answer}\n"))?;
    Ok(verdict)
}

impl What {
    async fn provide(
        self,
        provision: &Provision,
        progress: &Progress,
        phase: &Phase,
    ) -> Result<Value> {
        match self {
            Self::Docker { podman } => {
                provision::docker::ensure(provision).await?;
                if podman {
                    provision::podman::ensure(provision).await?;
                }
                json(&provision::docker::server(provision.logs()).await.unwrap_or_default())
            }
            Self::Images { profile } => {
                let (all, profile) = (Image::value_variants(), profile_of(&profile));
                let built = image::build(all, &Names::default(), profile, provision, phase).await?;
                let busybox = node_image::busybox(provision, phase).await?;
                let named = built.into_iter().map(|image| Source::named(image.reference));
                let busybox = Source { local: busybox, name: images::BUSYBOX.to_owned() };
                json(&named.chain([busybox]).collect::<Vec<_>>())
            }
            Self::NodeImage { node_image: Some(reference), .. } => {
                let kind = provision::KIND.ensure(provision).await?;
                let kubectl = node_image::kubectl(provision).await?;
                json(&NodeImage { reference, kubernetes: None, kind, kubectl })
            }
            Self::NodeImage { kubernetes, node_image: None } => {
                json(&node_image::ensure(kubernetes.as_deref(), provision, phase).await?)
            }
            Self::KubeRouter => {
                let local = node_image::kube_router(provision, phase).await?;
                json(&Source { local, name: images::KUBE_ROUTER.to_owned() })
            }
            Self::Prometheus => {
                let local = node_image::prometheus(provision, phase).await?;
                json(&Source { local, name: images::PROMETHEUS.to_owned() })
            }
            Self::Kind => json(&provision::KIND.ensure(provision).await?),
            Self::Release => {
                let folder = paths::target().join("dist");
                let args = release::Args::into_folder(folder);
                let made = release::make(&args, provision, progress).await?;
                let image = |image: release::Released| ReleasedImage {
                    layout: made.folder.join(image.layout),
                    reference: image.reference,
                    digest: image.digest,
                };
                let images = made.images.into_iter().map(image).collect();
                let helm = provision::HELM.ensure(provision).await?;
                json(&Release { folder: made.folder.clone(), images, chart: made.chart, helm })
            }
            Self::ControlPlane => {
                let sources = node_image::control_plane_sources(provision, phase).await?;
                json(&control_plane::ensure(&sources, provision.logs()).await?)
            }
            Self::Binaries => {
                let packages = ["operator", "terminator"];
                let binaries = image::build_binaries(&packages, Profile::Release, provision.logs());
                json(&binaries.await?.folder)
            }
            Self::Plugin { profile } => {
                let profile = profile_of(&profile);
                let built = image::build_binaries(&[PLUGIN], profile, provision.logs()).await?;
                json(&built.folder.join(PLUGIN))
            }
        }
    }
}

/// The profile of this name.
fn profile_of(name: &str) -> Profile {
    if name == "quick" { Profile::Quick } else { Profile::Release }
}

fn json(answer: &impl Serialize) -> Result<Value> {
    Ok(serde_json::to_value(answer)?)
}
