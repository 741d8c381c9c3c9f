use std::sync::{Arc, Mutex};

use api::job::{JobStatus, Phase, work_hash};
use futures::stream;
use http::{Method, Request, Response};
use kube::{Client, client::Body};
use serde_json::{Value, json};

use super::*;
use crate::{
    Config,
    job::{
        Settings,
        observe::{node_index, pod_index},
    },
    testing::fixtures,
};

/// The requests to the API server, without names.
type Asked = Arc<Mutex<Vec<String>>>;

/// A reconciler with empty caches.
///
/// Its API server has no DaemonSet, and gives this answer to writes of statuses.
fn reconciler(status: (u16, Value)) -> (Reconciler, Asked) {
    let asked = Asked::default();
    let log = Arc::clone(&asked);
    let service = tower::service_fn(move |request: Request<Body>| {
        let path = request.uri().path();
        let kinds = ["jobs", "daemonsets", "events", "pods"];
        let kind = path.split('/').find(|part| kinds.contains(part)).unwrap_or(path);
        log.lock().unwrap().push(format!("{} {kind}", request.method()));
        let (code, answer) = match (request.method(), kind) {
            (&Method::GET, _) => refusal(404),
            (_, "jobs") => status.clone(),
            _ => (200, json!({"metadata": {"resourceVersion": "1", "generation": 1}})),
        };
        let body = Body::from(answer.to_string().into_bytes());
        std::future::ready(Response::builder().status(code).body(body))
    });
    let (daemon_sets, _) = runtime::watch::cache(stream::pending());
    let ((pods, _), (nodes, _)) = (pod_index(stream::pending()), node_index(stream::pending));
    let observer = Observer { client: Client::new(service, "default"), daemon_sets, pods, nodes };
    let Settings { policy, pause_image, .. } = Config::default().into();
    let policies = Policies { default: policy, namespaces: None };
    (Reconciler::new(observer, policies, pause_image, Metrics::default()), asked)
}

fn refusal(code: u16) -> (u16, Value) {
    let reason = if code == 404 { "NotFound" } else { "Conflict" };
    let status = json!({"kind": "Status", "status": "Failure", "code": code, "reason": reason});
    (code, status)
}

fn stored() -> (u16, Value) {
    (200, json!({"metadata": {"resourceVersion": "8"}}))
}

/// A Job, at which somebody has looked before if `is_known`.
fn job(is_known: bool) -> Job {
    let mut job = fixtures::job();
    job.metadata.resource_version = Some("7".to_owned());
    let work_hash = Some(work_hash::hash(&job.spec));
    let status = JobStatus { work_hash, phase: Some(Phase::Running), ..JobStatus::default() };
    job.status = is_known.then_some(status);
    job
}

/// Reconciles a Job; returns what was asked of the API server.
async fn requests(job: &Job, status: (u16, Value)) -> (Action, Vec<String>) {
    let (reconciler, asked) = reconciler(status);
    let action = reconciler.reconcile(job).await.unwrap();
    let asked = asked.lock().unwrap().clone();
    (action, asked)
}

#[tokio::test]
async fn no_daemon_set_is_created_for_a_job_whose_status_has_changed_meanwhile() {
    // The Job is suspended, finished or gone by now, and the cache shows it as it was.
    for (answer, again) in [(refusal(409), CATCH_UP), (refusal(404), RECHECK)] {
        let (action, asked) = requests(&job(true), answer).await;
        assert_eq!(asked, ["GET daemonsets", "PATCH jobs"]);
        assert_eq!(action, Action::requeue(again));
    }
}

#[tokio::test]
async fn daemon_set_is_created_once_the_status_is_known_to_be_that_of_the_cache() {
    let (_, asked) = requests(&job(true), stored()).await;
    let writes: Vec<_> = asked.iter().filter(|asked| !asked.ends_with("events")).collect();
    assert_eq!(writes, ["GET daemonsets", "PATCH jobs", "PATCH daemonsets", "PATCH jobs"]);
}

#[tokio::test]
async fn job_that_nobody_has_looked_at_has_no_status_to_confirm() {
    let (_, asked) = requests(&job(false), stored()).await;
    let writes: Vec<_> = asked.iter().filter(|asked| !asked.ends_with("events")).collect();
    assert_eq!(writes, ["GET daemonsets", "PATCH daemonsets", "PATCH jobs"]);
}
