//! The kubectl plugin of a release: its programs, and the manifest by which krew finds them.
//!
//! Those for Linux are static; that for Windows needs nothing but Windows. One for macOS needs Apple's linker and
//! libraries, and is built there: `cargo build --release --package kubectl-dsjob`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use harness::images::VERSION;
use harness::paths;
use harness::process::Cmd;
use harness::progress::Phase;
use harness::provide::Profile;
use serde_json::{Value, json};

use super::folder::Folder;
use crate::cargo::cargo;
use crate::digest::sha256;
use crate::image::{self, Architecture};
use crate::offline::provision::{Provision, apt};

/// The crate, and its program.
pub(super) const PACKAGE: &str = "kubectl-dsjob";

/// The manifest, named as krew's index has it.
const MANIFEST: &str = "dsjob.yaml";

/// The most bytes that the program may have: people wait for its download.
const LIMIT: u64 = 12 << 20;

/// Where the files of a release are.
const RELEASES: &str = "https://github.com/darkowlzz/daemonset-job/releases/download";

/// Rust's name of 64-bit Windows, and Debian's compiler of C for it.
const WINDOWS: (&str, &str) = ("x86_64-pc-windows-gnu", "gcc-mingw-w64-x86-64");

/// A build with fat LTO on a small machine, dependencies included.
const TIMEOUT: Duration = Duration::from_secs(30 * 60);

/// What a program runs on.
#[derive(Clone, Copy)]
enum Platform {
    Linux(Architecture),
    Windows,
}

/// An archive with the program for one platform.
struct Archive {
    name: String,
    platform: Platform,
    digest: String,
}

impl Platform {
    fn os(self) -> &'static str {
        match self {
            Self::Linux(_) => "linux",
            Self::Windows => "windows",
        }
    }

    fn architecture(self) -> &'static str {
        match self {
            Self::Linux(architecture) => architecture.name(),
            Self::Windows => Architecture::Amd64.name(),
        }
    }

    fn program(self) -> String {
        match self {
            Self::Linux(_) => PACKAGE.to_owned(),
            Self::Windows => format!("{PACKAGE}.exe"),
        }
    }

    /// Builds the program, and returns its folder.
    async fn build(self, provision: &Provision) -> Result<PathBuf> {
        match self {
            Self::Linux(architecture) => {
                let packages = [PACKAGE];
                let built = image::build_for(architecture, &packages, Profile::Release, provision);
                Ok(built.await?.folder)
            }
            Self::Windows => build_for_windows(provision).await,
        }
    }
}

async fn build_for_windows(provision: &Provision) -> Result<PathBuf> {
    let (target, compiler) = WINDOWS;
    apt::install(provision, &[compiler], "to build for Windows").await?;
    image::add_target(target, provision).await?;
    cargo()
        .args(["build", "--locked", "--release", "--package", PACKAGE, "--target", target])
        .name("cargo-build-windows")
        .timeout(TIMEOUT)
        .run(provision.logs())
        .await?;
    Ok(paths::target().join(target).join("release"))
}

/// Writes archives and manifest. Returns the names of the archives.
///
/// A release that is not pushed may lack platforms for which this machine cannot build.
pub(super) async fn write(
    architectures: &[Architecture],
    may_lack: bool,
    folder: &Folder,
    provision: &Provision,
    phase: &Phase,
) -> Result<String> {
    let mut archives = Vec::new();
    let linux = architectures.iter().copied().map(Platform::Linux);
    for platform in linux.chain([Platform::Windows]) {
        let place = format!("{}-{}", platform.os(), platform.architecture());
        phase.detail(&place);
        let built = match platform.build(provision).await {
            Err(error) if may_lack => {
                provision.say(format_args!("the plugin LACKS {place}: {error:#}"));
                continue;
            }
            built => built?,
        };
        let program = fs_err::read(built.join(platform.program()))?;
        let size = u64::try_from(program.len()).unwrap_or(u64::MAX);
        ensure!(size <= LIMIT, "{PACKAGE} has {}, which is too much", image::mib(size));
        let name = format!("{PACKAGE}-{VERSION}-{place}.tar.gz");
        pack(&platform.program(), &program, &folder.file(&name), provision).await?;
        let digest = sha256(&fs_err::read(folder.file(&name))?);
        archives.push(Archive { name, platform, digest });
    }
    let text = serde_saphyr::to_string(&manifest(&archives)).context("the manifest is no YAML")?;
    folder.write(MANIFEST, text.as_bytes())?;
    Ok(archives.into_iter().map(|archive| archive.name).collect::<Vec<_>>().join(", "))
}

/// Packs the program with the licence: the same bytes for the same program.
async fn pack(name: &str, program: &[u8], to: &Path, provision: &Provision) -> Result<()> {
    let work = tempfile::tempdir_in(paths::target()).context("cannot make a temporary folder")?;
    fs_err::write(work.path().join(name), program)?;
    fs_err::copy(paths::workspace().join("LICENSE"), work.path().join("LICENSE"))?;
    let time = format!("--mtime=@{}", image::created()?);
    Cmd::new("tar")
        .args(["--create", "--use-compress-program", "gzip --no-name --best", "--sort=name"])
        .args([time.as_str(), "--owner=0", "--group=0", "--numeric-owner", "--mode=0755"])
        .arg("--file")
        .arg(to)
        .arg("--directory")
        .arg(work.path())
        .args(["LICENSE", name])
        .name("tar-plugin")
        .run(provision.logs())
        .await?;
    Ok(())
}

/// The manifest.
///
/// <https://krew.sigs.k8s.io/docs/developer-guide/plugin-manifest/>
fn manifest(archives: &[Archive]) -> Value {
    let platforms = archives.iter().map(|Archive { name, platform, digest }| {
        json!({
            "selector": {"matchLabels": {"os": platform.os(), "arch": platform.architecture()}},
            "uri": format!("{RELEASES}/v{VERSION}/{name}"),
            "sha256": digest,
            "bin": platform.program(),
        })
    });
    json!({
        "apiVersion": "krew.googlecontainertools.github.com/v1alpha2",
        "kind": "Plugin",
        "metadata": {"name": "dsjob"},
        "spec": {
            "version": format!("v{VERSION}"),
            "homepage": "https://github.com/darkowlzz/daemonset-job",
            "shortDescription": "Run a task once on every node, and see why it is not done",
            "description": "Runs, shows, explains, collects and reports Jobs of daemonset-job, which run once \
                            on every node of a cluster.",
            "caveats": "The cluster needs daemonset-job: kubectl dsjob check says whether it is there.",
            "platforms": platforms.collect::<Vec<_>>(),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn manifest_has_what_krew_asks_for() {
        let archive = Archive {
            name: "a.tar.gz".into(),
            platform: Platform::Linux(Architecture::Arm64),
            digest: "0".repeat(64),
        };
        let manifest = manifest(&[archive]);
        let platform = &manifest["spec"]["platforms"][0];
        assert_eq!(platform["selector"]["matchLabels"], json!({"os": "linux", "arch": "arm64"}));
        assert_eq!(platform["uri"], format!("{RELEASES}/v{VERSION}/a.tar.gz"));
        assert_eq!(platform["bin"], PACKAGE);
        // krew's linter: no more than 50 characters are shown in a list, and no full stop at the end.
        let short = manifest["spec"]["shortDescription"].as_str().expect("a text");
        assert!(short.len() <= 60 && !short.ends_with('.'), "{short}");
    }
}
