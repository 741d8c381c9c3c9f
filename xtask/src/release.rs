//! `cargo xtask release`: everything that users of a version get, in `dist/`.

mod sbom;
mod version;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use harness::command::Verdict;
use harness::kustomize::{self, Kustomization};
use harness::process::{Cmd, LogDir};
use harness::progress::{Phase, Progress};
use harness::provide::Profile;
use harness::{images, paths};

use crate::context::Context;
use crate::digest::sha256;
use crate::image::{self, Built, Image, Names};
use crate::offline::node_image;
use crate::offline::provision::{self, Provision};

/// What a release holds beside the sample: its image is built from a Dockerfile, for everyone to change.
const RELEASED: [Image; 2] = [Image::Operator, Image::Terminator];

#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Write everything and push nothing; accepts uncommitted or untagged sources.
    #[arg(long)]
    dry_run: bool,

    /// Registry and path of the images, which the manifests name.
    #[arg(long, default_value = images::REGISTRY)]
    registry: String,
}

pub(crate) async fn run(args: Args, cx: &Context) -> Result<Verdict> {
    let logs = cx.logs("release")?;
    let progress = Progress::new();
    let provision = Provision::new(cx, &logs, &progress);
    progress
        .phase("version", async |phase| check_version(args.dry_run, &logs, phase).await)
        .await?;
    let dist = progress.phase("dist", async |_| empty_folder()).await?;
    let names = Names::in_registry(args.registry);
    let built = progress
        .phase("images", async |phase| {
            provision::docker::ensure(&provision).await?;
            image::build(&RELEASED, &names, Profile::Release, &provision, phase).await
        })
        .await?;
    for image in &built {
        keep_archive(image, &dist)?;
    }
    progress
        .phase("manifests", async |phase| {
            phase.outcome(write_manifests(&built, &dist, &provision).await?);
            anyhow::Ok(())
        })
        .await?;
    progress
        .phase("SBOM", async |phase| {
            let packages = RELEASED.iter().filter_map(|image| image.package());
            sbom::write(&packages.collect::<Vec<_>>(), &dist, &provision, phase).await
        })
        .await?;
    let sums = write_checksums(&dist)?;
    if args.dry_run {
        progress.say("nothing was pushed: this was a dry run");
    } else {
        progress.phase("push", async |phase| image::push(&built, &logs, phase).await).await?;
        progress.say(format_args!("publish what is in {} with the tag", dist.display()));
    }
    print!("{sums}");
    Ok(Verdict::Passed)
}

/// Refuses to release what nobody could build again.
async fn check_version(dry_run: bool, logs: &LogDir, phase: &Phase) -> Result<()> {
    version::check()?;
    let git = |args: &[&str]| Cmd::new("git").args(args).cwd(paths::workspace());
    let state = version::State {
        changes: git(&["status", "--porcelain"]).run(logs).await?.text(),
        tags: git(&["tag", "--points-at", "HEAD"]).run(logs).await?.text(),
        changelog: version::changelog()?,
    };
    let obstacles = state.obstacles(images::VERSION);
    if dry_run && !obstacles.is_empty() {
        phase.outcome(format_args!(
            "{}; a real release would be refused: {}",
            images::VERSION,
            obstacles.join("; ")
        ));
        return Ok(());
    }
    ensure!(
        obstacles.is_empty(),
        "{} cannot be released: {}",
        images::VERSION,
        obstacles.join("; ")
    );
    phase.outcome(images::VERSION);
    Ok(())
}

/// `dist/`, with nothing of an earlier release in it.
fn empty_folder() -> Result<PathBuf> {
    let dist = paths::workspace().join("dist");
    match std::fs::remove_dir_all(&dist) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => std::fs::create_dir(&dist),
    }
    .with_context(|| format!("cannot empty {}", dist.display()))?;
    Ok(dist)
}

fn keep_archive(image: &Built, dist: &Path) -> Result<()> {
    let archive = image.archive.as_ref().context("an image without an archive")?;
    let (name, tag) = image.reference.rsplit_once(':').context("an image without a tag")?;
    let name = name.rsplit('/').next().unwrap_or(name);
    let path = dist.join(format!("{name}-{tag}-linux-{}.tar", archive.architecture));
    std::fs::copy(&archive.path, &path)
        .with_context(|| format!("cannot write {}", path.display()))?;
    Ok(())
}

/// The resource definition alone, and each kustomization in one file, with the names of the images that
/// were built. Returns the names of the files.
async fn write_manifests(built: &[Built], dist: &Path, provision: &Provision) -> Result<String> {
    let write = |name: &str, content: &str| {
        let path = dist.join(name);
        std::fs::write(&path, content).with_context(|| format!("cannot write {}", path.display()))
    };
    let mut names = vec!["crd.yaml".to_owned()];
    let crd = paths::workspace().join("deploy/10-crd.yaml");
    let crd =
        std::fs::read_to_string(&crd).with_context(|| format!("cannot read {}", crd.display()))?;
    write(&names[0], &crd)?;

    let kubectl = node_image::kubectl(provision).await?;
    let defaults = RELEASED.map(|image| Names::default().reference(image));
    let unversioned = |name: &'_ String| name.split(':').next().unwrap_or_default().to_owned();
    let defaults: Vec<_> = defaults.iter().map(unversioned).collect();
    let work = tempfile::tempdir_in(paths::target()).context("cannot make a temporary folder")?;
    for folder in kustomize::folders(kustomize::READY)? {
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let name = match name.as_str() {
            "base" => "install.yaml".to_owned(),
            name => format!("install-{name}.yaml"),
        };
        let own = work.path().join(&name);
        let kustomization = Kustomization {
            resources: vec![folder],
            images: defaults
                .iter()
                .zip(built)
                .map(|(name, image)| (name.as_str(), image.reference.as_str()))
                .collect(),
            ..Kustomization::default()
        };
        kustomization.write(&own)?;
        let rendered = Cmd::new(&kubectl)
            .arg("kustomize")
            .arg(&own)
            .name(format!("kustomize-{name}"))
            .run(provision.logs())
            .await?;
        write(&name, &String::from_utf8_lossy(&rendered.stdout))?;
        names.push(name);
    }
    Ok(names.join(", "))
}

/// Writes `SHA256SUMS`, as `sha256sum --check` reads it, and returns it.
fn write_checksums(dist: &Path) -> Result<String> {
    let entries = std::fs::read_dir(dist)?.collect::<std::io::Result<Vec<_>>>()?;
    let mut files: Vec<_> = entries.into_iter().map(|entry| entry.path()).collect();
    files.sort();
    let mut sums = String::new();
    for file in files {
        let bytes =
            std::fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        sums += &format!("{}  {name}\n", sha256(&bytes));
    }
    let path = dist.join("SHA256SUMS");
    std::fs::write(&path, &sums).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(sums)
}
