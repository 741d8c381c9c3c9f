//! The controller of Jobs: which watches make which Job be reconciled.

use std::{collections::HashSet, future::Future, sync::Arc, time::Instant};

use api::{
    job::{Job, MaybeJob},
    labels,
    views::{self, DaemonSetView, NamespaceView, NodeView, PodView},
};
use futures::{FutureExt, StreamExt, stream};
use kube::{
    Resource, ResourceExt,
    runtime::{
        WatchStreamExt,
        controller::Action,
        reflector::{ObjectRef, Store},
        watcher,
    },
};
use runtime::{
    client::Clients,
    controller::{Controller, Reconcile, WatchEnded},
    http::Health,
    watch::{cache, report_errors, watch, watch_cluster},
};
use tracing::{Span, info, info_span};

use super::{
    decide::is_done,
    observe::{Observer, PodIndex, Throttle, node_index, pod_index},
    policy::Policies,
    reconcile::{Error, Reconciler},
    settings::Settings,
};
use crate::metrics::Metrics;

/// Reconciles the Jobs of `namespace`, or of all, until `shutdown` resolves.
///
/// # Errors
/// When the watches have ended for good.
pub(crate) async fn run(
    clients: Clients,
    namespace: Option<String>,
    settings: Settings,
    metrics: Metrics,
    health: Health,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), WatchEnded> {
    let (namespace, all) = (namespace.as_deref(), watcher::Config::default());
    let (watches, errors) = (&clients.stream, &metrics.watch_errors);
    let events = watch::<MaybeJob>(watches, namespace, all.clone()).modify(views::prune_workload);
    let (jobs, of_jobs) = cache(report_errors(errors, "jobs", events));
    let events = watch(watches, namespace, all.clone());
    let (daemon_sets, of_daemon_sets) = cache(report_errors(errors, "daemonsets", events));
    let events = watch(watches, namespace, all.clone().labels(labels::POD_SELECTOR));
    let (pods, of_pods) = pod_index(report_errors(errors, "pods", events));
    let (client, counters, config) = (watches.clone(), errors.clone(), all.clone());
    let (nodes, of_nodes) = node_index(move || {
        report_errors(&counters, "nodes", watch_cluster(&client, config.clone()))
    });
    // An operator of one namespace has no right to watch namespaces, and needs none: its settings count.
    let (namespaces, of_namespaces) = match namespace {
        None => {
            let events = report_errors(errors, "namespaces", watch_cluster(watches, all));
            let (namespaces, changes) = cache(events);
            (Some(namespaces), changes.left_stream())
        }
        Some(_) => (None, stream::pending().right_stream()),
    };

    let _tracked = metrics.track(jobs.store.clone());
    let (owners, jobs_store) = (daemon_sets.store.clone(), jobs.store.clone());
    let (owners_by_node, pods_by_node) = (owners.clone(), pods.clone());
    let reconciliations = metrics.reconciliations.clone();
    let observer = Observer { client: clients.call, daemon_sets, pods, nodes };
    let policies = Policies { default: settings.policy, namespaces };
    let reconciler = Arc::new(Reconciler::new(observer, policies, settings.pause_image, metrics));

    let (waiting, throttled) = (jobs.store.clone(), Arc::clone(&reconciler));
    let controller = Controller::new(jobs.clone(), of_jobs)
        .watches(of_daemon_sets, jobs_of_daemon_set)
        .watches(of_pods, move |pod| {
            let job = job_of_pod(pod, &owners);
            job.as_ref().inspect(|job| hand_over(pod, job, &waiting, &throttled.throttle));
            job
        })
        .watches(of_nodes, move |node| jobs_on_node(node, &pods_by_node, &owners_by_node))
        .watches(of_namespaces, move |namespace| jobs_in_namespace(namespace, &jobs_store));
    let shutdown = shutdown.boxed().shared();
    let ready = async {
        if jobs.synced().await && reconciler.synced().await {
            info!("caches are synced");
            health.set_ready();
        }
        std::future::pending::<()>().await
    };
    tokio::select! {
        result = controller.run(Arc::clone(&reconciler), reconciliations, shutdown) => result,
        () = ready => Ok(()),
    }
}

impl Reconcile<MaybeJob> for Reconciler {
    type Error = Error;

    async fn synced(&self) -> bool {
        Reconciler::synced(self).await
    }

    fn postpone(&self, job: &MaybeJob) -> Option<Action> {
        let uid = job.meta().uid.as_deref().unwrap_or_default();
        self.throttle.rest(uid, Instant::now()).map(Action::requeue)
    }

    async fn reconcile(&self, job: &MaybeJob) -> Result<Action, Error> {
        match &job.0 {
            Ok(job) => Reconciler::reconcile(self, job).await,
            Err(invalid) => self.report_undecodable(invalid).await,
        }
    }

    fn error_kind(error: &Error) -> &'static str {
        error.kind()
    }

    fn span(job: &ObjectRef<MaybeJob>) -> Span {
        info_span!("job", namespace = job.namespace.as_deref().unwrap_or_default(), job = job.name)
    }
}

/// Returns the owner of a DaemonSet, and the Job whose DaemonSet has its name.
fn jobs_of_daemon_set(daemon_set: &DaemonSetView) -> Vec<ObjectRef<MaybeJob>> {
    let namespace = daemon_set.namespace().unwrap_or_default();
    let name = daemon_set.name_any();
    let owner = owning_job(daemon_set);
    let namesake = labels::job_of_daemon_set(&name)
        .map(str::to_owned)
        .filter(|job| Some(job) != owner.as_ref());
    let jobs = owner.into_iter().chain(namesake);
    jobs.map(|job| ObjectRef::new(&job).within(&namespace)).collect()
}

fn owning_job(daemon_set: &DaemonSetView) -> Option<String> {
    let owner = views::controller(&daemon_set.metadata)?;
    let is_job = owner.kind == Job::kind(&()) && owner.api_version == Job::api_version(&());
    is_job.then(|| owner.name.clone())
}

/// Returns the Job of a pod, by its DaemonSet.
///
/// When the cache does not hold that yet, its arrival makes the Job be reconciled.
fn job_of_pod(pod: &PodView, daemon_sets: &Store<DaemonSetView>) -> Option<ObjectRef<MaybeJob>> {
    let namespace = pod.namespace()?;
    let daemon_set =
        daemon_sets.get(&ObjectRef::new(&pod.daemon_set()?.name).within(&namespace))?;
    Some(ObjectRef::new(&owning_job(&daemon_set)?).within(&namespace))
}

/// Lets a Job be looked at soon if its `pod` is done and other nodes wait.
///
/// The pod may have freed a place.
fn hand_over(
    pod: &PodView,
    job: &ObjectRef<MaybeJob>,
    jobs: &Store<MaybeJob>,
    throttle: &Throttle,
) {
    let Some(job) = jobs.get(job) else { return };
    let Ok(Job { metadata, spec, status: Some(status) }) = &job.0 else { return };
    if status.waiting > 0 && is_done(spec.completion_mode, pod) {
        throttle.shorten_rest(metadata.uid.as_deref().unwrap_or_default());
    }
}

/// Returns the Jobs with a pod on a node.
fn jobs_on_node(
    node: &NodeView,
    pods: &PodIndex,
    daemon_sets: &Store<DaemonSetView>,
) -> HashSet<ObjectRef<MaybeJob>> {
    let pods = pods.on(node.metadata.name.as_deref().unwrap_or_default());
    pods.iter().filter_map(|pod| job_of_pod(pod, daemon_sets)).collect()
}

/// Returns the Jobs in a namespace, whose policy may have changed.
fn jobs_in_namespace(
    namespace: &NamespaceView,
    jobs: &Store<MaybeJob>,
) -> Vec<ObjectRef<MaybeJob>> {
    let name = namespace.metadata.name.as_deref();
    let jobs = jobs.state().into_iter().filter(|job| job.meta().namespace.as_deref() == name);
    jobs.map(|job| ObjectRef::from_obj(&*job)).collect()
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
    use crate::{Config, testing::fixtures};

    /// An API server with one Job, which violates the policy of its namespace at first.
    ///
    /// The first watch of namespaces expires. The list after it has a policy that allows the Job, and comes in
    /// two pages.
    #[derive(Default)]
    struct Gap {
        lists_of_namespaces: AtomicUsize,
        watches_of_namespaces: AtomicUsize,
        /// The path at which a DaemonSet was applied.
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
                    let annotations = json!({labels::ANNOTATION_ALLOWED_HOST_PATHS: paths});
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

    /// Until the second page of a list has come, the cache has the old namespace.
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
        let (metrics, health) = (Metrics::default(), Health::default());
        let settings = Config::default().into();
        run(clients, None, settings, metrics, health, shutdown).await.unwrap();
        let applied = gap.applied.lock().unwrap();
        let path = "/apis/apps/v1/namespaces/default/daemonsets/sample-daemonset-job";
        assert_eq!(applied.as_deref(), Some(path));
    }
}
