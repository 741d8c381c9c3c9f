//! The scenarios that run against a cluster with the operator deployed.

pub mod sample_job;

use kube::Client;

use crate::cluster::Cluster;
use crate::deploy::Deployed;
use crate::process::LogDir;
use crate::progress::Phase;

/// What a scenario works with.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// The cluster.
    pub cluster: &'a Cluster,
    /// A client with the administrator's rights.
    pub client: &'a Client,
    /// The operator's Deployment.
    pub deployed: &'a Deployed,
    /// Where commands log.
    pub logs: &'a LogDir,
    /// Shows what the scenario waits for.
    pub phase: &'a Phase,
}
