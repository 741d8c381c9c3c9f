//! The commands that look at a cluster.

use std::ffi::OsStr;
use std::time::Duration;

use crate::process::Cmd;

/// How long each command may take. A broken cluster must not hold up the end of a run.
pub(super) const COMMAND_TIMEOUT: Duration = Duration::from_secs(20);

/// The commands that look at a cluster.
#[derive(Clone, Debug)]
pub struct Probe {
    /// kubectl, to which arguments are added.
    pub kubectl: Cmd,
    /// The nodes.
    pub nodes: Vec<NodeProbe>,
    /// Exports the logs of the nodes into the folder that is added.
    pub export_logs: Cmd,
}

/// The commands that look at a node.
#[derive(Clone, Debug)]
pub struct NodeProbe {
    /// The node's name.
    pub name: String,
    /// Runs the command that is added in the node.
    pub exec: Cmd,
    /// Prints the state of the node as it is seen from outside.
    pub inspect: Cmd,
}

impl Probe {
    pub(super) fn kubectl<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Cmd {
        self.kubectl.clone().args(args).timeout(COMMAND_TIMEOUT)
    }
}
