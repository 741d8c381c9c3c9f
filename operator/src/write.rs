//! Writes the status of Jobs. The operator is its only writer.

use std::time::Duration;

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

use crate::{recent::Recent, status::LONGEST_INTERVAL};

/// Writes the status of Jobs, and remembers when it did.
pub(crate) struct StatusWriter {
    client: Client,
    /// The writes of the last seconds.
    recent: Recent,
}

/// What came of a write.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Written {
    /// It was written.
    Yes,
    /// The Job is gone.
    Gone,
    /// The Job has changed since it was observed.
    Outdated,
}

impl StatusWriter {
    pub(crate) fn new(client: Client) -> Self {
        // Older ones hold nothing back.
        Self { client, recent: Recent::within(LONGEST_INTERVAL) }
    }

    /// How long ago the status of `job` was written, if that was within the last seconds.
    pub(crate) fn since_last(&self, job: &ObjectMeta) -> Option<Duration> {
        self.recent.since(job.uid.as_deref()?)
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
            Err(kube::Error::Api(refusal)) if refusal.code == 404 => return Ok(Written::Gone),
            Err(kube::Error::Api(refusal)) if refusal.code == 409 => return Ok(Written::Outdated),
            Err(error) => return Err(error),
        }
        self.recent.done(job.uid.as_deref().unwrap_or_default());
        Ok(Written::Yes)
    }
}
