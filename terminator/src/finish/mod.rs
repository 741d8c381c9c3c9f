//! Deletes finished Jobs.

mod delete;
#[cfg(test)]
mod testing;
mod ttl;

use std::{future::Future, sync::Arc};

use api::{
    job::{
        Job, MaybeJob,
        conditions::{self, Reason},
    },
    labels, views,
};
use futures::{Stream, StreamExt};
use k8s_openapi::jiff::Timestamp;
use kube::{
    Client, ResourceExt,
    runtime::{WatchStreamExt, controller::Action, reflector::ObjectRef, watcher},
};
use runtime::{
    client::{Clients, ShortError, error_kind},
    controller::{Controller, Reconcile, WatchEnded},
    watch::{Cache, cache, index::Change, report_errors, watch},
};
use tracing::{Span, info, info_span};

use self::{
    delete::delete,
    ttl::{Expiry, expiry},
};
use crate::metrics::Metrics;

/// Watches the Jobs of `namespace`, or of all namespaces.
pub(crate) fn watch_jobs(
    clients: &Clients,
    namespace: Option<&str>,
    metrics: &Metrics,
) -> (Cache<MaybeJob>, impl Stream<Item = Change<MaybeJob>> + Send + 'static) {
    let events = watch::<MaybeJob>(&clients.stream, namespace, watcher::Config::default());
    cache(report_errors(&metrics.watch_errors, "jobs", events.modify(views::prune)))
}

/// Deletes Jobs as they expire, until `shutdown` resolves.
///
/// # Errors
/// When the watch has ended before.
pub(crate) async fn run(
    client: Client,
    jobs: Cache<MaybeJob>,
    changes: impl Stream<Item = Change<MaybeJob>> + Send + 'static,
    metrics: Metrics,
    shutdown: impl Future<Output = ()> + Clone + Send + Sync + 'static,
) -> Result<(), WatchEnded> {
    let (reconciliations, of_deleted) = (metrics.reconciliations.clone(), metrics.clone());
    let changes = changes.inspect(move |change| {
        // A controller may never notice that a Job is gone whose name is in use again.
        if let Change::Deleted(job) = change {
            of_deleted
                .forget(&job.namespace().unwrap_or_default(), &labels::daemon_set(&job.name_any()));
        }
    });
    let finisher = Arc::new(Finisher { client, metrics });
    Controller::new(jobs, changes).run(finisher, reconciliations, shutdown).await
}

/// Deletes Jobs as they expire.
struct Finisher {
    client: Client,
    metrics: Metrics,
}

/// Why a Job is not deleted yet.
#[derive(Debug, thiserror::Error)]
#[error("the Job is not deleted yet: {}", ShortError(.0))]
struct Error(#[from] kube::Error);

impl Reconcile<MaybeJob> for Finisher {
    type Error = Error;

    fn postpone(&self, job: &MaybeJob) -> Option<Action> {
        // The operator reports a Job that cannot be decoded.
        job.0.is_err().then(Action::await_change)
    }

    async fn reconcile(&self, job: &MaybeJob) -> Result<Action, Error> {
        let Ok(job) = &job.0 else {
            return Ok(Action::await_change());
        };
        self.observe(job);
        match expiry(job, Timestamp::now()) {
            Expiry::Now => {
                if delete(&self.client, job).await? {
                    self.metrics.deleted.inc();
                    info!("deleted the finished Job");
                }
                Ok(Action::await_change())
            }
            Expiry::After(remaining) => Ok(Action::requeue(remaining)),
            Expiry::Never => Ok(Action::await_change()),
        }
    }

    fn error_kind(error: &Error) -> &'static str {
        error_kind(&error.0)
    }

    fn span(job: &ObjectRef<MaybeJob>) -> Span {
        info_span!("job", namespace = job.namespace.as_deref().unwrap_or_default(), job = job.name)
    }

    fn forget(&self, job: &ObjectRef<MaybeJob>) {
        let namespace = job.namespace.as_deref().unwrap_or_default();
        self.metrics.forget(namespace, &labels::daemon_set(&job.name));
    }
}

impl Finisher {
    /// Measures the end of a Job, if this is it.
    fn observe(&self, job: &Job) {
        let conditions = job.status.as_ref().map(|status| &status.conditions);
        if let Some(condition) = conditions.and_then(|all| conditions::finished(all)) {
            let namespace = job.metadata.namespace.as_deref().unwrap_or_default();
            let daemon_set = labels::daemon_set(&job.name_any());
            match Reason::of(condition) == Some(Reason::Completed) {
                true => self.metrics.observe_completion(namespace, &daemon_set),
                false => self.metrics.forget(namespace, &daemon_set),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{
            Mutex,
            atomic::{AtomicUsize, Ordering::Relaxed},
        },
        time::Duration,
    };

    use futures::FutureExt;
    use http::{Method, Request, Response};
    use kube::client::Body;
    use serde_json::json;

    use super::{testing::job, *};

    /// Until the second page of a list has come, the cache has the old Job.
    #[tokio::test(start_paused = true)]
    async fn a_job_that_was_completed_while_nobody_was_told_is_deleted() {
        let (lists, watches) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let deleted = Arc::new(Mutex::new(None));
        let (state, deletions) = (Arc::new((lists, watches)), Arc::clone(&deleted));
        let service = tower::service_fn(move |request: Request<Body>| {
            let (state, deletions) = (Arc::clone(&state), Arc::clone(&deletions));
            async move {
                let (lists, watches) = &*state;
                let query = request.uri().query().unwrap_or_default();
                let answer = if request.method() == Method::DELETE {
                    *deletions.lock().unwrap() = Some(request.uri().path().to_owned());
                    json!({"kind": "Status", "status": "Success"})
                } else if query.contains("watch=true") {
                    if watches.fetch_add(1, Relaxed) > 0 {
                        std::future::pending::<()>().await;
                    }
                    json!({"type": "ERROR", "object": {
                        "kind": "Status", "status": "Failure", "code": 410, "reason": "Expired",
                        "message": "",
                    }})
                } else if query.contains("continue=more") {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    json!({"metadata": {"resourceVersion": "2"}, "items": []})
                } else {
                    let is_first = lists.fetch_add(1, Relaxed) == 0;
                    let mut job = job("Complete", "Completed", None);
                    job.metadata.uid = Some("u".into());
                    job.metadata.resource_version = Some("1".into());
                    job.status = job.status.filter(|_| !is_first);
                    let more = if is_first { "" } else { "more" };
                    json!({"metadata": {"resourceVersion": "1", "continue": more}, "items": [job]})
                };
                let body = format!("{answer}\n").into_bytes();
                Ok::<_, std::convert::Infallible>(Response::new(Body::from(body)))
            }
        });
        let client = Client::new(service, "n");
        let clients = Clients { stream: client.clone(), logs: client.clone(), call: client };
        let shutdown = tokio::time::sleep(Duration::from_secs(60)).shared();
        let metrics = Metrics::default();
        let (jobs, changes) = watch_jobs(&clients, Some("n"), &metrics);
        run(clients.call, jobs, changes, metrics, shutdown).await.unwrap();
        let path = "/apis/daemonset.darkowlzz.space/v1beta1/namespaces/n/jobs/j";
        assert_eq!(deleted.lock().unwrap().as_deref(), Some(path));
    }
}
