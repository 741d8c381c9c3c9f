//! Settings of the controller of Jobs.

use super::policy::Policy;

/// Settings of the controller of Jobs.
pub(crate) struct Settings {
    /// Image that pods of `ExitCode` Jobs idle on.
    pub(crate) pause_image: String,
    /// Policy of the cluster.
    pub(crate) policy: Policy,
}
