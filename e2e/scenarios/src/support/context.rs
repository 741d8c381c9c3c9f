//! What every scenario works with.

use std::path::Path;

use harness::process::LogDir;
use harness::progress::Phase;
use harness::provide::Release;
use kube::Client;
use testbed::deploy::Deployed;
use testbed::kind::Cluster;

/// The label of the namespaces that scenarios make.
pub(crate) const LABEL_SCENARIO: &str = "e2e.daemonset.darkowlzz.space/scenario";

/// What a scenario works with.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// The cluster.
    pub cluster: &'a Cluster,
    /// A client with the administrator's rights.
    pub client: &'a Client,
    /// The operator's Deployment.
    pub deployed: &'a Deployed,
    /// What `cargo xtask release --no-push` makes, for the scenarios that need it.
    pub release: Option<&'a Release>,
    /// The kubectl plugin, for the scenarios that need it.
    pub plugin: Option<&'a Path>,
    /// Where commands log.
    pub logs: &'a LogDir,
    /// Shows what the scenario waits for.
    pub phase: &'a Phase,
}
