use std::sync::Mutex;

use futures::{StreamExt, channel::mpsc, stream};
use http::{Request, Response};
use kube::{
    client::Body,
    runtime::watcher::{self, Event},
};
use serde_json::{Value, json};

use api::job::{Job, work_hash};

use super::*;
use crate::{
    job::observe::{node_index::node_index, pod_index::pod_index},
    testing::fixtures::{self, observation},
};

/// The watch of pods, whose events a test sends.
type Watch = mpsc::UnboundedSender<watcher::Result<Event<PodView>>>;

/// The requests to the API server.
type Asked = Arc<Mutex<Vec<String>>>;

/// An observer whose watch has shown the pod `known` in version 5.
///
/// Its API server answers in this way when a pod is touched, and holds the pod `listed`.
async fn observer(touched: (u16, Value)) -> (Observer, Watch, Asked) {
    observer_of(daemon_set(), touched).await
}

/// The same, with this DaemonSet.
async fn observer_of(daemon_set: Value, touched: (u16, Value)) -> (Observer, Watch, Asked) {
    let asked = Asked::default();
    let log = Arc::clone(&asked);
    let service = tower::service_fn(move |request: Request<Body>| {
        let what = format!("{} {}", request.method(), request.uri().path());
        let (code, answer) = match what.rsplit('/').next() {
            Some("status") => touched.clone(),
            Some("nodes") => (200, json!({"metadata": {}, "items": [node()]})),
            Some("pods") => (200, json!({"metadata": {}, "items": [object("listed", "9")]})),
            _ => (200, daemon_set.clone()),
        };
        log.lock().unwrap().push(what);
        let answer =
            Response::builder().status(code).body(Body::from(answer.to_string().into_bytes()));
        std::future::ready(answer)
    });
    let (watch, events) = mpsc::unbounded();
    let (pods, events) = pod_index(events);
    tokio::spawn(events.for_each(|_| std::future::ready(())));
    for event in [Event::Init, Event::InitApply(pod("known", "5")), Event::InitDone] {
        watch.unbounded_send(Ok(event)).unwrap();
    }
    assert!(pods.synced().await);
    let (daemon_sets, _) = runtime::watch::cache(stream::pending());
    let known = [Event::Init, Event::InitApply((*fixtures::node("a")).clone()), Event::InitDone];
    let (nodes, events) = node_index(move || stream::iter(known.clone().map(Ok)));
    events.for_each(|_| std::future::ready(())).await;
    let client = Client::new(service, "default");
    (Observer { client, daemon_sets, pods, nodes }, watch, asked)
}

/// A DaemonSet whose pods are all there.
fn daemon_set() -> Value {
    let job = fixtures::job();
    json!({
        "metadata": {
            "name": "d", "uid": fixtures::DAEMON_SET_UID, "generation": 1,
            "ownerReferences": [job.controller_owner_ref(&())],
            "annotations": {labels::ANNOTATION_WORK_HASH: work_hash::hash(&job.spec)},
        },
        "status": {
            "currentNumberScheduled": 1, "desiredNumberScheduled": 1, "numberMisscheduled": 0,
            "numberReady": 1, "observedGeneration": 1,
        },
    })
}

/// The node `a`, with labels.
fn node() -> Value {
    json!({"metadata": {"name": "a", "uid": "uid-of-a", "labels": {"zone": "z1", "arch": "arm64"}}})
}

/// A pod on the node `a` that is done.
fn object(uid: &str, version: &str) -> Value {
    let owner = json!({
        "apiVersion": "apps/v1", "kind": "DaemonSet", "name": "d", "controller": true,
        "uid": fixtures::DAEMON_SET_UID,
    });
    json!({
        "metadata": {
            "name": uid, "uid": uid, "resourceVersion": version, "ownerReferences": [owner],
            "labels": {"pod-template-generation": "1", "controller-revision-hash": "h1"},
            "annotations": {labels::ANNOTATION_WORK_HASH: work_hash::hash(&fixtures::job().spec)},
        },
        "spec": {"nodeName": "a"},
        "status": {"conditions": [{"type": labels::POD_COMPLETED, "status": "True"}]},
    })
}

fn pod(uid: &str, version: &str) -> PodView {
    serde_json::from_value(object(uid, version)).unwrap()
}

fn refusal(code: u16) -> (u16, Value) {
    (
        code,
        json!({"kind": "Status", "status": "Failure", "code": code, "message": "", "reason": ""}),
    )
}

fn uids(observation: &Observation<'_>) -> Vec<String> {
    let mut uids: Vec<_> =
        observation.pods.iter().filter_map(|pod| pod.metadata.uid.clone()).collect();
    uids.sort_unstable();
    uids
}

async fn live_uids(observer: &Observer, job: &Job) -> Vec<String> {
    uids(&observer.live(JobView::new(job), |_| observation(job).applied).await.unwrap())
}

#[tokio::test(start_paused = true)]
async fn cached_pods_are_taken_once_the_watch_tells_of_the_mark() {
    let (observer, watch, asked) = observer((200, object("known", "7"))).await;
    let job = fixtures::job();
    let mut live = std::pin::pin!(observer.live(JobView::new(&job), |_| observation(&job).applied));
    // Time passes when nothing else is left to do.
    let a_moment = Duration::from_millis(10);
    let waits = tokio::time::timeout(a_moment, live.as_mut()).await.is_err();
    assert!(waits, "the watch may have more to tell");
    watch.unbounded_send(Ok(Event::Apply(pod("late", "6")))).unwrap();
    let waits = tokio::time::timeout(a_moment, live.as_mut()).await.is_err();
    assert!(waits, "that was before the barrier");
    watch.unbounded_send(Ok(Event::Apply(pod("known", "7")))).unwrap();
    let seen = live.await.unwrap();
    assert_eq!(uids(&seen), ["known", "late"]);
    let asked = asked.lock().unwrap();
    let pods: Vec<_> = asked.iter().filter(|asked| asked.contains("/pods")).collect();
    assert_eq!(pods, ["PATCH /api/v1/namespaces/default/pods/known/status"]);
    assert!(asked[0].starts_with("GET /apis/apps/v1/"), "the DaemonSet comes first: {asked:?}");
}

#[tokio::test(start_paused = true)]
async fn pods_are_listed_when_the_watch_does_not_tell_of_the_mark() {
    let (observer, _watch, asked) = observer((200, object("known", "7"))).await;
    assert_eq!(live_uids(&observer, &fixtures::job()).await, ["listed"]);
    let asked = asked.lock().unwrap();
    assert!(asked.contains(&"GET /api/v1/nodes".to_owned()), "that of nodes may be late as well");
}

#[tokio::test(start_paused = true)]
async fn pods_are_listed_when_a_mark_is_no_later_than_what_is_known() {
    let (observer, _watch, _) = observer((200, object("known", "5"))).await;
    assert_eq!(live_uids(&observer, &fixtures::job()).await, ["listed"]);
}

#[tokio::test(start_paused = true)]
async fn nodes_are_read_when_a_pod_is_gone() {
    for (lost, expected) in [(false, 0), (true, 1)] {
        let (observer, watch, asked) = observer((200, object("known", "7"))).await;
        if lost {
            watch.unbounded_send(Ok(Event::Delete(pod("lost", "6")))).unwrap();
        }
        let job = fixtures::job();
        let barrier = async {
            tokio::time::sleep(Duration::from_millis(10)).await;
            watch.unbounded_send(Ok(Event::Apply(pod("known", "7")))).unwrap();
        };
        let (seen, ()) =
            tokio::join!(observer.live(JobView::new(&job), |_| observation(&job).applied), barrier);
        assert_eq!(uids(&seen.unwrap()), ["known"]);
        let asked = asked.lock().unwrap();
        let of_nodes = asked.iter().filter(|asked| *asked == "GET /api/v1/nodes");
        assert_eq!(of_nodes.count(), expected, "{asked:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn pods_of_somebody_else_are_not_marked() {
    let (observer, _watch, asked) = observer((200, object("known", "7"))).await;
    let mut other = fixtures::job();
    other.metadata.uid = Some("another".into());
    assert_eq!(live_uids(&observer, &other).await, [""; 0]);
    assert_eq!(asked.lock().unwrap().len(), 1, "the DaemonSet is looked at");
}

#[tokio::test(start_paused = true)]
async fn pods_are_listed_when_none_can_be_marked() {
    let (observer, watch, _) = observer(refusal(404)).await;
    assert_eq!(live_uids(&observer, &fixtures::job()).await, ["listed"]);
    watch.unbounded_send(Ok(Event::Delete(pod("known", "6")))).unwrap();
    tokio::task::yield_now().await;
    assert_eq!(live_uids(&observer, &fixtures::job()).await, ["listed"]);
}

/// A Job is suspended when its pods are going, whatever becomes of its DaemonSet.
#[tokio::test]
async fn pods_of_a_daemon_set_that_is_going_are_listed_where_they_matter() {
    let mut going = daemon_set();
    going["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    let (observer, _watch, asked) = observer_of(going, refusal(404)).await;
    let mut job = fixtures::job();
    assert_eq!(live_uids(&observer, &job).await, [""; 0]);
    assert_eq!(asked.lock().unwrap().len(), 1, "the DaemonSet alone");
    job.spec.suspend = Some(true);
    let live = observer.live(JobView::new(&job), |_| None).await.unwrap();
    assert_eq!((uids(&live), live.nodes.len()), (vec!["listed".to_owned()], 1));
}

#[tokio::test(start_paused = true)]
async fn live_nodes_have_the_labels_that_the_job_names_and_no_others() {
    let (observer, _watch, _) = observer(refusal(404)).await;
    let mut job = fixtures::job();
    job.spec.order = serde_json::from_value(json!([{"matchLabels": {"zone": "z1"}}])).unwrap();
    let cached = observer.cached(JobView::new(&job), |_| None, Timestamp::UNIX_EPOCH);
    assert!(!cached.has_labels, "the watch has not brought them yet");
    let live = observer.live(JobView::new(&job), |_| None).await.unwrap();
    assert!(live.has_labels);
    let labels: Vec<_> = live.nodes["a"].labels().iter().collect();
    assert_eq!(labels, [(&"zone".to_owned(), &"z1".to_owned())]);
}
