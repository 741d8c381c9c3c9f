//! What kubelets say of pods only in events: mounts, volumes, sandboxes, devices.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use api::job::NodeStatus;
use k8s_openapi::{api::core::v1::Event, jiff::Timestamp};
use kube::{Api, Client, api::ListParams};
use runtime::client::ShortError;
use tracing::warn;

use crate::job::decide::{
    explain,
    progress::{EVENTS_INTERVAL, StuckPod},
};

/// Time for which the event of a pod is remembered that nobody asks for.
const MEMORY: Duration = Duration::from_mins(5);

/// Looks up the events of pods, and remembers them.
pub(crate) struct PodEvents {
    client: Client,
    /// The last event of pods by UID.
    known: Mutex<HashMap<String, Known>>,
}

/// The last event of a pod.
struct Known {
    looked_up: Instant,
    reason: Option<String>,
    message: Option<String>,
}

impl PodEvents {
    pub(crate) fn new(client: Client) -> Self {
        Self { client, known: Mutex::default() }
    }

    /// Puts the last warnings about these pods into the status of their nodes.
    ///
    /// A failed call is no reason to hold up the Job.
    pub(crate) async fn explain(
        &self,
        namespace: &str,
        pods: &[StuckPod],
        nodes: &mut [NodeStatus],
    ) {
        for StuckPod { node, uid } in pods {
            if self.is_due(uid) {
                let event = self.last_warning(namespace, uid).await.unwrap_or_else(|error| {
                    warn!("why a pod does not start is not known: {}", ShortError(&error));
                    None
                });
                self.remember(uid, event);
            }
            let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            let known = known.get(uid).filter(|known| known.reason.is_some());
            let status = nodes.iter_mut().find(|status| status.name == *node);
            if let Some((status, known)) = status.zip(known) {
                status.reason.clone_from(&known.reason);
                status.message.clone_from(&known.message);
            }
        }
    }

    fn is_due(&self, uid: &str) -> bool {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(uid).is_none_or(|known| known.looked_up.elapsed() >= EVENTS_INTERVAL)
    }

    fn remember(&self, uid: &str, event: Option<Event>) {
        let explained = event.map(|event| {
            let (reason, message) = explain(event.reason.as_deref(), event.message.as_deref());
            (reason, Some(message))
        });
        let (reason, message) = explained.unwrap_or_default();
        let looked_up = Instant::now();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, known| known.looked_up.elapsed() < MEMORY);
        known.insert(uid.to_owned(), Known { looked_up, reason, message });
    }

    async fn last_warning(&self, namespace: &str, pod: &str) -> kube::Result<Option<Event>> {
        let events: Api<Event> = Api::namespaced(self.client.clone(), namespace);
        let selector = format!("involvedObject.uid={pod},type=Warning");
        let found = events.list(&ListParams::default().fields(&selector)).await?;
        Ok(found.items.into_iter().max_by_key(time))
    }
}

/// When an event happened last.
fn time(event: &Event) -> Option<Timestamp> {
    let series = event.series.as_ref().and_then(|series| series.last_observed_time.as_ref());
    let last = event.last_timestamp.as_ref().map(|time| time.0);
    series.map(|time| time.0).or(last).or_else(|| event.event_time.as_ref().map(|time| time.0))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use http::{Request, Response};
    use kube::client::Body;
    use serde_json::json;

    use super::*;

    /// Explains a node twice, and returns its status and the calls.
    async fn explained_twice(code: u16, before: Option<&str>) -> (NodeStatus, Vec<String>) {
        let calls = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&calls);
        let service = tower::service_fn(move |request: Request<Body>| {
            log.lock().unwrap().push(request.uri().to_string());
            let event = |reason: &str, time: &str| {
                json!({
                    "metadata": {}, "involvedObject": {}, "reason": reason,
                    "message": "configmap \"missing\" not found", "lastTimestamp": time,
                })
            };
            let items = [
                event("FailedScheduling", "2026-01-01T00:00:00Z"),
                event("FailedMount", "2026-01-01T00:01:00Z"),
            ];
            let body = match code {
                200 => json!({"metadata": {}, "items": items}),
                _ => json!({"kind": "Status", "status": "Failure", "code": code, "message": ""}),
            };
            let body = Body::from(body.to_string().into_bytes());
            let answer = Response::builder().status(code).body(body).unwrap();
            std::future::ready(Ok::<_, std::convert::Infallible>(answer))
        });
        let events = PodEvents::new(Client::new(service, "default"));
        let pods = [StuckPod { node: "a".to_owned(), uid: "uid-1".to_owned() }];
        let reason = before.map(str::to_owned);
        let mut nodes = [NodeStatus { name: "a".to_owned(), reason, ..NodeStatus::default() }];
        events.explain("n", &pods, &mut nodes).await;
        events.explain("n", &pods, &mut nodes).await;
        let calls = calls.lock().unwrap().clone();
        let [node] = nodes;
        (node, calls)
    }

    #[tokio::test]
    async fn the_last_warning_explains_a_node_that_says_nothing_and_is_looked_up_once_in_a_while() {
        for before in [None, Some("ContainerCreating")] {
            let (node, calls) = explained_twice(200, before).await;
            assert_eq!(node.reason.as_deref(), Some("FailedMount"));
            let message = "FailedMount: configmap \"missing\" not found";
            assert_eq!(node.message.as_deref(), Some(message));
            assert_eq!(calls.len(), 1, "{calls:?}");
            assert!(calls[0].contains("involvedObject.uid"), "{calls:?}");
        }
    }

    #[tokio::test]
    async fn a_look_up_that_fails_holds_nothing_up() {
        let (node, calls) = explained_twice(403, Some("ContainerCreating")).await;
        assert_eq!((node.reason.as_deref(), calls.len()), (Some("ContainerCreating"), 1));
    }
}
