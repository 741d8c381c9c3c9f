//! `cargo xtask image`: the container images of the operator, the terminator and the sample.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use clap::ValueEnum;
use e2e::process::{Cmd, LogDir};
use e2e::progress::{Phase, Progress};
use e2e::{images, paths};

use crate::cargo::cargo;
use crate::context::{Context, Verdict};
use crate::node_image;
use crate::provision::{self, Provision};

/// The most that an image with one of our binaries may weigh, in bytes.
const BINARY_IMAGE_LIMIT: u64 = 8 << 20;

/// A build with fat LTO on a small machine, dependencies included.
const BUILD_TIMEOUT: Duration = Duration::from_secs(30 * 60);

/// `docker build` and `docker push`.
const DOCKER_TIMEOUT: Duration = Duration::from_secs(10 * 60);

#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Build only this image; may be given several times. Default: all.
    #[arg(long, value_name = "NAME")]
    only: Vec<Image>,

    /// Tag of the images. Default: what the manifests under deploy/ use.
    #[arg(long)]
    tag: Option<String>,

    /// Registry, with the path in it, that the names start with.
    #[arg(long, default_value = images::REGISTRY)]
    registry: String,

    /// Push the images once they are built.
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
    pub(crate) size: u64,
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
    }
    if args.push {
        progress.phase("push", async |phase| push(&built, &logs, phase).await).await?;
    }
    Ok(Verdict::Passed)
}

/// What the binaries are built for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Profile {
    /// Small images, which users get.
    Release,
    /// A short wait after a change.
    Quick,
}

impl Profile {
    /// Its name in `Cargo.toml`, and that of its folder.
    fn name(self) -> &'static str {
        match self {
            Self::Release => "release",
            Self::Quick => "quick",
        }
    }
}

/// How the images are called.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    registry: String,
    tag: Option<String>,
}

/// The names that the manifests under `deploy/` use.
impl Default for Names {
    fn default() -> Self {
        Self { registry: images::REGISTRY.to_owned(), tag: None }
    }
}

impl Names {
    fn reference(&self, image: Image) -> String {
        let registry = self.registry.trim_end_matches('/');
        let tag = self.tag.as_deref().unwrap_or(image.default_tag());
        format!("{registry}/{}:{tag}", image.repository())
    }
}

impl Image {
    fn repository(self) -> &'static str {
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

    /// The folder under `images/`.
    fn folder(self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::Terminator => "terminator",
            Self::Cleanup => "cleanup",
        }
    }

    /// The workspace package whose binary the image holds.
    fn package(self) -> Option<&'static str> {
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
        PathBuf::new()
    } else {
        phase.detail(format_args!("cargo build {}", packages.join(" ")));
        build_binaries(&packages, profile, logs).await?
    };
    let mut built = Vec::new();
    for &image in wanted {
        let reference = names.reference(image);
        phase.detail(format_args!("docker build {reference}"));
        let context = stage(image, &binaries)?;
        let mut docker = Cmd::new("docker").args(["build", "--tag", &reference]);
        if image == Image::Cleanup {
            let base = node_image::busybox(provision, phase).await?;
            docker = docker.args(["--build-arg", &format!("BASE={base}")]);
        }
        docker
            .arg(&context)
            .timeout(DOCKER_TIMEOUT)
            .name(format!("docker-build-{}", image.folder()))
            .run(logs)
            .await?;
        let size = match image.package() {
            // The binary is all there is. Docker's own figure depends on how it stores images.
            Some(package) => std::fs::metadata(context.join(package))?.len(),
            None => image_size(&reference, logs).await?,
        };
        ensure!(
            image.package().is_none() || profile == Profile::Quick || size <= BINARY_IMAGE_LIMIT,
            "{reference} has {}, more than the {} it may have",
            mib(size),
            mib(BINARY_IMAGE_LIMIT)
        );
        built.push(Built { reference, size });
    }
    let sizes: Vec<_> = built.iter().map(|image| mib(image.size)).collect();
    phase.outcome(sizes.join(", "));
    Ok(built)
}

/// Builds static release binaries and returns the folder that holds them.
pub(crate) async fn build_binaries(
    packages: &[&str],
    profile: Profile,
    logs: &LogDir,
) -> Result<PathBuf> {
    let host = host_triple(logs).await?;
    ensure!(
        host.contains("-linux-"),
        "the images hold Linux binaries and this is {host}: run `cargo xtask image` on Linux"
    );
    let mut flags = std::env::var("RUSTFLAGS").unwrap_or_default();
    flags.push_str(" -C target-feature=+crt-static");
    // With `--target` the flags reach only what goes into the binaries: procedural macros are
    // shared libraries and cannot be static.
    let mut build = cargo()
        .args(["build", "--profile", profile.name(), "--target", &host])
        .env("RUSTFLAGS", flags.trim_start())
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .timeout(BUILD_TIMEOUT);
    for package in packages {
        build = build.args(["--package", package]);
    }
    build.run(logs).await.context(
        "cannot build static binaries; a static C library is needed (Debian: libc6-dev, \
         Fedora: glibc-static)",
    )?;
    Ok(paths::target().join(host).join(profile.name()))
}

/// The target triple that the compiler builds for by default.
async fn host_triple(logs: &LogDir) -> Result<String> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let version = Cmd::new(rustc).arg("-vV").run(logs).await?.text();
    version
        .lines()
        .find_map(|line| line.strip_prefix("host: "))
        .map(str::to_owned)
        .with_context(|| format!("`rustc -vV` names no host: {version}"))
}

/// Puts together what `docker build` may see: the image's folder and its binary, nothing else.
fn stage(image: Image, binaries: &Path) -> Result<PathBuf> {
    let source = paths::workspace().join("images").join(image.folder());
    let context = paths::target().join("images").join(image.folder());
    let copy = || -> std::io::Result<()> {
        if context.exists() {
            std::fs::remove_dir_all(&context)?;
        }
        std::fs::create_dir_all(&context)?;
        for entry in std::fs::read_dir(&source)? {
            let entry = entry?;
            std::fs::copy(entry.path(), context.join(entry.file_name()))?;
        }
        if let Some(package) = image.package() {
            std::fs::copy(binaries.join(package), context.join(package))?;
        }
        Ok(())
    };
    copy().with_context(|| format!("cannot stage {}", context.display()))?;
    Ok(context)
}

/// The size of an image in bytes.
async fn image_size(reference: &str, logs: &LogDir) -> Result<u64> {
    let size = Cmd::new("docker")
        .args(["image", "inspect", "--format", "{{.Size}}", reference])
        .run(logs)
        .await?
        .text();
    size.parse().with_context(|| format!("docker gives {reference} the size {size:?}"))
}

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

fn mib(bytes: u64) -> String {
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
