//! Turns Jobs into DaemonSets and reports their status.
//!
//! A change of a Job, of its DaemonSet or of one of its pods makes the controller observe all of them, decide what
//! to do, which is a pure function, and apply that.

mod config;
mod job;
mod metrics;
#[cfg(test)]
mod testing;

use std::future::Future;

use runtime::{client::Clients, controller::WatchEnded, http::Health};

pub use self::{config::Config, metrics::Metrics};

/// Reconciles the Jobs of `namespace`, or of all, until `shutdown` resolves.
///
/// # Errors
/// When the watches have ended for good.
pub async fn run(
    clients: Clients,
    namespace: Option<String>,
    config: Config,
    metrics: Metrics,
    health: Health,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), WatchEnded> {
    job::run(clients, namespace, config.into(), metrics, health, shutdown).await
}
