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
