//! Options that both processes have.

use std::net::SocketAddr;

use clap::{Args, ValueEnum};
use tracing_subscriber::filter::Targets;

use super::Candidate;

/// Options of a process; each is a flag and an environment variable.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Namespace whose Jobs are handled; unset or empty: all namespaces.
    #[arg(long, env = "NAMESPACE", default_value = "", hide_default_value = true)]
    namespace: String,

    /// Address that /livez, /readyz and /metrics are served on.
    #[arg(long, env = "HEALTH_ADDRESS")]
    pub(super) health_address: Option<SocketAddr>,

    /// Name of the pod, by which replicas are told apart. With POD_NAMESPACE they elect a leader, and
    /// only that one works; without, this is the only one.
    #[arg(long, env = "POD_NAME", requires = "pod_namespace")]
    pod_name: Option<String>,

    /// Namespace of the pod, where replicas elect their leader by a Lease.
    #[arg(long, env = "POD_NAMESPACE")]
    pod_namespace: Option<String>,

    /// What is logged: a level, or levels of modules, such as `info,terminator=debug`.
    // Not EnvFilter, which can do more: its regular expressions would be a tenth of the binary.
    #[arg(long, env = "RUST_LOG", default_value = "info", value_name = "RUST_LOG")]
    pub(super) log_filter: Targets,

    /// Format of the log.
    #[arg(long, env = "LOG_FORMAT", value_enum, default_value_t)]
    pub(super) log_format: LogFormat,
}

impl Options {
    /// The namespace whose Jobs are handled; none: all of them.
    #[must_use]
    pub fn namespace(&self) -> Option<&str> {
        Some(self.namespace.as_str()).filter(|namespace| !namespace.is_empty())
    }

    /// What this replica is in the election of a leader, if there is one. Those that handle different
    /// namespaces do not compete.
    pub(super) fn candidate(&self, name: &str) -> Option<Candidate> {
        let lease = match self.namespace() {
            Some(namespace) => format!("{name}-{namespace}"),
            None => name.to_owned(),
        };
        let (identity, namespace) = (self.pod_name.clone()?, self.pod_namespace.clone()?);
        Some(Candidate { namespace, lease, identity })
    }
}

/// Format of the log.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, ValueEnum)]
pub enum LogFormat {
    /// One line of text an event, for people.
    #[default]
    Text,
    /// One JSON object an event, for log collectors; what it is about (namespace, job, pod, node) is
    /// under `span`.
    Json,
}
