//! Why the API server refuses pods of a DaemonSet.
//!
//! None of our watches shows that: the DaemonSet controller's events do.

use k8s_openapi::api::core;
use kube::{Api, Client, api::ListParams};
use runtime::{client::ShortError, expiring_map::ExpiringMap};
use tracing::warn;

use crate::job::decide::{
    events::{FAILED_CREATE, JobEvent},
    progress::{LONGEST_CHECK_INTERVAL, MissingPods},
};

/// Looks up why pods are missing, and remembers when it did.
pub(crate) struct RefusedPods {
    client: Client,
    /// The DaemonSets that it has looked up, by UID.
    checked: ExpiringMap,
}

impl RefusedPods {
    pub(crate) fn new(client: Client) -> Self {
        Self { client, checked: ExpiringMap::new(LONGEST_CHECK_INTERVAL) }
    }

    /// Returns the last refusal in the DaemonSet controller's words.
    ///
    /// None if it was looked up a short while ago. A failed call is no reason to hold up the Job.
    pub(crate) async fn look_up(&self, namespace: &str, missing: &MissingPods) -> Option<JobEvent> {
        let MissingPods { daemon_set, check_every } = missing;
        if self.checked.age(daemon_set).is_some_and(|since| since < *check_every) {
            return None;
        }
        let refusal = self.last_refusal(namespace, daemon_set).await;
        self.checked.insert(daemon_set, ());
        refusal.unwrap_or_else(|error| {
            warn!("why pods are missing is not known: {}", ShortError(&error));
            None
        })
    }

    async fn last_refusal(
        &self,
        namespace: &str,
        daemon_set: &str,
    ) -> kube::Result<Option<JobEvent>> {
        // The older API: it has field selectors for the object in every supported Kubernetes.
        let events: Api<core::v1::Event> = Api::namespaced(self.client.clone(), namespace);
        let selector = format!("involvedObject.uid={daemon_set},reason={FAILED_CREATE}");
        let found = events.list(&ListParams::default().fields(&selector)).await?;
        let last = found.items.into_iter().max_by_key(|event| event.last_timestamp.clone());
        Ok(last.and_then(|event| event.message).map(JobEvent::failed_create))
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{Arc, Mutex},
        time::Duration,
    };

    use http::{Request, Response};
    use kube::client::Body;
    use serde_json::{Value, json};

    use super::*;

    /// Looks up twice, and returns the events and the calls.
    async fn look_up_twice(
        code: u16,
        answer: Value,
        check_every: Duration,
    ) -> ([Option<JobEvent>; 2], Vec<String>) {
        let calls = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&calls);
        let service = tower::service_fn(move |request: Request<Body>| {
            log.lock().unwrap().push(request.uri().to_string());
            let body = Body::from(answer.to_string().into_bytes());
            let answer = Response::builder().status(code).body(body).unwrap();
            std::future::ready(Ok::<_, std::convert::Infallible>(answer))
        });
        let refused_pods = RefusedPods::new(Client::new(service, "default"));
        let missing = MissingPods { daemon_set: "ds-1".to_owned(), check_every };
        let first = refused_pods.look_up("n", &missing).await;
        let second = refused_pods.look_up("n", &missing).await;
        let calls = calls.lock().unwrap().clone();
        ([first, second], calls)
    }

    #[tokio::test]
    async fn the_last_refusal_is_looked_up_no_more_often_than_asked_for() {
        let event = |message: &str, time: &str| {
            json!({
                "metadata": {}, "involvedObject": {}, "message": message, "lastTimestamp": time,
            })
        };
        let (early, late) = ("2026-01-01T00:00:00Z", "2026-01-01T00:01:00Z");
        let items = json!([event("quota", early), event("policy", late), event("x", early)]);
        let list = json!({"metadata": {}, "items": items});
        let refusal = Some(JobEvent::failed_create("policy".to_owned()));
        let (events, calls) = look_up_twice(200, list.clone(), Duration::from_secs(5)).await;
        assert_eq!((events, calls.len()), ([refusal.clone(), None], 1));
        assert!(calls[0].starts_with("/api/v1/namespaces/n/events?"), "{}", calls[0]);
        let (events, calls) = look_up_twice(200, list, Duration::ZERO).await;
        assert_eq!((events, calls.len()), ([refusal.clone(), refusal], 2));
    }

    #[tokio::test]
    async fn a_look_up_that_fails_holds_nothing_up() {
        let answer = json!({"kind": "Status", "status": "Failure", "code": 403, "message": ""});
        let (events, calls) = look_up_twice(403, answer, Duration::from_secs(5)).await;
        assert_eq!((events, calls.len()), ([None, None], 1));
    }
}
