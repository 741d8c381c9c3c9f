//! The images that Kubernetes' own projects publish.

use std::path::Path;

use anyhow::{Context as _, Result};
use e2e::process::Cmd;

use crate::provision::Provision;

/// A node image, by the digest that the release notes of kind give it: the same tag can be built
/// again for another release.
struct Published {
    reference: &'static str,
    /// The minor version of the first kind 0.x whose release notes list it.
    since_kind: u32,
    /// Kubernetes 1.35 and later start on hosts with cgroup v2 only.
    needs_cgroup_v2: bool,
}

/// Newest first. <https://github.com/kubernetes-sigs/kind/releases>
const NODE_IMAGES: [Published; 3] = [
    Published {
        reference: "kindest/node:v1.36.4@sha256:099e049362a1526b2db71494e1947aae99bd16290d7c895f2b7ea312e3cbfaed",
        since_kind: 33,
        needs_cgroup_v2: true,
    },
    Published {
        reference: "kindest/node:v1.34.0@sha256:7416a61b42b1662ca6ca89f02028ac133a309a2a30ba309614e8ec94d976dc5a",
        since_kind: 30,
        needs_cgroup_v2: false,
    },
    Published {
        reference: "kindest/node:v1.32.2@sha256:f226345927d7e348497136874b6d207e0b32cc52154ad8323129352923a3142f",
        since_kind: 0,
        needs_cgroup_v2: false,
    },
];

/// The newest node image that fits a kind program and this host.
pub(super) async fn node_image(kind: &Path, provision: &Provision) -> Result<&'static str> {
    let version =
        Cmd::new(kind).arg("--version").name("kind-version").run(provision.logs()).await?;
    let version = version.text();
    let minor = minor(&version)
        .with_context(|| format!("{} reports an unknown version: {version}", kind.display()))?;
    let cgroup_v2 = Path::new("/sys/fs/cgroup/cgroup.controllers").exists();
    pick(minor, cgroup_v2).context("no published node image fits")
}

/// The minor version in `kind version 0.27.0`.
fn minor(text: &str) -> Option<u32> {
    let version = text.split_whitespace().last()?;
    version.trim_start_matches('v').split('.').nth(1)?.parse().ok()
}

fn pick(kind_minor: u32, cgroup_v2: bool) -> Option<&'static str> {
    let fits = |image: &&Published| {
        image.since_kind <= kind_minor && (cgroup_v2 || !image.needs_cgroup_v2)
    };
    NODE_IMAGES.iter().find(fits).map(|image| image.reference)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn newest_image_that_kind_and_host_can_run_is_picked() {
        let version = |minor, v2| pick(minor, v2).and_then(|image| image.split('@').next());
        assert_eq!(version(27, true), Some("kindest/node:v1.32.2"));
        assert_eq!(version(31, true), Some("kindest/node:v1.34.0"));
        assert_eq!(version(33, true), Some("kindest/node:v1.36.4"));
        assert_eq!(version(40, false), Some("kindest/node:v1.34.0"));
    }

    #[test]
    fn kinds_version_is_read() {
        assert_eq!(minor("kind version 0.27.0"), Some(27));
        assert_eq!(minor("kind version v0.33.0-alpha"), Some(33));
        assert_eq!(minor("kind"), None);
    }

    #[test]
    fn every_image_is_pinned_by_a_whole_digest() {
        for image in NODE_IMAGES {
            let digest = image.reference.split("@sha256:").nth(1).unwrap_or_default();
            assert_eq!(digest.len(), 64, "{}", image.reference);
        }
    }
}
