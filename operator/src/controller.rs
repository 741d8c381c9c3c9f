//! The wiring: which watches make which Job be reconciled.

use std::{collections::HashSet, future::Future, sync::Arc, time::Instant};

use api::{
    names,
    runtime::{Backoff, Clients, Health, Lists, NoRest, cache, watch, watch_cluster},
    v1beta1::Job,
    views::{self, DaemonSetView, NamespaceView, NodeView, PodView},
};
use futures::{FutureExt, StreamExt};
use kube::{
    Resource, ResourceExt,
    core::DeserializeGuard,
    runtime::{
        Controller, WatchStreamExt,
        controller::{self, Action},
        reflector::{ObjectRef, Store},
        watcher,
    },
};
use tracing::{Instrument, Span, debug, info, info_span, warn};

use crate::{
    config::Config,
    decide,
    metrics::Metrics,
    nodes,
    observe::Observer,
    pace::Pace,
    pods::{self, PodCache},
    policy::{Policies, Policy},
    reachability::Reachability,
    recent::Recent,
    reconcile::{Error, Reconciler},
    write::StatusWriter,
};

/// Jobs that are reconciled at the same time.
const CONCURRENCY: u16 = 16;

/// A Job that may not be decodable: one of those must not stop the watch of the others.
pub(crate) type MaybeJob = DeserializeGuard<Job>;

struct Context {
    reconciler: Reconciler,
    backoff: Backoff<ObjectRef<MaybeJob>>,
}

/// Reconciles the Jobs of `namespace`, or of all namespaces, until `shutdown` resolves.
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
) -> Result<(), Error> {
    let shutdown = shutdown.boxed().shared();
    let namespace = namespace.as_deref();
    let stream = &clients.stream;
    let all = watcher::Config::default();
    let of_jobs = watcher::Config::default().labels(names::POD_SELECTOR);
    let errors = &metrics.watch_errors;
    let (lists, listed) = Lists::new();
    let job_watch = watch::<MaybeJob>(stream, namespace, all.clone());
    let (jobs, job_events) = cache(errors.count("jobs", job_watch));
    let job_events = lists.tell(job_events);
    let daemon_set_watch = watch(stream, namespace, all.clone());
    let (daemon_sets, daemon_set_events) = cache(errors.count("daemonsets", daemon_set_watch));
    let daemon_set_events = lists.tell(daemon_set_events);
    let pod_watch = watch::<PodView>(stream, namespace, of_jobs);
    let (pods, pod_events) = pods::pods(errors.count("pods", pod_watch));
    let pod_events = lists.tell(pod_events);
    let (nodes, node_events) = nodes::nodes(errors.count("nodes", watch_cluster(stream, all)));
    // Who serves one namespace has no right to watch namespaces, and needs none: the setting is its.
    let namespaces = namespace.is_none().then(|| {
        cache(errors.count("namespaces", watch_cluster(stream, watcher::Config::default())))
    });
    let (namespaces, namespace_events) = namespaces.unzip();
    let namespace_events = namespace_events.map_or_else(
        || futures::stream::pending().left_stream(),
        |events| lists.tell(events).touched_objects().right_stream(),
    );
    let jobs_by_namespace = jobs.store.clone();
    let _shown = metrics.show(jobs.store.clone());

    let client = clients.call;
    let owners = daemon_sets.store.clone();
    let (owners_by_node, pods_by_node) = (owners.clone(), pods.clone());
    let mut reachability = Reachability::default();
    let node_events = node_events.filter_map(move |event| {
        let turned = event.map(|event| reachability.turned(event)).transpose();
        std::future::ready(turned)
    });
    let observer = Observer { client: client.clone(), daemon_sets, pods, nodes };
    let writer = StatusWriter::new(client.clone());
    let asked_why = Recent::within(decide::LONGEST_REFUSAL);
    let default =
        Policy { host_paths: config.allowed_host_paths, features: config.allowed_pod_features };
    let reconciler = Reconciler {
        client,
        pace: Pace::default(),
        observer,
        writer,
        asked_why,
        pause_image: config.pause_image,
        policies: Policies { default, namespaces },
        metrics,
    };
    let context = Arc::new(Context { reconciler, backoff: Backoff::default() });
    let results = Controller::for_stream(job_events.applied_objects(), jobs.store.clone())
        .watches_stream(daemon_set_events.touched_objects(), |daemon_set| {
            jobs_of_daemon_set(&daemon_set)
        })
        .watches_stream(pod_events.touched_objects(), move |pod| job_of_pod(&pod, &owners))
        .watches_stream(node_events, move |node| {
            jobs_on_node(&node, &pods_by_node, &owners_by_node)
        })
        .watches_stream(namespace_events, move |namespace: NamespaceView| {
            jobs_in_namespace(&namespace, &jobs_by_namespace)
        })
        .reconcile_all_on(listed)
        .with_config(controller::Config::default().concurrency(CONCURRENCY))
        .trigger_backoff(NoRest)
        .graceful_shutdown_on(shutdown.clone())
        .run(reconcile, error_policy, Arc::clone(&context))
        .for_each(|result| {
            report(&context, result);
            std::future::ready(())
        });
    let ready = async {
        if jobs.synced().await && context.reconciler.synced().await {
            info!("caches are synced");
            health.set_ready();
        }
        std::future::pending::<()>().await
    };
    let cut_short = async {
        shutdown.await;
        // Reconciliations that wait for the caches would wait for ever: the watches have ended.
        if context.reconciler.synced().now_or_never().is_some() {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        () = results => Ok(()),
        () = cut_short => Ok(()),
        () = ready => Ok(()),
    }
}

/// The Job that owns a DaemonSet, and the Job that it may be in the way of.
fn jobs_of_daemon_set(daemon_set: &DaemonSetView) -> Vec<ObjectRef<MaybeJob>> {
    let namespace = daemon_set.namespace().unwrap_or_default();
    let name = daemon_set.name_any();
    let owner = owning_job(daemon_set);
    let in_the_way_of = names::job_of_daemon_set(&name)
        .map(str::to_owned)
        .filter(|job| Some(job) != owner.as_ref());
    let jobs = owner.into_iter().chain(in_the_way_of);
    jobs.map(|job| ObjectRef::new(&job).within(&namespace)).collect()
}

fn owning_job(daemon_set: &DaemonSetView) -> Option<String> {
    let owner = views::controller(&daemon_set.metadata)?;
    let is_job = owner.kind == Job::kind(&()) && owner.api_version == Job::api_version(&());
    is_job.then(|| owner.name.clone())
}

/// The Job of a pod, by way of its DaemonSet. When that is not in the cache yet, its arrival there
/// makes the Job be reconciled.
fn job_of_pod(pod: &PodView, daemon_sets: &Store<DaemonSetView>) -> Option<ObjectRef<MaybeJob>> {
    let namespace = pod.namespace()?;
    let daemon_set =
        daemon_sets.get(&ObjectRef::new(&pod.daemon_set()?.name).within(&namespace))?;
    Some(ObjectRef::new(&owning_job(&daemon_set)?).within(&namespace))
}

/// The Jobs with a pod on a node.
fn jobs_on_node(
    node: &NodeView,
    pods: &PodCache,
    daemon_sets: &Store<DaemonSetView>,
) -> HashSet<ObjectRef<MaybeJob>> {
    let pods = pods.on(node.metadata.name.as_deref().unwrap_or_default());
    pods.iter().filter_map(|pod| job_of_pod(pod, daemon_sets)).collect()
}

fn jobs_in_namespace(
    namespace: &NamespaceView,
    jobs: &Store<MaybeJob>,
) -> Vec<ObjectRef<MaybeJob>> {
    let name = namespace.metadata.name.as_deref();
    let jobs = jobs.state().into_iter().filter(|job| job.meta().namespace.as_deref() == name);
    jobs.map(|job| ObjectRef::from_obj(&*job)).collect()
}

async fn reconcile(job: Arc<MaybeJob>, context: Arc<Context>) -> Result<Action, Error> {
    let reconciler = &context.reconciler;
    if !reconciler.synced().await {
        return Err(Error::WatchEnded);
    }
    let started = Instant::now();
    // Neither a success, which would take back the wait after a failure, nor a reconciliation to count.
    let uid = job.meta().uid.as_deref().unwrap_or_default();
    if let Some(rest) = reconciler.pace.rest(uid, started) {
        return Ok(Action::requeue(rest));
    }
    let reconciled = async {
        match &job.0 {
            Ok(job) => reconciler.reconcile(job).await,
            Err(invalid) => reconciler.report_undecodable(invalid).await,
        }
    };
    let name = ObjectRef::from_obj(&*job);
    let reconciled = reconciled.instrument(span(&name)).await;
    let error = reconciled.as_ref().err().map(Error::kind);
    reconciler.metrics.reconciliations.done(started.elapsed(), error);
    if reconciled.is_ok() {
        context.backoff.succeeded(&name);
    }
    reconciled
}

/// What is logged of a Job bears its name.
fn span(job: &ObjectRef<MaybeJob>) -> Span {
    info_span!("job", namespace = job.namespace.as_deref().unwrap_or_default(), job = job.name)
}

#[expect(clippy::needless_pass_by_value, reason = "the signature that the controller asks for")]
fn error_policy(job: Arc<MaybeJob>, _: &Error, context: Arc<Context>) -> Action {
    Action::requeue(context.backoff.failed(ObjectRef::from_obj(&*job)))
}

type Outcome = Result<(ObjectRef<MaybeJob>, Action), controller::Error<Error, watcher::Error>>;

/// One line in the log for each thing that went wrong.
fn report(context: &Context, outcome: Outcome) {
    match outcome {
        Ok((job, _)) => span(&job).in_scope(|| debug!("reconciled")),
        // Its children have just told of the end of a Job.
        Err(controller::Error::ObjectNotFound(job)) => {
            let name = ObjectRef::<MaybeJob>::new(&job.name)
                .within(job.namespace.as_deref().unwrap_or_default());
            context.backoff.succeeded(&name);
        }
        Err(controller::Error::ReconcilerFailed(error, job)) => {
            let name = ObjectRef::<MaybeJob>::new(&job.name)
                .within(job.namespace.as_deref().unwrap_or_default());
            span(&name).in_scope(|| warn!("tried again later: {error}"));
        }
        // Logged where it is known which watch it is.
        Err(controller::Error::QueueError(_)) => {}
        Err(controller::Error::RunnerError(error)) => warn!("{error}"),
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

    use http::{Method, Request, Response};
    use kube::{Client, client::Body};
    use serde_json::{Value, json};

    use super::*;
    use crate::fixtures;

    /// An API server with one Job, which asks for what is not allowed in its namespace. The first watch of
    /// namespaces ends for lack of history; the list after it has that it is allowed, and comes in two pages.
    #[derive(Default)]
    struct Gap {
        lists_of_namespaces: AtomicUsize,
        watches_of_namespaces: AtomicUsize,
        /// Where a DaemonSet was applied.
        applied: Mutex<Option<String>>,
    }

    impl Gap {
        async fn answer(&self, request: Request<Body>) -> (u16, Value) {
            let (method, uri) = (request.method().clone(), request.into_parts().0.uri);
            let (path, query) = (uri.path(), uri.query().unwrap_or_default());
            let kind = path.rsplit('/').next().unwrap_or_default();
            let list = |items: Value, more: &str| {
                let metadata = json!({"resourceVersion": "1", "continue": more});
                (200, json!({"metadata": metadata, "items": items}))
            };
            if method != Method::GET {
                if path.contains("/daemonsets/") {
                    *self.applied.lock().unwrap() = Some(path.to_owned());
                }
                return (200, json!({"metadata": {"name": "sample", "resourceVersion": "1"}}));
            }
            if query.contains("watch=true") {
                if kind != "namespaces" || self.watches_of_namespaces.fetch_add(1, Relaxed) > 0 {
                    std::future::pending::<()>().await;
                }
                return (200, json!({"type": "ERROR", "object": refusal(410, "Expired")}));
            }
            match kind {
                "jobs" => {
                    let mut job = fixtures::job();
                    job.spec.mount_path = Some("/tmp".to_owned());
                    list(json!([job]), "")
                }
                "namespaces" if query.contains("continue=more") => {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    list(json!([]), "")
                }
                "namespaces" => {
                    let is_first = self.lists_of_namespaces.fetch_add(1, Relaxed) == 0;
                    let (paths, more) = if is_first { ("", "") } else { ("/tmp", "more") };
                    let annotations = json!({names::ANNOTATION_ALLOWED_HOST_PATHS: paths});
                    let metadata = json!({"name": "default", "annotations": annotations});
                    list(json!([{"metadata": metadata}]), more)
                }
                "daemonsets" | "nodes" | "pods" => list(json!([]), ""),
                _ => (404, refusal(404, "NotFound")),
            }
        }
    }

    fn refusal(code: u16, reason: &str) -> Value {
        json!({"kind": "Status", "status": "Failure", "code": code, "message": "", "reason": reason})
    }

    /// While the second page of a list is awaited, the namespace on the first is known as it was before.
    #[tokio::test(start_paused = true)]
    async fn a_job_that_was_allowed_while_nobody_was_told_gets_its_daemon_set() {
        let gap = Arc::new(Gap::default());
        let server = Arc::clone(&gap);
        let service = tower::service_fn(move |request: Request<Body>| {
            let server = Arc::clone(&server);
            async move {
                let (code, answer) = server.answer(request).await;
                let body = Body::from(format!("{answer}\n").into_bytes());
                Response::builder().status(code).body(body)
            }
        });
        let client = Client::new(service, "default");
        let clients = Clients { stream: client.clone(), logs: client.clone(), call: client };
        let shutdown = tokio::time::sleep(Duration::from_secs(60));
        let (config, metrics, health) = (Config::default(), Metrics::default(), Health::default());
        run(clients, None, config, metrics, health, shutdown).await.unwrap();
        let applied = gap.applied.lock().unwrap();
        let path = "/apis/apps/v1/namespaces/default/daemonsets/sample-daemonset-job";
        assert_eq!(applied.as_deref(), Some(path));
    }
}
