//! Options of both processes.

use std::net::SocketAddr;

use clap::{Args, ValueEnum};
use tracing_subscriber::filter::Targets;

use crate::leader::Candidate;

/// Options of a process; each is a flag and an environment variable.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Namespace whose Jobs the process handles; unset or empty: all namespaces.
    #[arg(long, env = "NAMESPACE", default_value = "", hide_default_value = true)]
    namespace: String,

    /// Address on which the process serves /livez, /readyz and /metrics.
    #[arg(long, env = "HEALTH_ADDRESS")]
    pub(super) health_address: Option<SocketAddr>,

    /// Name of the pod, which identifies the replica.
    /// With POD_NAMESPACE, replicas elect a leader, and only the leader works. Without both, this
    /// replica is the only one.
    #[arg(long, env = "POD_NAME", requires = "pod_namespace")]
    pod_name: Option<String>,

    /// Namespace of the pod, in which replicas elect their leader by a Lease.
    #[arg(long, env = "POD_NAMESPACE")]
    pod_namespace: Option<String>,

    /// Log level, or levels of modules, such as `info,terminator=debug`.
    // Not EnvFilter, whose regular expressions would be a tenth of the binary.
    #[arg(long, env = "RUST_LOG", default_value = "info", value_name = "RUST_LOG")]
    pub(super) log_filter: Targets,

    /// Format of the log.
    #[arg(long, env = "LOG_FORMAT", value_enum, default_value_t)]
    pub(super) log_format: LogFormat,
}

impl Options {
    /// Namespace whose Jobs the process handles; none: all namespaces.
    #[must_use]
    pub fn namespace(&self) -> Option<&str> {
        Some(self.namespace.as_str()).filter(|namespace| !namespace.is_empty())
    }

    /// This replica as a candidate for leader, if replicas elect one.
    ///
    /// Replicas that handle different namespaces do not compete.
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
    /// One JSON object an event, for log collectors.
    /// Namespace, job, pod and node are under `span`.
    Json,
}
