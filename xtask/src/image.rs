//! `cargo xtask image`: the container images of the operator, the terminator and the sample.

mod architecture;
pub(crate) mod archive;
mod binaries;
mod cross;
mod kept;
pub(crate) mod oci;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use clap::ValueEnum;
use harness::process::{Cmd, LogDir};
use harness::progress::{Phase, Progress};
use harness::provide::Profile;
use harness::{images, paths};

pub(crate) use self::architecture::Architecture;
pub(crate) use self::binaries::{Binaries, build as build_binaries, build_for};
pub(crate) use self::cross::add_target;
use harness::command::Verdict;

use crate::context::Context;
use crate::offline::docker::{self, Build};
use crate::offline::node_image;
use crate::offline::provision::{self, Provision};

/// The most that an image with one of our binaries may weigh, in bytes.
///
/// On ARM64 functions with the same code are not one, see `binaries`.
fn limit(architecture: Architecture) -> u64 {
    match architecture {
        Architecture::Amd64 => 8 << 20,
        Architecture::Arm64 => 9 << 20,
    }
}

/// `docker load` and `docker push`.
const DOCKER_TIMEOUT: Duration = Duration::from_secs(10 * 60);

#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Build only this image; repeatable. Default: all images.
    #[arg(long, value_name = "NAME")]
    only: Vec<Image>,

    /// Tag of the images. Default: the tag in the manifests under deploy/.
    #[arg(long)]
    tag: Option<String>,

    /// Registry and path with which the image names start.
    #[arg(long, default_value = images::REGISTRY)]
    registry: String,

    /// Push the images after the build.
    #[arg(long)]
    push: bool,
}

/// An image that this repository builds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Image {
    /// The controller.
    Operator,
    /// The sidecar that follows logs.
    Terminator,
    /// The container of the sample Job.
    Cleanup,
}

/// An image that was built.
#[derive(Debug)]
pub(crate) struct Built {
    /// Name and tag.
    pub(crate) reference: String,
    /// Size of its content in bytes, not compressed.
    size: u64,
    /// The archive, of an image that is made of one binary.
    archive: Option<Stored>,
}

/// The archive of an image.
#[derive(Clone, Debug)]
struct Stored {
    path: PathBuf,
    /// The digest of its manifest: the same wherever the same sources are built.
    digest: String,
}

pub(crate) async fn run(args: Args, cx: &Context) -> Result<Verdict> {
    let logs = cx.logs("image")?;
    let progress = Progress::new();
    let wanted = if args.only.is_empty() { Image::value_variants().to_vec() } else { args.only };
    let names = Names { registry: args.registry, tag: args.tag };
    let provision = Provision::new(cx, &logs, &progress);
    let built = progress
        .phase("images", async |phase| {
            provision::docker::ensure(&provision).await?;
            build(&wanted, &names, Profile::Release, &provision, phase).await
        })
        .await?;
    for image in &built {
        println!("{:<48} {}", image.reference, mib(image.size));
        if let Some(archive) = &image.archive {
            println!("  {} in {}", archive.digest, archive.path.display());
        }
    }
    if args.push {
        progress.phase("push", async |phase| push(&built, &logs, phase).await).await?;
    }
    Ok(Verdict::Passed)
}

/// How the images are called.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    pub(crate) registry: String,
    pub(crate) tag: Option<String>,
}

/// The names that the manifests under `deploy/` use.
impl Default for Names {
    fn default() -> Self {
        Self { registry: images::REGISTRY.to_owned(), tag: None }
    }
}

impl Names {
    pub(crate) fn reference(&self, image: Image) -> String {
        let registry = self.registry.trim_end_matches('/');
        let tag = self.tag.as_deref().unwrap_or(image.default_tag());
        format!("{registry}/{}:{tag}", image.repository())
    }
}

impl Image {
    pub(crate) fn repository(self) -> &'static str {
        match self {
            Self::Operator => images::OPERATOR,
            Self::Terminator => images::TERMINATOR,
            Self::Cleanup => images::CLEANUP,
        }
    }

    fn default_tag(self) -> &'static str {
        match self {
            Self::Operator | Self::Terminator => images::VERSION,
            Self::Cleanup => images::CLEANUP_VERSION,
        }
    }

    /// The workspace package whose binary the image holds.
    pub(crate) fn package(self) -> Option<&'static str> {
        match self {
            Self::Operator => Some("operator"),
            Self::Terminator => Some("terminator"),
            Self::Cleanup => None,
        }
    }
}

/// Builds images one after the other; cargo runs once for all of them.
pub(crate) async fn build(
    wanted: &[Image],
    names: &Names,
    profile: Profile,
    provision: &Provision,
    phase: &Phase,
) -> Result<Vec<Built>> {
    let logs = provision.logs();
    let packages: Vec<_> = wanted.iter().filter_map(|image| image.package()).collect();
    let binaries = if packages.is_empty() {
        None
    } else {
        phase.detail(format_args!("cargo build {}", packages.join(" ")));
        Some(binaries::build(&packages, profile, logs).await?)
    };
    let mut built = Vec::new();
    for &image in wanted {
        let reference = names.reference(image);
        phase.detail(&reference);
        built.push(match (image.package(), &binaries) {
            (Some(package), Some(binaries)) => {
                of_binary(reference, package, binaries, profile, logs).await?
            }
            _ => of_recipe(image, reference, provision, phase).await?,
        });
    }
    let sizes: Vec<_> = built.iter().map(|image| mib(image.size)).collect();
    phase.outcome(sizes.join(", "));
    Ok(built)
}

/// Makes the image of a binary, and gives it to Docker.
async fn of_binary(
    reference: String,
    package: &str,
    binaries: &Binaries,
    profile: Profile,
    logs: &LogDir,
) -> Result<Built> {
    let binary = read_binary(binaries, package, profile)?;
    let archive = archive::write(&archive::Content {
        reference: &reference,
        name: package,
        binary: &binary,
        architecture: binaries.architecture.name(),
        version: images::VERSION,
        revision: None,
        created: created()?,
    })?;
    let folder = paths::target().join("images");
    let path = folder.join(format!("{package}.tar"));
    archive::replace(&path, &archive.bytes)
        .with_context(|| format!("cannot write {}", path.display()))?;
    Cmd::new("docker")
        .args(["load", "--input"])
        .arg(&path)
        .timeout(DOCKER_TIMEOUT)
        .name(format!("docker-load-{package}"))
        .run(logs)
        .await?;
    let size = binary.len() as u64;
    Ok(Built { reference, size, archive: Some(Stored { path, digest: archive.digest }) })
}

/// The binary of a package, which must not be too large to be released.
pub(crate) fn read_binary(binaries: &Binaries, package: &str, profile: Profile) -> Result<Vec<u8>> {
    let binary = fs_err::read(binaries.folder.join(package))?;
    let size = binary.len() as u64;
    let limit = limit(binaries.architecture);
    ensure!(
        profile == Profile::Quick || size <= limit,
        "{package} has {}, more than the {} it may have",
        mib(size),
        mib(limit)
    );
    Ok(binary)
}

/// The time that images give as that of their making: `SOURCE_DATE_EPOCH` in seconds, as for all builds
/// that can be repeated (<https://reproducible-builds.org/specs/source-date-epoch>), or the beginning of
/// 1970, so that the same binary is the same image.
pub(crate) fn created() -> Result<u64> {
    match std::env::var("SOURCE_DATE_EPOCH") {
        Ok(seconds) => seconds
            .parse()
            .with_context(|| format!("SOURCE_DATE_EPOCH is no number of seconds: {seconds}")),
        Err(_) => Ok(0),
    }
}

/// Builds the image of a Dockerfile under `images/`.
async fn of_recipe(
    image: Image,
    reference: String,
    provision: &Provision,
    phase: &Phase,
) -> Result<Built> {
    let base = node_image::busybox(provision, phase).await?;
    let logs = provision.logs();
    let context = paths::workspace().join("images").join(image.repository());
    let build = Build::new(context, "Dockerfile").argument("BASE", &base);
    build.run(Some(&reference), logs).await?;
    let size = docker::inspect(&reference, "Size", logs).await?;
    let size =
        size.parse().with_context(|| format!("docker gives {reference} the size {size:?}"))?;
    Ok(Built { reference, size, archive: None })
}

/// Pushes images.
async fn push(built: &[Built], logs: &LogDir, phase: &Phase) -> Result<()> {
    for image in built {
        phase.detail(&image.reference);
        let push = Cmd::new("docker").args(["push", &image.reference]);
        if let Err(error) = push.timeout(DOCKER_TIMEOUT).run(logs).await {
            bail!(
                "cannot push {}: `docker login` to a registry that you may write to, and name it \
                 with --registry\n{error}",
                image.reference
            );
        }
    }
    Ok(())
}

pub(crate) fn mib(bytes: u64) -> String {
    // Image sizes are far below the 2^53 where a double gets coarse.
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_names_are_those_of_the_seed_and_the_version() {
        let names = Names::default();
        let version = env!("CARGO_PKG_VERSION");
        assert_eq!(
            names.reference(Image::Operator),
            format!("darkowlzz/daemonset-job-operator:{version}")
        );
        assert_eq!(names.reference(Image::Cleanup), "darkowlzz/cleanup:v0.0.2");
    }

    #[test]
    fn registry_and_tag_of_the_user_win() {
        let names = Names {
            registry: "registry.example:5000/team/".to_owned(),
            tag: Some("dev".to_owned()),
        };
        assert_eq!(
            names.reference(Image::Terminator),
            "registry.example:5000/team/daemonset-job-terminator:dev"
        );
    }
}
