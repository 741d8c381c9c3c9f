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
