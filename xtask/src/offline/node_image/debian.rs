//! The base of all offline images: a minimal Debian, made by debootstrap.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use fs_err::tokio as fs;
use harness::process::Cmd;

use super::recipe::DEBIAN;
use crate::offline::provision::host::Host;
use crate::offline::provision::{Provision, apt, cache_dir};

/// Debootstrap takes half a minute with a mirror nearby.
const TIMEOUT: Duration = Duration::from_secs(20 * 60);

/// Makes the image.
pub(super) async fn build(reference: &str, provision: &Provision) -> Result<()> {
    let host = Host::detect();
    if !host.installs_packages() {
        bail!(
            "images can be made without a registry only by root on Debian, and this is {} as {}",
            host.name,
            if host.root { "root" } else { "another user" }
        );
    }
    let purpose = "to make images without a registry";
    apt::install(provision, &["debootstrap"], purpose).await?;
    let mirror = apt::mirror(provision, &host).await?;
    // Not in /tmp, which often allows no device files.
    let cache = cache_dir()?;
    fs::create_dir_all(&cache).await?;
    let work = tempfile::tempdir_in(&cache).context("cannot make a temporary folder")?;
    let root = work.path().join("root");
    // Where the package has it: a root shell by plain `su` has no sbin folder in its PATH.
    Cmd::new("/usr/sbin/debootstrap")
        .args(["--variant=minbase", "--include=ca-certificates", DEBIAN])
        .arg(&root)
        .arg(&mirror)
        .timeout(TIMEOUT)
        .run(provision.logs())
        .await
        .with_context(|| {
            format!(
                "cannot make a minimal Debian {DEBIAN}; see that `apt-get update` works, and that \
                 the mirror in /etc/apt has that release"
            )
        })?;
    configure(&root, &mirror, provision).await?;
    let archive = work.path().join("root.tar");
    Cmd::new("tar")
        .args(["--create", "--numeric-owner", "--file"])
        .arg(&archive)
        .arg("--directory")
        .arg(&root)
        .arg(".")
        .run(provision.logs())
        .await?;
    Cmd::new("docker").arg("import").arg(&archive).arg(reference).run(provision.logs()).await?;
    Ok(())
}

/// Lets apt in the image reach what apt on this machine reaches.
async fn configure(root: &Path, mirror: &str, provision: &Provision) -> Result<()> {
    let sources = format!("deb {mirror} {DEBIAN} main\n");
    fs::write(root.join("etc/apt/sources.list"), sources).await?;
    let settings = apt::transport_settings(provision).await?;
    fs::write(root.join("etc/apt/apt.conf.d/90transport"), settings).await?;
    // What debootstrap fetched would only make every image on top of it larger.
    for cache in ["var/cache/apt/archives", "var/lib/apt/lists"] {
        fs::remove_dir_all(root.join(cache)).await?;
        fs::create_dir_all(root.join(cache).join("partial")).await?;
    }
    Ok(())
}
