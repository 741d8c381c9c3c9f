//! `cargo xtask release`: everything that users of a version get, in one folder.

mod chart;
mod checksums;
mod folder;
mod images;
mod manifests;
mod notes;
mod plugin;
mod publish;
mod sbom;
mod trial;
mod version;

use std::path::PathBuf;

use anyhow::Result;
use harness::command::{Refusal, Verdict};
use harness::process::{Cmd, LogDir};
use harness::progress::{Phase, Progress};
use harness::{images as names, paths};

use self::folder::Folder;

pub(crate) use self::images::Released;
use crate::context::Context;
use crate::image::Architecture;
use crate::offline::provision::Provision;

#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Args {
    /// Write everything and push nothing; accepts uncommitted or untagged sources.
    ///
    /// It also goes on without a processor for which this machine cannot build, and says so.
    #[arg(long, visible_alias = "dry-run")]
    pub(crate) no_push: bool,

    /// Registry and path of images and chart, which the manifests name.
    #[arg(long, default_value = names::REGISTRY)]
    registry: String,

    /// Processors that the images are for.
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        default_value = "amd64,arm64",
        value_name = "LIST"
    )]
    architectures: Vec<Architecture>,

    /// Folder to write to; what an earlier release left there goes.
    #[arg(long, default_value = "dist", value_name = "DIR")]
    output: PathBuf,
}

/// A release in a folder.
pub(crate) struct Release {
    /// The folder.
    pub(crate) folder: PathBuf,
    /// The images.
    pub(crate) images: Vec<Released>,
    /// The chart in it.
    pub(crate) chart: PathBuf,
}

impl Args {
    /// A release that is only written, with the names of `deploy/`.
    pub(crate) fn into_folder(output: PathBuf) -> Self {
        Self {
            no_push: true,
            registry: names::REGISTRY.to_owned(),
            architectures: vec![Architecture::Amd64, Architecture::Arm64],
            output,
        }
    }
}

pub(crate) async fn run(args: Args, cx: &Context) -> Result<Verdict> {
    let logs = cx.logs("release")?;
    let progress = Progress::new();
    let provision = Provision::new(cx, &logs, &progress);
    let release = make(&args, &provision, &progress).await?;
    if args.no_push {
        progress.say("nothing was pushed");
    } else {
        progress
            .phase("push", async |phase| {
                publish::push(&release.folder, &release.images, &provision, phase).await
            })
            .await?;
    }
    progress.say(format_args!("the release is in {}", release.folder.display()));
    print!("{}", checksums::read(&release.folder)?);
    Ok(Verdict::Passed)
}

/// Writes a release.
pub(crate) async fn make(
    args: &Args,
    provision: &Provision,
    progress: &Progress,
) -> Result<Release> {
    let revision = progress
        .phase("version", async |phase| check_version(args.no_push, provision.logs(), phase).await)
        .await?;
    let output = paths::workspace().join(&args.output);
    let folder = progress.phase("folder", async |_| Folder::empty(&output)).await?;
    let images = progress
        .phase("images", async |phase| {
            let plan = images::Plan {
                registry: &args.registry,
                architectures: &args.architectures,
                may_lack: args.no_push,
                revision: revision.as_deref(),
            };
            plan.build(&folder, provision, phase).await
        })
        .await?;
    progress
        .phase("manifests", async |phase| {
            phase.outcome(manifests::write(&images, &folder, provision).await?);
            anyhow::Ok(())
        })
        .await?;
    let chart = progress
        .phase("chart", async |phase| {
            phase.detail("helm package");
            chart::write(&args.registry, &images, &folder, provision).await
        })
        .await?;
    progress
        .phase("plugin", async |phase| {
            let (all, may_lack) = (&args.architectures, args.no_push);
            phase.outcome(plugin::write(all, may_lack, &folder, provision, phase).await?);
            anyhow::Ok(())
        })
        .await?;
    progress
        .phase("SBOM", async |phase| {
            let packages = images::IMAGES.iter().filter_map(|image| image.package());
            let packages = packages.chain([plugin::PACKAGE]);
            sbom::write(&packages.collect::<Vec<_>>(), folder.path(), provision, phase).await
        })
        .await?;
    let notes = notes::of(&version::changelog()?, names::VERSION);
    match notes {
        Some(notes) => folder.write(notes::FILE, notes.as_bytes())?,
        None => progress.say(format_args!(
            "no {}: CHANGELOG.md has no section [{}]",
            notes::FILE,
            names::VERSION
        )),
    }
    checksums::write(&folder)?;
    Ok(Release { folder: folder.into_path(), images, chart })
}

/// Refuses to release what nobody could build again. Returns the commit, if the sources are those of one.
async fn check_version(no_push: bool, logs: &LogDir, phase: &Phase) -> Result<Option<String>> {
    version::check()?;
    let git = |args: &[&str]| Cmd::new("git").args(args).cwd(paths::workspace());
    let state = version::State {
        changes: git(&["status", "--porcelain"]).run(logs).await?.text(),
        tags: git(&["tag", "--points-at", "HEAD"]).run(logs).await?.text(),
        changelog: version::changelog()?,
    };
    let obstacles = state.obstacles(names::VERSION);
    if !no_push && !obstacles.is_empty() {
        let error = format!("{} cannot be released: {}", names::VERSION, obstacles.join("; "));
        return Err(Refusal::Check(error).into());
    }
    if obstacles.is_empty() {
        phase.outcome(names::VERSION);
    } else {
        phase.outcome(format_args!(
            "{}; without --no-push this would be refused: {}",
            names::VERSION,
            obstacles.join("; ")
        ));
    }
    if !state.changes.is_empty() {
        return Ok(None);
    }
    Ok(Some(git(&["rev-parse", "HEAD"]).run(logs).await?.text()))
}
