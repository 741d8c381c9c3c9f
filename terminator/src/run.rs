//! Runs the two tasks of the terminator, and ends them in order.

use std::future::Future;

use api::views::PodView;
use futures::FutureExt;
use kube::runtime::watcher;
use runtime::{
    client::Clients,
    http::Health,
    watch::{report_errors, watch},
};
use tracing::info;

use crate::{config::Config, error::Error, finish, follow::Followers, metrics::Metrics};

/// Follows logs, records completions and deletes finished Jobs.
///
/// It handles the Jobs of `namespace`, or of all namespaces, until `shutdown` resolves.
///
/// # Errors
/// When the API server refuses the pod selector, or a watch has ended for good.
pub async fn run(
    clients: Clients,
    namespace: Option<String>,
    config: Config,
    metrics: Metrics,
    health: Health,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), Error> {
    let shutdown = shutdown.boxed().shared();
    let namespace = namespace.as_deref();
    metrics.begin(config.max_followers.get());
    let selected = watcher::Config::default().labels(&config.pod_label_selector);
    let events = watch::<PodView>(&clients.stream, namespace, selected);
    let pod_events = report_errors(&metrics.watch_errors, "pods", events);
    let followers = Followers::new(clients.clone(), config, metrics.clone());
    let (jobs, job_changes) = finish::watch_jobs(&clients, namespace, &metrics);
    let (pods_synced, jobs_cache) = (followers.synced(), jobs.clone());
    let ready = async {
        if pods_synced.wait().await && jobs_cache.synced().await {
            info!("caches are synced");
            health.set_ready();
        }
        std::future::pending::<()>().await
    };
    let finisher = finish::run(clients.call, jobs, job_changes, metrics, shutdown.clone());
    tokio::select! {
        result = finisher => Ok(result?),
        result = followers.run(pod_events) => result,
        () = ready => Ok(()),
        () = shutdown.clone() => Ok(()),
    }
}
