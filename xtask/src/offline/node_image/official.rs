//! The images that Kubernetes' own projects publish.

use std::path::Path;

use anyhow::{Context as _, Result};
use harness::process::Cmd;

use crate::offline::provision::Provision;

/// A node image by the digest in kind's release notes: its tag may be built again.
struct Published {
    /// The minor version of Kubernetes.
    minor: &'static str,
    reference: &'static str,
    /// The minor version of the first kind 0.x whose release notes list it.
    since_kind: u32,
}

/// Newest first. <https://github.com/kubernetes-sigs/kind/releases>
const NODE_IMAGES: [Published; 7] = [
    Published {
        minor: "1.37",
        reference: "kindest/node:v1.37.0@sha256:a1ed56cfb0e7b93589bdf97c8cd566405a265939e3620fc4f5de89adff580ae5",
        since_kind: 33,
    },
    Published {
        minor: "1.36",
        reference: "kindest/node:v1.36.4@sha256:099e049362a1526b2db71494e1947aae99bd16290d7c895f2b7ea312e3cbfaed",
        since_kind: 33,
    },
    Published {
        minor: "1.35",
        reference: "kindest/node:v1.35.8@sha256:07b2536e30b803ed61d1677a79df6115f798ce64c80f9e22f6ed45afd09323c0",
        since_kind: 33,
    },
    Published {
        minor: "1.34",
        reference: "kindest/node:v1.34.0@sha256:7416a61b42b1662ca6ca89f02028ac133a309a2a30ba309614e8ec94d976dc5a",
        since_kind: 30,
    },
    Published {
        minor: "1.33",
        reference: "kindest/node:v1.33.1@sha256:050072256b9a903bd914c0b2866828150cb229cea0efe5892e2b644d5dd3b34f",
        since_kind: 29,
    },
    Published {
        minor: "1.32",
        reference: "kindest/node:v1.32.2@sha256:f226345927d7e348497136874b6d207e0b32cc52154ad8323129352923a3142f",
        since_kind: 0,
    },
    Published {
        minor: "1.31",
        reference: "kindest/node:v1.31.2@sha256:18fbefc20a7113353c7b75b5c869d7145a6abd6269154825872dc59c1329912e",
        since_kind: 0,
    },
];

/// The first minor version whose official node images start on hosts with cgroup v2 only.
/// <https://github.com/kubernetes-sigs/kind/releases/tag/v0.31.0>
const FIRST_WITHOUT_CGROUP_V1: &str = "1.35";

/// The node image of a minor version of Kubernetes, or the newest, that fits a kind program and this host.
pub(super) async fn node_image(
    kubernetes: Option<&str>,
    kind: &Path,
    provision: &Provision,
) -> Result<Option<&'static str>> {
    let version =
        Cmd::new(kind).arg("--version").name("kind-version").run(provision.logs()).await?;
    let version = version.text();
    let minor = minor(&version)
        .with_context(|| format!("{} reports an unknown version: {version}", kind.display()))?;
    let cgroup_v2 = Path::new("/sys/fs/cgroup/cgroup.controllers").exists();
    Ok(pick(kubernetes, minor, cgroup_v2))
}

/// The minor version in `kind version 0.27.0`.
fn minor(text: &str) -> Option<u32> {
    let version = text.split_whitespace().last()?;
    version.trim_start_matches('v').split('.').nth(1)?.parse().ok()
}

fn pick(kubernetes: Option<&str>, kind_minor: u32, cgroup_v2: bool) -> Option<&'static str> {
    let oldest_for_v2_only = NODE_IMAGES.iter().position(|it| it.minor == FIRST_WITHOUT_CGROUP_V1);
    let mut images = NODE_IMAGES.iter().enumerate();
    let found = images.find(|(index, image)| {
        image.since_kind <= kind_minor
            && kubernetes.is_none_or(|wanted| wanted == image.minor)
            && (cgroup_v2 || oldest_for_v2_only.is_none_or(|oldest| *index > oldest))
    });
    found.map(|(_, image)| image.reference)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn newest_image_that_kind_and_host_can_run_is_picked() {
        let version = |minor, v2| pick(None, minor, v2).and_then(|image| image.split('@').next());
        assert_eq!(version(27, true), Some("kindest/node:v1.32.2"));
        assert_eq!(version(31, true), Some("kindest/node:v1.34.0"));
        assert_eq!(version(33, true), Some("kindest/node:v1.37.0"));
        assert_eq!(version(40, false), Some("kindest/node:v1.34.0"));
    }

    #[test]
    fn asked_version_is_picked_or_none() {
        let version = |wanted, v2| pick(Some(wanted), 33, v2).and_then(|it| it.split('@').next());
        assert_eq!(version("1.33", false), Some("kindest/node:v1.33.1"));
        assert_eq!(version("1.36", true), Some("kindest/node:v1.36.4"));
        assert_eq!(version("1.36", false), None);
        assert_eq!(version("1.30", true), None);
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
            assert!(image.reference.contains(&format!(":v{}.", image.minor)), "{}", image.minor);
        }
    }
}
