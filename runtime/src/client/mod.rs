//! Clients of the API server.

mod call;
mod connection_pool;
mod error;
mod pod_condition;
mod pod_gate;
mod stream;
pub(crate) mod version;
mod write_fence;

use kube::{Client, Config};

pub use error::{KINDS as ERROR_KINDS, kind as error_kind};
pub use error::{ShortError, is_conflict, is_gone, is_invalid};
pub use pod_condition::{PodId, set_condition};
pub use pod_gate::{is_other_pod, remove_gate, try_annotation};
pub use write_fence::WriteFenced;

use crate::metrics::Requests;

/// Clients of one API server: streams may be silent for long, calls may not.
#[derive(Clone)]
pub struct Clients {
    /// For watches; without a read timeout.
    pub stream: Client,
    /// For logs, hundreds at the same time; without a read timeout.
    pub logs: Client,
    /// For single calls.
    pub call: Client,
}

impl Clients {
    /// Makes clients from the service account, or `$KUBECONFIG` outside of a cluster.
    ///
    /// # Errors
    /// When there is neither, or its configuration is not usable.
    pub(crate) async fn infer(requests: &Requests) -> Result<Self, Error> {
        let mut config = Config::infer().await?;
        // Watches and reconciliations have their own backoff. This layer would stretch a call that the
        // server postpones to minutes, with a state that is as old.
        config.default_retry = false;
        Ok(Self {
            stream: stream::for_watches(config.clone(), requests)?,
            logs: stream::for_logs(config.clone(), requests)?,
            call: call::for_calls(config, requests)?,
        })
    }

    /// Holds back writes of the client for calls while `may_write` returns false.
    #[must_use]
    pub fn fenced(self, may_write: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Self { call: write_fence::fenced(self.call, may_write), ..self }
    }
}

impl From<Client> for Clients {
    /// Uses one client for everything, for tests.
    fn from(client: Client) -> Self {
        Self { stream: client.clone(), logs: client.clone(), call: client }
    }
}

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// Neither a service account nor a kubeconfig.
    #[error("no cluster is configured: {0}")]
    Infer(#[from] kube::config::InferConfigError),
    /// The configuration does not make a client.
    #[error("the cluster's configuration is not usable: {0}")]
    Client(#[from] kube::Error),
}
