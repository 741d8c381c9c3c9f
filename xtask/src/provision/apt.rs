//! Debian packages: installed on this machine, or taken apart for the one program in them.
//!
//! Which mirror to ask is never written down here: apt itself tells, from this machine's own
//! sources, whatever format they are in.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use e2e::process::{Cmd, LogDir};
use tokio::fs;

use super::host::Host;
use super::{Provision, cache_dir};

/// Long enough for a slow mirror.
const TIMEOUT: Duration = Duration::from_secs(10 * 60);

/// Verifies Debian's archives; it holds the keys of later releases too.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// The release whose packages of kind and kubectl are used, for the one of this machine may have
/// none or an old one. Both are Go programs that run on any Debian.
const PROGRAM_RELEASE: &str = "trixie";

/// Installs those of the packages that are missing.
///
/// # Errors
/// When that is not allowed here, with the list of what to install; when apt fails.
pub(crate) async fn install(provision: &Provision, packages: &[&str], purpose: &str) -> Result<()> {
    let missing = missing(provision.logs(), packages).await;
    if missing.is_empty() {
        return Ok(());
    }
    let list = missing.join(" ");
    let host = Host::detect();
    let cure = if host.is_debian() {
        format!("install what is needed {purpose}: sudo apt-get install {list}")
    } else {
        format!("install what is needed {purpose} (Debian calls it: {list})")
    };
    if !host.installs_packages() {
        bail!("packages can be installed only by root on Debian; {cure}");
    }
    provision.announce(&format!("installing {list} {purpose}"), &cure)?;
    // An update that fails, for a third-party source is broken, say, need not concern us.
    let updated = apt_get(["update"]).run(provision.logs()).await;
    let installed = apt_get(["install", "--yes", "--no-install-recommends"])
        .args(&missing)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .run(provision.logs())
        .await;
    match (installed, updated) {
        (Ok(_), _) => Ok(()),
        (Err(error), Ok(_)) => Err(error)
            .with_context(|| format!("cannot install {list}; repair what apt complains of")),
        (Err(error), Err(update)) => Err(error).with_context(|| {
            format!(
                "cannot install {list}; apt does not reach its sources: repair /etc/apt and the \
                 network until `apt-get update` works, {update}"
            )
        }),
    }
}

/// Those of the packages that are not installed.
pub(crate) async fn missing<'p>(logs: &LogDir, packages: &[&'p str]) -> Vec<&'p str> {
    let mut missing = Vec::new();
    for package in packages {
        let status = Cmd::new("dpkg-query")
            .args(["--show", "--showformat=${db:Status-Status}", package])
            .run(logs)
            .await;
        if !status.is_ok_and(|output| output.text() == "installed") {
            missing.push(*package);
        }
    }
    missing
}

/// A program that a Debian package holds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Program {
    /// The package.
    pub(crate) package: &'static str,
    /// The program's path in it, without the leading slash.
    pub(crate) path: &'static str,
}

impl Program {
    /// Where the package is unpacked.
    fn folder(self) -> Result<PathBuf> {
        Ok(cache_dir()?.join("debian").join(self.package))
    }

    /// The program, if it was unpacked before.
    pub(crate) fn cached(self) -> Option<PathBuf> {
        let path = self.folder().ok()?.join(self.path);
        path.exists().then_some(path)
    }
}

/// Takes a program out of a package of Debian's [`PROGRAM_RELEASE`] into the cache. Nothing is
/// installed, so that this needs no root.
///
/// # Errors
/// When this is not Debian, or the package cannot be fetched.
pub(crate) async fn unpack(provision: &Provision, program: Program, cure: &str) -> Result<PathBuf> {
    let host = Host::detect();
    if !host.is_debian() {
        bail!("{} is not Debian, whose package could be used; {cure}", host.name);
    }
    let unpacked = program.folder()?;
    let change =
        format!("fetching Debian's package {} into {}", program.package, unpacked.display());
    provision.announce(&change, cure)?;
    let work = tempfile::tempdir().context("cannot make a temporary folder")?;
    let archive = download(provision, &host, program.package, work.path())
        .await
        .with_context(|| format!("cannot fetch Debian's package {}; {cure}", program.package))?;
    // Unpacked beside its place and moved there whole, so that a broken attempt leaves nothing.
    let fresh = unpacked.with_extension("new");
    remove_dir(&fresh).await?;
    fs::create_dir_all(&fresh).await?;
    Cmd::new("dpkg-deb").arg("--extract").arg(archive).arg(&fresh).run(provision.logs()).await?;
    remove_dir(&unpacked).await?;
    fs::rename(&fresh, &unpacked).await?;
    Ok(unpacked.join(program.path))
}

async fn remove_dir(path: &Path) -> std::io::Result<()> {
    match fs::remove_dir_all(path).await {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Downloads a package with an apt configuration of our own, which knows one source only and
/// leaves the machine's as they are.
async fn download(
    provision: &Provision,
    host: &Host,
    package: &str,
    work: &Path,
) -> Result<PathBuf> {
    let mirror = mirror(provision, host).await?;
    for dir in ["lists/partial", "cache/archives/partial", "package"] {
        fs::create_dir_all(work.join(dir)).await?;
    }
    let sources = work.join("sources.list");
    let source = format!("deb [signed-by={KEYRING}] {mirror} {PROGRAM_RELEASE} main\n");
    fs::write(&sources, source).await?;
    let status = work.join("status");
    fs::write(&status, "").await?;
    let own = |command: &str| {
        apt_get([command])
            .arg(format!("-oDir::Etc::SourceList={}", sources.display()))
            .arg("-oDir::Etc::SourceParts=/dev/null")
            .arg(format!("-oDir::State::Lists={}", work.join("lists").display()))
            // A package of the same name that is installed here must not stand in the way.
            .arg(format!("-oDir::State::Status={}", status.display()))
            .arg(format!("-oDir::Cache={}", work.join("cache").display()))
            // apt's own user cannot read a private folder.
            .arg("-oAPT::Sandbox::User=root")
    };
    own("update").run(provision.logs()).await?;
    let into = work.join("package");
    own("download").arg(package).cwd(&into).run(provision.logs()).await?;
    let mut files = fs::read_dir(&into).await?;
    match files.next_entry().await? {
        Some(file) => Ok(file.path()),
        None => bail!("apt-get download left no file"),
    }
}

/// The address of the Debian archive that this machine uses.
///
/// # Errors
/// When apt has no source of the machine's own release.
pub(crate) async fn mirror(provision: &Provision, host: &Host) -> Result<String> {
    let targets = apt_get(["indextargets", "--no-release-info"])
        .args(["--format", "$(RELEASE) $(COMPONENT) $(REPO_URI)", "Created-By: Packages"])
        .run(provision.logs())
        .await?;
    main_archive(&targets.text(), &host.codename).with_context(|| {
        format!(
            "apt has no source for Debian {}'s main archive: add one to /etc/apt",
            host.codename
        )
    })
}

/// Picks the source that holds the release itself, not its updates or another vendor's packages.
/// A line of `targets` is `RELEASE COMPONENT URI`.
fn main_archive(targets: &str, codename: &str) -> Option<String> {
    let sources: Vec<(&str, &str)> = targets
        .lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            let (release, component, uri) = (words.next()?, words.next()?, words.next()?);
            (component == "main").then_some((release, uri))
        })
        .collect();
    let aliases = [codename, "stable", "oldstable", "testing", "unstable"];
    let of_release = |alias: &&str| sources.iter().find(|(release, _)| release == alias);
    let (_, uri) = aliases.iter().find_map(of_release)?;
    Some(uri.trim_end_matches('/').to_owned())
}

/// The settings of this machine that reaching a mirror may take, as lines of an apt configuration
/// file for use elsewhere.
pub(crate) async fn transport_settings(provision: &Provision) -> Result<String> {
    let dump = Cmd::new("apt-config").args(["dump", "--no-empty"]).run(provision.logs()).await?;
    Ok(transport_lines(&dump.text()))
}

fn transport_lines(dump: &str) -> String {
    let needed = |line: &&str| {
        let name = line.split_whitespace().next().unwrap_or_default();
        name.starts_with("Acquire::")
            && ["Proxy", "Check-Valid-Until", "Check-Date", "Retries", "Timeout"]
                .iter()
                .any(|setting| name.rsplit("::").next() == Some(setting))
    };
    dump.lines().filter(needed).map(|line| format!("{line}\n")).collect()
}

fn apt_get<const N: usize>(args: [&str; N]) -> Cmd {
    Cmd::new("apt-get")
        .args(["-qq", "-oDPkg::Lock::Timeout=120"])
        .args(args)
        .name(format!("apt-get-{}", args.first().copied().unwrap_or_default()))
        .timeout(TIMEOUT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn archive_of_the_release_itself_is_picked() {
        let targets = "bookworm-security main http://a/security/\n\
                       nodistro main http://vendor/\n\
                       bookworm contrib http://b/debian/\n\
                       bookworm main http://c/debian/\n";
        assert_eq!(main_archive(targets, "bookworm").as_deref(), Some("http://c/debian"));
    }

    #[test]
    fn release_may_go_by_its_alias() {
        let targets = "stable-updates main http://a/\nstable main http://b/\n";
        assert_eq!(main_archive(targets, "bookworm").as_deref(), Some("http://b"));
    }

    #[test]
    fn other_vendors_sources_are_no_archive() {
        assert_eq!(main_archive("nodistro main http://vendor/\n", "bookworm"), None);
    }

    #[test]
    fn only_settings_about_transport_are_taken_along() {
        let dump = "Acquire::http::Proxy \"http://p:1\";\nAcquire::Check-Date \"false\";\n\
                    Acquire::Languages \"none\";\nAPT::Architecture \"amd64\";\n\
                    Acquire::http::Proxy::host \"DIRECT\";\n";
        let lines = "Acquire::http::Proxy \"http://p:1\";\nAcquire::Check-Date \"false\";\n";
        assert_eq!(transport_lines(dump), lines);
    }
}
