//! Podman, for those who want it to run the nodes.

use std::path::Path;

use anyhow::{Context as _, Result};
use fs_err::tokio as fs;
use rustix::process::{Resource, getrlimit};

use super::permission::Provision;
use super::{apt, shim};
use crate::offline::capabilities;

/// Our part of Podman's configuration.
const CONFIG: &str = "/etc/containers/containers.conf.d/daemonset-job.conf";

/// Makes sure that Podman is there and can start privileged containers.
pub(crate) async fn ensure(provision: &Provision) -> Result<()> {
    if which::which("podman").is_err() {
        apt::install(provision, &["podman"], "for Podman").await?;
    }
    // Podman has no daemon: its containers have what this process has.
    let unavailable = capabilities::unavailable_to("self")
        .context("cannot tell which capabilities this process has")?;
    if unavailable.is_empty() {
        return Ok(());
    }
    let wanted = config(threads().await?);
    let present = fs::read_to_string(CONFIG).await.is_ok_and(|found| found == wanted);
    if present && Path::new(shim::INSTALLED).exists() {
        return Ok(());
    }
    let change = format!(
        "this machine withholds {}: a runtime that does without becomes Podman's default, with the limits that \
         there are ({}, {CONFIG})",
        unavailable.join(", "),
        shim::INSTALLED
    );
    provision.announce(&change, shim::CURE)?;
    shim::install(provision).await?;
    let folder = Path::new(CONFIG).parent().context("not a path with a folder")?;
    fs::create_dir_all(folder).await?;
    Ok(fs::write(CONFIG, wanted).await?)
}

/// How many threads the kernel allows, to which Podman lowers its own limit.
async fn threads() -> Result<u64> {
    const FILE: &str = "/proc/sys/kernel/pid_max";
    let text = fs::read_to_string(FILE).await?;
    text.trim().parse().with_context(|| format!("{FILE} holds no number"))
}

/// Without CAP_SYS_RESOURCE limits cannot be raised, which Podman's own defaults would.
fn config(threads: u64) -> String {
    let limit = |resource| getrlimit(resource).maximum;
    let processes = limit(Resource::Nproc).map_or(threads, |limit| limit.min(threads));
    let limits = [("nofile", limit(Resource::Nofile)), ("nproc", Some(processes))];
    let limits = limits
        .into_iter()
        .filter_map(|(name, limit)| limit.map(|limit| format!("\"{name}={limit}:{limit}\"")))
        .collect::<Vec<_>>()
        .join(", ");
    format!(
        "# Written by `cargo xtask e2e --provider podman` of daemonset-job.\n\
         [containers]\n\
         default_ulimits = [{limits}]\n\
         [engine]\n\
         runtime = \"daemonset-job-shim\"\n\
         [engine.runtimes]\n\
         daemonset-job-shim = [\"{}\"]\n",
        shim::INSTALLED
    )
}
