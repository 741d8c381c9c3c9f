//! Observes a Job: in the caches of the watches, or at the API server.

use std::{sync::Arc, time::Duration};

use api::{
    names,
    runtime::Cache,
    v1beta1::Job,
    views::{DaemonSetView, NodeView, PodView},
};
use k8s_openapi::jiff::Timestamp;
use kube::{Api, Client, Resource, ResourceExt, api::ListParams, runtime::reflector::ObjectRef};
use serde::de::DeserializeOwned;
use tracing::debug;

use crate::{
    mark::mark,
    nodes::NodeCache,
    observed::{Nodes, Observed, Ownership, Source, asks_for_nodes, ownership},
    pods::PodCache,
};

/// Objects in one page of a list: what is decoded of a large cluster at one time.
const PAGE: u32 = 500;

/// How long the watch of pods may take to tell of a pod that was marked. Most often it takes milliseconds.
const TOLD: Duration = Duration::from_secs(1);

/// What there is to observe Jobs with.
pub(crate) struct Observer {
    /// For single calls.
    pub(crate) client: Client,
    /// Cache of all DaemonSets, so that a foreign one in the way is seen to come and go.
    pub(crate) daemon_sets: Cache<DaemonSetView>,
    /// The pods of all Jobs.
    pub(crate) pods: PodCache,
    /// The nodes.
    pub(crate) nodes: NodeCache,
}

/// What was observed around a Job, by value.
pub(crate) struct Surroundings {
    daemon_set: Option<Arc<DaemonSetView>>,
    pods: Vec<Arc<PodView>>,
    nodes: Arc<Nodes>,
    source: Source,
}

impl Surroundings {
    /// The pods that were seen.
    pub(crate) fn pods(&self) -> &[Arc<PodView>] {
        &self.pods
    }

    /// Together with the Job itself, at the time `now`.
    pub(crate) fn observed<'a>(&'a self, job: &'a Job, now: Timestamp) -> Observed<'a> {
        Observed {
            job,
            daemon_set: self.daemon_set.as_deref(),
            pods: &self.pods,
            nodes: &self.nodes,
            source: self.source,
            now,
        }
    }
}

impl Observer {
    /// Waits until every cache has been filled; `false` if one never will be.
    pub(crate) async fn synced(&self) -> bool {
        self.daemon_sets.synced().await && self.pods.synced().await && self.nodes.synced().await
    }

    /// What the caches know.
    pub(crate) fn cached(&self, job: &Job) -> Surroundings {
        let namespace = job.namespace().unwrap_or_default();
        let name = names::daemon_set(&job.name_any());
        let daemon_set = self.daemon_sets.store.get(&ObjectRef::new(&name).within(&namespace));
        let pods = daemon_set.as_deref().map(|daemon_set| self.pods.of(uid(daemon_set)));
        Surroundings {
            daemon_set,
            pods: pods.unwrap_or_default(),
            nodes: self.nodes.known(),
            source: Source::Caches,
        }
    }

    /// What the API server knows. The DaemonSet is read first: its pods are then at least as new as
    /// what its status has counted.
    pub(crate) async fn live(&self, job: &Job) -> kube::Result<Surroundings> {
        let namespace = job.namespace().unwrap_or_default();
        let name = names::daemon_set(&job.name_any());
        let daemon_sets: Api<DaemonSetView> = Api::namespaced(self.client.clone(), &namespace);
        let daemon_set = daemon_sets.get_opt(&name).await?.map(Arc::new);
        let (mut pods, mut nodes) = (Vec::new(), Arc::default());
        // One of somebody else's is no reason to mark pods.
        if let Ownership::Own(daemon_set) = ownership(job, daemon_set.as_deref()) {
            let are_cached = self.catch_up(&namespace, uid(daemon_set)).await;
            pods = if are_cached {
                self.pods.of(uid(daemon_set))
            } else {
                self.listed_pods(&namespace, &name).await?
            };
            nodes = self.nodes.known();
            // Where the watch of pods is late, that of nodes may be, and pods may be gone of which neither told.
            let may_be_late = !are_cached || self.pods.has_lost(uid(daemon_set));
            if may_be_late || asks_for_nodes(job, daemon_set, &pods, &nodes) {
                nodes = Arc::new(self.live_nodes().await?);
            }
        }
        Ok(Surroundings { daemon_set, pods, nodes, source: Source::Live })
    }

    async fn listed_pods(
        &self,
        namespace: &str,
        daemon_set: &str,
    ) -> kube::Result<Vec<Arc<PodView>>> {
        let selector = format!("{}={}", names::LABEL_DAEMON_SET, names::label_value(daemon_set));
        let api = Api::namespaced(self.client.clone(), namespace);
        self.list(&api, ListParams::default().labels(&selector)).await
    }

    /// Waits until the cache of pods holds all that has happened to them up to this call; `false` if that is
    /// not to be had.
    ///
    /// A pod is marked, and when the watch tells of the mark, it has told of all that was before. That takes two
    /// messages, where a list takes as long as there are pods, those of others in the namespace included.
    async fn catch_up(&self, namespace: &str, daemon_set: &str) -> bool {
        let pods = self.pods.of(daemon_set);
        let Some(pod) = pods.iter().find(|pod| pod.metadata.deletion_timestamp.is_none()) else {
            return false;
        };
        let before = self.pods.version();
        let told = async {
            match mark(&self.client, namespace, pod, Timestamp::now()).await {
                // An older one proves nothing: somebody has dropped the mark, or taken etcd back to a backup.
                Ok(version) => self.pods.until(before, &version).await,
                Err(error) => {
                    // Most often the pod is gone. What else there is, the list will tell.
                    debug!("pods are listed, for none could be marked: {error}");
                    false
                }
            }
        };
        tokio::time::timeout(TOLD, told).await.unwrap_or_else(|_| {
            debug!("pods are listed, for the watch does not tell of a mark");
            false
        })
    }

    async fn live_nodes(&self) -> kube::Result<Nodes> {
        let nodes: Vec<Arc<NodeView>> =
            self.list(&Api::all(self.client.clone()), ListParams::default()).await?;
        let named =
            nodes.into_iter().map(|node| (node.metadata.name.clone().unwrap_or_default(), node));
        Ok(named.collect())
    }

    async fn list<K>(&self, api: &Api<K>, params: ListParams) -> kube::Result<Vec<Arc<K>>>
    where
        K: Resource + Clone + DeserializeOwned + std::fmt::Debug,
    {
        let mut objects = Vec::new();
        let mut page = params.limit(PAGE);
        loop {
            let list = api.list(&page).await?;
            objects.extend(list.items.into_iter().map(Arc::new));
            match list.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => page = page.continue_token(&token),
                None => return Ok(objects),
            }
        }
    }
}

fn uid(daemon_set: &DaemonSetView) -> &str {
    daemon_set.metadata.uid.as_deref().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use futures::{StreamExt, channel::mpsc, stream};
    use http::{Request, Response};
    use kube::{
        client::Body,
        runtime::watcher::{self, Event},
    };
    use serde_json::{Value, json};

    use api::work;

    use super::*;
    use crate::{fixtures, nodes::nodes, pods::pods};

    /// The watch of pods, whose events come when a test says so.
    type Watch = mpsc::UnboundedSender<watcher::Result<Event<PodView>>>;

    /// What was asked of the API server.
    type Asked = Arc<Mutex<Vec<String>>>;

    /// An observer whose watch has told of the pod `known` in version 5, of an API server that answers
    /// a mark in this way and holds the pod `listed`.
    async fn observer(mark: (u16, Value)) -> (Observer, Watch, Asked) {
        let asked = Asked::default();
        let log = Arc::clone(&asked);
        let service = tower::service_fn(move |request: Request<Body>| {
            let what = format!("{} {}", request.method(), request.uri().path());
            let (code, answer) = match what.rsplit('/').next() {
                Some("status") => mark.clone(),
                Some("nodes") => (200, json!({"metadata": {}, "items": []})),
                Some("pods") => (200, json!({"metadata": {}, "items": [object("listed", "9")]})),
                _ => (200, daemon_set()),
            };
            log.lock().unwrap().push(what);
            let answer =
                Response::builder().status(code).body(Body::from(answer.to_string().into_bytes()));
            std::future::ready(answer)
        });
        let (watch, events) = mpsc::unbounded();
        let (pods, events) = pods(events);
        tokio::spawn(events.for_each(|_| std::future::ready(())));
        for event in [Event::Init, Event::InitApply(pod("known", "5")), Event::InitDone] {
            watch.unbounded_send(Ok(event)).unwrap();
        }
        assert!(pods.synced().await);
        let (daemon_sets, _) = api::runtime::cache(stream::pending());
        let known =
            [Event::Init, Event::InitApply((*fixtures::node("a")).clone()), Event::InitDone];
        let (nodes, events) = nodes(stream::iter(known.map(Ok)));
        events.for_each(|_| std::future::ready(())).await;
        let client = Client::new(service, "default");
        (Observer { client, daemon_sets, pods, nodes }, watch, asked)
    }

    /// One whose pods are all there.
    fn daemon_set() -> Value {
        let job = fixtures::job();
        json!({
            "metadata": {
                "name": "d", "uid": fixtures::DAEMON_SET_UID, "generation": 1,
                "ownerReferences": [job.controller_owner_ref(&())],
                "annotations": {names::ANNOTATION_WORK_HASH: work::hash(&job.spec)},
            },
            "status": {
                "currentNumberScheduled": 1, "desiredNumberScheduled": 1, "numberMisscheduled": 0,
                "numberReady": 1, "observedGeneration": 1,
            },
        })
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
                "annotations": {names::ANNOTATION_WORK_HASH: work::hash(&fixtures::job().spec)},
            },
            "spec": {"nodeName": "a"},
            "status": {"conditions": [{"type": names::POD_COMPLETED, "status": "True"}]},
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

    fn uids(surroundings: &Surroundings) -> Vec<&str> {
        let mut uids: Vec<_> =
            surroundings.pods().iter().filter_map(|pod| pod.metadata.uid.as_deref()).collect();
        uids.sort_unstable();
        uids
    }

    #[tokio::test(start_paused = true)]
    async fn cached_pods_are_taken_once_the_watch_tells_of_the_mark() {
        let (observer, watch, asked) = observer((200, object("known", "7"))).await;
        let job = fixtures::job();
        let mut live = std::pin::pin!(observer.live(&job));
        // Time passes when nothing else is left to do.
        let a_moment = Duration::from_millis(10);
        let waits = tokio::time::timeout(a_moment, live.as_mut()).await.is_err();
        assert!(waits, "the watch may have more to tell");
        watch.unbounded_send(Ok(Event::Apply(pod("late", "6")))).unwrap();
        let waits = tokio::time::timeout(a_moment, live.as_mut()).await.is_err();
        assert!(waits, "that was before the mark");
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
        assert_eq!(uids(&observer.live(&fixtures::job()).await.unwrap()), ["listed"]);
        let asked = asked.lock().unwrap();
        assert!(
            asked.contains(&"GET /api/v1/nodes".to_owned()),
            "that of nodes may be late as well"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn pods_are_listed_when_a_mark_is_no_later_than_what_is_known() {
        let (observer, _watch, _) = observer((200, object("known", "5"))).await;
        assert_eq!(uids(&observer.live(&fixtures::job()).await.unwrap()), ["listed"]);
    }

    #[tokio::test(start_paused = true)]
    async fn nodes_are_read_when_a_pod_is_gone() {
        for (lost, expected) in [(false, 0), (true, 1)] {
            let (observer, watch, asked) = observer((200, object("known", "7"))).await;
            if lost {
                watch.unbounded_send(Ok(Event::Delete(pod("lost", "6")))).unwrap();
            }
            let job = fixtures::job();
            let told = async {
                tokio::time::sleep(Duration::from_millis(10)).await;
                watch.unbounded_send(Ok(Event::Apply(pod("known", "7")))).unwrap();
            };
            let (seen, ()) = tokio::join!(observer.live(&job), told);
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
        assert_eq!(uids(&observer.live(&other).await.unwrap()), [""; 0]);
        assert_eq!(asked.lock().unwrap().len(), 1, "the DaemonSet is looked at");
    }

    #[tokio::test(start_paused = true)]
    async fn pods_are_listed_when_none_can_be_marked() {
        let (observer, watch, _) = observer(refusal(404)).await;
        assert_eq!(uids(&observer.live(&fixtures::job()).await.unwrap()), ["listed"]);
        watch.unbounded_send(Ok(Event::Delete(pod("known", "6")))).unwrap();
        tokio::task::yield_now().await;
        assert_eq!(uids(&observer.live(&fixtures::job()).await.unwrap()), ["listed"]);
    }
}
