//! Deletes Jobs that are finished.

use std::{
    future::Future,
    sync::Arc,
    time::{Duration, Instant},
};

use api::{
    conditions::{self, Reason},
    names,
    runtime::{Backoff, Brief, Clients, Lists, NoRest, cache, error_kind, watch},
    v1beta1::Job,
};
use futures::{StreamExt, TryStreamExt};
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, Preconditions},
    core::DeserializeGuard,
    runtime::{
        Config, Controller, WatchStreamExt,
        controller::{self, Action},
        reflector::ObjectRef,
        watcher,
    },
};
use tokio::sync::oneshot;
use tracing::{Instrument, Span, debug, info, info_span, warn};

use crate::metrics::Metrics;

/// Jobs that are deleted at the same time.
const CONCURRENCY: u16 = 16;

/// A Job that may not be decodable: one of those must not stop the watch of the others.
type MaybeJob = DeserializeGuard<Job>;

/// When a Job is to be deleted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Due {
    /// Not as it is now.
    Never,
    /// After this time.
    After(Duration),
    /// Now.
    Now,
}

/// When `job` is to be deleted: once its status says, of its spec as it is now, that it is finished,
/// and after its TTL. Without one a completed Job goes at once; one that failed, or that no node
/// matched, stays for its user to see.
#[must_use]
pub fn due(job: &Job, now: Timestamp) -> Due {
    let Some(status) = &job.status else {
        return Due::Never;
    };
    let is_current = status.is_current(&job.metadata);
    let finished = conditions::finished(&status.conditions)
        .filter(|_| is_current && job.metadata.deletion_timestamp.is_none());
    let Some(condition) = finished else {
        return Due::Never;
    };
    match job.spec.ttl_seconds_after_finished {
        Some(ttl) => {
            let passed = now.duration_since(condition.last_transition_time.0);
            let rest = SignedDuration::from_secs(ttl).saturating_sub(passed);
            // What is left of it; an error when it is over.
            Duration::try_from(rest).map_or(Due::Now, |rest| match rest {
                Duration::ZERO => Due::Now,
                rest => Due::After(rest),
            })
        }
        None if condition.reason == Reason::Completed.as_str() => Due::Now,
        None => Due::Never,
    }
}

struct Context {
    client: Client,
    metrics: Metrics,
    backoff: Backoff<ObjectRef<MaybeJob>>,
}

/// Deletes the Jobs of `namespace`, or of all namespaces, as they become due, until `shutdown`
/// resolves. Tells `synced` when all Jobs have been seen.
pub async fn run(
    clients: Clients,
    namespace: Option<&str>,
    metrics: Metrics,
    synced: oneshot::Sender<()>,
    shutdown: impl Future<Output = ()> + Send + Sync + 'static,
) {
    let events = watch::<MaybeJob>(&clients.stream, namespace, watcher::Config::default());
    let (jobs, events) = cache(metrics.watch_errors.count("jobs", events));
    let (lists, listed) = Lists::new();
    let of_metrics = metrics.clone();
    let events = lists
        .tell(events)
        .inspect_ok(move |event| {
            // No controller is told of a Job that is gone.
            if let watcher::Event::Delete(job) = event {
                let namespace = job.namespace().unwrap_or_default();
                of_metrics.forget(&namespace, &names::daemon_set(&job.name_any()));
            }
        })
        .applied_objects();
    let context = Arc::new(Context { client: clients.call, metrics, backoff: Backoff::default() });
    let results = Controller::for_stream(events, jobs.store.clone())
        .reconcile_all_on(listed)
        .with_config(Config::default().concurrency(CONCURRENCY))
        .trigger_backoff(NoRest)
        .graceful_shutdown_on(shutdown)
        .run(finish, error_policy, Arc::clone(&context))
        .for_each(|result| {
            report(&context, result);
            std::future::ready(())
        });
    let ready = async {
        if jobs.synced().await {
            // Nobody listens when the process is about to end.
            let _ = synced.send(());
        }
    };
    futures::join!(results, ready);
}

async fn finish(job: Arc<MaybeJob>, context: Arc<Context>) -> Result<Action, kube::Error> {
    let (started, name) = (Instant::now(), ObjectRef::from_obj(&*job));
    let Ok(seen) = &job.0 else {
        return Ok(Action::await_change());
    };
    context.see(seen);
    let finished = match due(seen, Timestamp::now()) {
        Due::Now => {
            delete(&context, seen).instrument(span(&name)).await.map(|()| Action::await_change())
        }
        Due::After(rest) => Ok(Action::requeue(rest)),
        Due::Never => Ok(Action::await_change()),
    };
    let error = finished.as_ref().err().map(error_kind);
    context.metrics.reconciliations.done(started.elapsed(), error);
    if finished.is_ok() {
        context.backoff.succeeded(&name);
    }
    finished
}

impl Context {
    /// Tells of the end of a Job, if that is what was seen.
    fn see(&self, job: &Job) {
        let conditions = job.status.as_ref().map(|status| &status.conditions);
        if let Some(condition) = conditions.and_then(|all| conditions::finished(all)) {
            let namespace = job.metadata.namespace.as_deref().unwrap_or_default();
            let daemon_set = names::daemon_set(&job.name_any());
            match condition.reason == Reason::Completed.as_str() {
                true => self.metrics.completed(namespace, &daemon_set),
                false => self.metrics.forget(namespace, &daemon_set),
            }
        }
    }
}

/// What is logged of a Job bears its name.
fn span(job: &ObjectRef<MaybeJob>) -> Span {
    info_span!("job", namespace = job.namespace.as_deref().unwrap_or_default(), job = job.name)
}

/// Deletes exactly the Job that was seen: another one of its name stays, and so does one that has
/// been edited since, for the edit may be more work.
async fn delete(context: &Context, job: &Job) -> Result<(), kube::Error> {
    let namespace = job.namespace().unwrap_or_default();
    let name = job.name_any();
    let jobs: Api<Job> = Api::namespaced(context.client.clone(), &namespace);
    let preconditions = Preconditions {
        uid: job.metadata.uid.clone(),
        resource_version: job.metadata.resource_version.clone(),
    };
    match jobs.delete(&name, &DeleteParams::background().preconditions(preconditions)).await {
        Ok(_) => {
            context.metrics.deleted.inc();
            info!("deleted the finished Job");
            Ok(())
        }
        // Gone, or changed: then an event of that is on its way.
        Err(kube::Error::Api(refusal)) if matches!(refusal.code, 404 | 409) => {
            debug!("not deleted: {}", refusal.message);
            Ok(())
        }
        Err(error) => Err(error),
    }
}

#[expect(clippy::needless_pass_by_value, reason = "the signature that the controller asks for")]
fn error_policy(job: Arc<MaybeJob>, _: &kube::Error, context: Arc<Context>) -> Action {
    Action::requeue(context.backoff.failed(ObjectRef::from_obj(&*job)))
}

type Outcome =
    Result<(ObjectRef<MaybeJob>, Action), controller::Error<kube::Error, watcher::Error>>;

fn report(context: &Context, outcome: Outcome) {
    match outcome {
        Ok(_) => {}
        Err(controller::Error::ObjectNotFound(job)) => {
            let namespace = job.namespace.as_deref().unwrap_or_default();
            context.metrics.forget(namespace, &names::daemon_set(&job.name));
            context.backoff.succeeded(&ObjectRef::<MaybeJob>::new(&job.name).within(namespace));
        }
        Err(controller::Error::ReconcilerFailed(error, job)) => {
            let namespace = job.namespace.as_deref().unwrap_or_default();
            span(&ObjectRef::new(&job.name).within(namespace))
                .in_scope(|| warn!("not deleted, tried again later: {}", Brief(&error)));
        }
        // Logged where it is known which watch it is.
        Err(controller::Error::QueueError(_)) => {}
        Err(controller::Error::RunnerError(error)) => warn!("{error}"),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    };

    use http::{Method, Request, Response};
    use kube::client::Body;
    use serde_json::json;

    use super::*;

    /// Seconds after the epoch at which the Jobs of these tests were finished.
    const FINISHED: i64 = 1000;

    fn job(condition: &str, reason: &str, ttl: Option<i64>) -> Job {
        serde_json::from_value(json!({
            "apiVersion": "daemonset.darkowlzz.space/v1beta1",
            "kind": "Job",
            "metadata": {"name": "j", "namespace": "n", "generation": 2},
            "spec": {"image": "busybox", "ttlSecondsAfterFinished": ttl},
            "status": {
                "observedGeneration": 2,
                "conditions": [{
                    "type": condition, "status": "True", "reason": reason, "message": "",
                    "lastTransitionTime": "1970-01-01T00:16:40Z",
                }],
            },
        }))
        .unwrap()
    }

    fn due_after(job: &Job, seconds: i64) -> Due {
        due(job, Timestamp::from_second(FINISHED + seconds).unwrap())
    }

    #[test]
    fn without_a_ttl_only_a_completed_job_is_deleted_and_at_once() {
        assert_eq!(due_after(&job("Complete", "Completed", None), 0), Due::Now);
        assert_eq!(due_after(&job("Complete", "NoMatchingNodes", None), 9999), Due::Never);
        assert_eq!(due_after(&job("Failed", "NodesFailed", None), 9999), Due::Never);
    }

    #[test]
    fn a_finished_job_is_deleted_after_its_ttl() {
        for (condition, reason) in [
            ("Complete", "Completed"),
            ("Complete", "NoMatchingNodes"),
            ("Failed", "NodesFailed"),
            ("Failed", "DeadlineExceeded"),
        ] {
            let job = job(condition, reason, Some(60));
            assert_eq!(due_after(&job, 20), Due::After(Duration::from_secs(40)), "{reason}");
            assert_eq!(due_after(&job, 60), Due::Now, "{reason}");
            assert_eq!(due_after(&job, 61), Due::Now, "{reason}");
        }
        assert_eq!(due_after(&job("Complete", "Completed", Some(0)), 0), Due::Now);
        let forever = job("Complete", "Completed", Some(i64::MAX));
        assert!(matches!(due_after(&forever, 0), Due::After(_)));
    }

    #[test]
    fn a_failure_that_may_lift_ignores_the_ttl() {
        for reason in ["InvalidSpec", "NameConflict"] {
            assert_eq!(due_after(&job("Failed", reason, Some(0)), 9999), Due::Never, "{reason}");
        }
    }

    #[test]
    fn a_job_that_was_edited_since_it_was_finished_is_not_due() {
        let mut edited = job("Complete", "Completed", None);
        edited.metadata.generation = Some(3);
        assert_eq!(due_after(&edited, 0), Due::Never);
    }

    /// While the second page of a list is awaited, the Job on the first is looked at as it was before.
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
        let (synced, _) = oneshot::channel();
        let shutdown = tokio::time::sleep(Duration::from_secs(60));
        run(clients, Some("n"), Metrics::default(), synced, shutdown).await;
        let path = "/apis/daemonset.darkowlzz.space/v1beta1/namespaces/n/jobs/j";
        assert_eq!(deleted.lock().unwrap().as_deref(), Some(path));
    }

    #[test]
    fn a_job_without_a_true_condition_is_not_due() {
        let mut running = job("Complete", "Completed", None);
        for condition in running.status.iter_mut().flat_map(|status| &mut status.conditions) {
            condition.status = "False".into();
        }
        assert_eq!(due_after(&running, 0), Due::Never);
        running.status = None;
        assert_eq!(due_after(&running, 0), Due::Never);
    }
}
