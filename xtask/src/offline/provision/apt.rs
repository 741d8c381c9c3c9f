//! Debian packages: installed on this machine, or just downloaded.
//!
//! Which mirror to ask is never written down here: apt itself tells, from this machine's own
//! sources, whatever format they are in.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use harness::process::{Cmd, LogDir};
use tokio::fs;

use super::host::Host;
use super::permission::Provision;

/// Long enough for a slow mirror.
const TIMEOUT: Duration = Duration::from_secs(10 * 60);

/// Verifies Debian's archives; it holds the keys of later releases too.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// Installs those of the packages that are missing.
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

/// Downloads a package of another release, by an apt configuration of our own.
pub(super) async fn download(
    provision: &Provision,
    package: &str,
    release: &str,
    work: &Path,
) -> Result<PathBuf> {
    let mirror = mirror(provision, &Host::detect()).await?;
    for dir in ["lists/partial", "cache/archives/partial", "package"] {
        fs::create_dir_all(work.join(dir)).await?;
    }
    let sources = work.join("sources.list");
    let source = format!("deb [signed-by={KEYRING}] {mirror} {release} main\n");
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

/// The machine's settings for reaching a mirror, as lines of an apt configuration.
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
    fn archive_of_the_release_itself_is_picked_which_may_go_by_its_alias() {
        let many = "bookworm-security main http://a/security/\n\
                    nodistro main http://vendor/\n\
                    bookworm contrib http://b/debian/\n\
                    bookworm main http://c/debian/\n";
        for (targets, archive) in [
            (many, Some("http://c/debian")),
            ("stable-updates main http://a/\nstable main http://b/\n", Some("http://b")),
            ("nodistro main http://vendor/\n", None),
        ] {
            assert_eq!(main_archive(targets, "bookworm").as_deref(), archive, "{targets}");
        }
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
