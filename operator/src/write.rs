//! Writes the status of Jobs. The operator is its only writer.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use api::{
    names,
    v1beta1::{Job, JobStatus},
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{
    Api, Client, Resource,
    api::{PartialObjectMeta, Patch, PatchParams},
};
use serde_json::json;
use tracing::info;

use crate::status::LONGEST_INTERVAL;

/// Writes the status of Jobs, and remembers when it did.
pub(crate) struct StatusWriter {
    client: Client,
    /// The writes of the last seconds, by UID of the Job.
    recent: Mutex<HashMap<String, Instant>>,
}

/// What came of a write.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Written {
    /// It was written, or the Job is gone.
    Yes,
    /// The Job has changed since it was observed.
    Outdated,
}

impl StatusWriter {
    pub(crate) fn new(client: Client) -> Self {
        Self { client, recent: Mutex::default() }
    }

    /// How long ago the status of `job` was written, if that was within the last seconds.
    pub(crate) fn since_last(&self, job: &ObjectMeta) -> Option<Duration> {
        let recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.get(job.uid.as_deref()?).map(Instant::elapsed)
    }

    /// Writes `status`, which was derived from `job` as it was observed.
    ///
    /// Its version is a precondition: what a later status has recorded must not be taken back by one
    /// that was derived from an earlier one, and a Job created anew has a status of its own.
    pub(crate) async fn write(
        &self,
        job: &ObjectMeta,
        status: &JobStatus,
    ) -> kube::Result<Written> {
        let name = job.name.as_deref().unwrap_or_default();
        let namespace = job.namespace.as_deref().unwrap_or_default();
        let patch = json!({
            "apiVersion": Job::api_version(&()),
            "kind": Job::kind(&()),
            "metadata": {"uid": job.uid, "resourceVersion": job.resource_version},
            "status": status,
        });
        // Only metadata is decoded from the answer: the rest may be what cannot be.
        let api: Api<PartialObjectMeta<Job>> = Api::namespaced(self.client.clone(), namespace);
        let params = PatchParams::apply(names::OPERATOR).force();
        match api.patch_status(name, &params, &Patch::Apply(patch)).await {
            Ok(_) => {}
            Err(kube::Error::Api(refusal)) if refusal.code == 404 => return Ok(Written::Yes),
            Err(kube::Error::Api(refusal)) if refusal.code == 409 => return Ok(Written::Outdated),
            Err(error) => return Err(error),
        }
        info!(
            phase = ?status.phase.unwrap_or_default(),
            completed = status.completed.as_deref().unwrap_or_default(),
            reason = status.conditions.first().map(|condition| condition.reason.as_str()),
            "status"
        );
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        // Older ones hold nothing back, and their Jobs may be gone.
        recent.retain(|_, at| at.elapsed() < LONGEST_INTERVAL);
        recent.insert(job.uid.clone().unwrap_or_default(), Instant::now());
        Ok(Written::Yes)
    }
}
