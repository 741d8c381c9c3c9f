//! The names of our images, as `deploy/` uses them.

/// Where the images and the chart are published, and what `deploy/` names: the one setting of it.
pub const REGISTRY: &str = "darkowlzz";
/// Where the sources are.
pub const SOURCE: &str = "https://github.com/darkowlzz/daemonset-job";
/// The operator's repository in [`REGISTRY`].
pub const OPERATOR: &str = "daemonset-job-operator";
/// The terminator's repository in [`REGISTRY`].
pub const TERMINATOR: &str = "daemonset-job-terminator";
/// The tag of both: the workspace's version.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The sample container's repository in [`REGISTRY`].
pub const CLEANUP: &str = "cleanup";
/// The sample container's tag, which sample manifests of older releases name as well.
pub const CLEANUP_VERSION: &str = "v0.0.2";
/// The ordinary image of samples and scenarios, under the name that a user would give it.
pub const BUSYBOX: &str = "busybox:1.36";
/// Enforces NetworkPolicies on clusters whose node image was built here; loaded for the scenarios that need it.
pub const KUBE_ROUTER: &str = "daemonset-job/kube-router:local";
/// Prometheus, loaded for the scenario that needs it.
pub const PROMETHEUS: &str = "daemonset-job/prometheus:local";

/// The prefix of the names of images that are built here.
pub const BUILT_HERE: &str = "daemonset-job/";

/// Whether a node image was built here, by its name.
pub fn is_built_here(reference: &str) -> bool {
    reference.starts_with(BUILT_HERE)
}

/// Whether a node image is of a minor version of Kubernetes, for example `1.33`, by its tag.
pub fn is_of_minor(reference: &str, minor: &str) -> bool {
    reference.contains(&format!(":v{minor}."))
}

/// A minor version of Kubernetes as people write it: `1.33`.
pub fn parse_minor(text: &str) -> Result<String, String> {
    let minor = text.strip_prefix("1.").and_then(|minor| minor.parse::<u32>().ok());
    match minor {
        Some(minor) if minor >= 31 => Ok(format!("1.{minor}")),
        Some(_) => Err("daemonset-job takes Kubernetes 1.31 or later".to_owned()),
        None => Err("a minor version is expected, for example 1.37".to_owned()),
    }
}

/// The name as containerd has it, which takes nothing for granted.
/// <https://github.com/distribution/reference/blob/v0.6.0/normalize.go>
pub fn full_name(name: &str) -> String {
    match name.split_once('/') {
        None => format!("docker.io/library/{name}"),
        Some((host, _)) if host.contains(['.', ':']) || host == "localhost" => name.to_owned(),
        Some(_) => format!("docker.io/{name}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_spelled_out_as_containerd_does() {
        for (name, full) in [
            ("busybox:1.36", "docker.io/library/busybox:1.36"),
            ("darkowlzz/cleanup:v1", "docker.io/darkowlzz/cleanup:v1"),
            ("registry.example/a/b:v1", "registry.example/a/b:v1"),
            ("localhost/a:v1", "localhost/a:v1"),
            ("localhost:5000/a:v1", "localhost:5000/a:v1"),
        ] {
            assert_eq!(full_name(name), full);
        }
    }

    #[test]
    fn version_of_a_node_image_is_read_from_its_tag() {
        for image in ["kindest/node:v1.33.1@sha256:0", "daemonset-job/kind-node:v1.33.13-0e45"] {
            assert!(is_of_minor(image, "1.33"), "{image}");
            assert!(!is_of_minor(image, "1.3") && !is_of_minor(image, "1.37"), "{image}");
        }
    }

    #[test]
    fn versions_that_are_none_or_too_old_are_refused() {
        assert_eq!(parse_minor("1.33"), Ok("1.33".to_owned()));
        for bad in ["1.30", "33", "v1.33", "1.33.1", "2.1", ""] {
            assert!(parse_minor(bad).is_err(), "{bad}");
        }
    }
}
