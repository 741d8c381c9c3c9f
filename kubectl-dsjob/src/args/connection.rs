//! kubectl's flags that choose a cluster, a user and a namespace.

use std::path::PathBuf;

/// Flags of every command that talks to a cluster.
#[derive(clap::Args, Clone, Debug, Default)]
#[command(next_help_heading = "Connection")]
pub(crate) struct Connection {
    /// Context of the kubeconfig to use.
    #[arg(long, global = true)]
    pub(crate) context: Option<String>,

    /// Kubeconfig file to use. Default: $KUBECONFIG, or ~/.kube/config.
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) kubeconfig: Option<PathBuf>,

    /// Cluster of the kubeconfig to use.
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) cluster: Option<String>,

    /// User of the kubeconfig to use.
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) user: Option<String>,

    /// Namespace of the Job. Default: the context's namespace.
    #[arg(long, short, global = true)]
    pub(crate) namespace: Option<String>,

    /// User to impersonate.
    #[arg(long = "as", global = true, value_name = "USER")]
    pub(crate) as_user: Option<String>,

    /// Group to impersonate; may be repeated.
    #[arg(long, global = true, value_name = "GROUP", requires = "as_user")]
    pub(crate) as_group: Vec<String>,
}
