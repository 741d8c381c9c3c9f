//! The images that Kubernetes' own projects publish.

use std::path::Path;

use anyhow::{Context as _, Result};
use harness::process::Cmd;

use crate::offline::provision::Provision;

/// The repository of the node images.
const REPOSITORY: &str = "kindest/node";

/// Its images, newest first, by the digests in kind's release notes, for a tag may be built again. Before each stands
/// the minor version of the first kind 0.x whose notes list it. <https://github.com/kubernetes-sigs/kind/releases>
const NODE_IMAGES: [(u32, &str); 7] = [
    (33, "v1.37.0@sha256:a1ed56cfb0e7b93589bdf97c8cd566405a265939e3620fc4f5de89adff580ae5"),
    (33, "v1.36.4@sha256:099e049362a1526b2db71494e1947aae99bd16290d7c895f2b7ea312e3cbfaed"),
    (33, "v1.35.8@sha256:07b2536e30b803ed61d1677a79df6115f798ce64c80f9e22f6ed45afd09323c0"),
    (30, "v1.34.0@sha256:7416a61b42b1662ca6ca89f02028ac133a309a2a30ba309614e8ec94d976dc5a"),
    (29, "v1.33.1@sha256:050072256b9a903bd914c0b2866828150cb229cea0efe5892e2b644d5dd3b34f"),
    (0, "v1.32.2@sha256:f226345927d7e348497136874b6d207e0b32cc52154ad8323129352923a3142f"),
    (0, "v1.31.2@sha256:18fbefc20a7113353c7b75b5c869d7145a6abd6269154825872dc59c1329912e"),
];

/// The last minor version whose official node images start on hosts with cgroup v1 as well.
/// <https://github.com/kubernetes-sigs/kind/releases/tag/v0.31.0>
const LAST_WITH_CGROUP_V1: &str = "1.34";

/// The node image of a minor version of Kubernetes, or the newest, that fits a kind program and this host.
pub(super) async fn node_image(
    kubernetes: Option<&str>,
    kind: &Path,
    provision: &Provision,
) -> Result<Option<String>> {
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

fn pick(kubernetes: Option<&str>, kind_minor: u32, cgroup_v2: bool) -> Option<String> {
    let is_of = |tag: &str, minor: &str| tag.starts_with(&format!("v{minor}."));
    let needs_v2 = |(_, tag): &(u32, &str)| !is_of(tag, LAST_WITH_CGROUP_V1);
    let mut usable = NODE_IMAGES.into_iter().skip_while(|it| !cgroup_v2 && needs_v2(it));
    let (_, tag) = usable.find(|(since_kind, tag)| {
        *since_kind <= kind_minor && kubernetes.is_none_or(|wanted| is_of(tag, wanted))
    })?;
    Some(format!("{REPOSITORY}:{tag}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(image: Option<String>) -> Option<String> {
        let image = image?;
        Some(image.strip_prefix("kindest/node:")?.split('@').next()?.to_owned())
    }

    #[test]
    fn newest_image_that_kind_and_host_can_run_is_picked() {
        let picked = |minor, v2| version(pick(None, minor, v2));
        assert_eq!(picked(27, true).as_deref(), Some("v1.32.2"));
        assert_eq!(picked(31, true).as_deref(), Some("v1.34.0"));
        assert_eq!(picked(33, true).as_deref(), Some("v1.37.0"));
        assert_eq!(picked(40, false).as_deref(), Some("v1.34.0"));
    }

    #[test]
    fn asked_version_is_picked_or_none() {
        let picked = |wanted, v2| version(pick(Some(wanted), 33, v2));
        assert_eq!(picked("1.33", false).as_deref(), Some("v1.33.1"));
        assert_eq!(picked("1.36", true).as_deref(), Some("v1.36.4"));
        assert_eq!(picked("1.36", false), None);
        assert_eq!(picked("1.30", true), None);
    }

    #[test]
    fn kinds_version_is_read() {
        assert_eq!(minor("kind version 0.27.0"), Some(27));
        assert_eq!(minor("kind version v0.33.0-alpha"), Some(33));
        assert_eq!(minor("kind"), None);
    }

    #[test]
    fn every_image_is_pinned_by_a_whole_digest() {
        for (_, image) in NODE_IMAGES {
            let digest = image.split_once("@sha256:").map(|(_, digest)| digest.len());
            assert_eq!(digest, Some(64), "{image}");
        }
    }
}
