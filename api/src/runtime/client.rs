//! Clients of the API server.

use std::time::Duration;

use kube::{Client, Config, client::ClientBuilder};
use tokio::sync::watch;
use tower::filter::FilterLayer;

use super::{
    lease::{self, Standing},
    metrics::Requests,
    stream,
};

/// How long the API server may be silent while it answers a single call.
const CALL_TIMEOUT: Duration = Duration::from_secs(15);

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
    /// Clients from the service account of the pod, or from `$KUBECONFIG` outside of a cluster. What
    /// they ask is counted among `requests`.
    ///
    /// # Errors
    /// When neither is there, or what they hold is not usable.
    pub(super) async fn infer(requests: &Requests) -> Result<Self, Error> {
        let mut config = Config::infer().await?;
        // Watches and reconciliations have their own backoff; this layer would stretch a call that
        // the server puts off to minutes, with a state that is as old.
        config.default_retry = false;
        let stream = stream::for_watches(config.clone(), requests)?;
        let logs = stream::for_logs(config.clone(), requests)?;
        config.read_timeout = Some(CALL_TIMEOUT);
        config.reset_reader_on_write = true;
        let call = ClientBuilder::try_from(config)?.with_layer(requests).build();
        Ok(Self { stream, logs, call })
    }

    /// The same clients, with calls that change something held back while this replica may not write.
    #[must_use]
    pub fn guarded(self, standing: watch::Receiver<Standing>) -> Self {
        let guard = FilterLayer::new(move |request| lease::guard(&standing, request));
        let (call, namespace) = (self.call.clone(), self.call.default_namespace());
        let service = tower::service_fn(move |request| {
            let call = call.clone();
            async move { call.send(request).await }
        });
        let call = ClientBuilder::new(service, namespace).with_layer(&guard).build();
        Self { call, ..self }
    }
}

impl From<Client> for Clients {
    /// One client for everything, as tests need it.
    fn from(client: Client) -> Self {
        Self { stream: client.clone(), logs: client.clone(), call: client }
    }
}

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// Neither a service account nor a kubeconfig.
    #[error("no cluster is configured: {0}")]
    Infer(#[from] kube::config::InferConfigError),
    /// The configuration does not make a client.
    #[error("the cluster's configuration is not usable: {0}")]
    Client(#[from] kube::Error),
}
