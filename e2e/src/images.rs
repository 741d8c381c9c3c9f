//! The names of our images, as `deploy/` uses them.

/// Where the images live.
pub const REGISTRY: &str = "darkowlzz";
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

/// The name as containerd has it, which takes nothing for granted.
/// <https://github.com/distribution/reference/blob/v0.6.0/normalize.go>
#[must_use]
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
}
