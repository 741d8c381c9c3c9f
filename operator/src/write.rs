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
    /// The writes of the last seconds, and the versions of the Jobs that came of them.
    recent: Recent<u64>,
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

    /// Whether `job` is from before the last write of its status, of which the watch is about to tell. What is
    /// derived from it would not be taken.
    ///
    /// Versions of one object are numbers that grow.
    /// <https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-versions>
    pub(crate) fn is_outdated(&self, job: &ObjectMeta) -> bool {
        let written = job.uid.as_deref().and_then(|uid| self.recent.result(uid));
        version(job).is_some_and(|version| written.is_some_and(|written| version < written))
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
        let written = match api.patch_status(name, &params, &Patch::Apply(patch)).await {
            Ok(written) => version(&written.metadata).unwrap_or_default(),
            Err(kube::Error::Api(refusal)) if refusal.code == 404 => return Ok(Written::Gone),
            Err(kube::Error::Api(refusal)) if refusal.code == 409 => return Ok(Written::Outdated),
            Err(error) => return Err(error),
        };
        self.recent.done(job.uid.as_deref().unwrap_or_default(), written);
        Ok(Written::Yes)
    }
}

/// The version that an object is in, if it is a number.
fn version(metadata: &ObjectMeta) -> Option<u64> {
    metadata.resource_version.as_ref()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use http::{Request, Response};
    use kube::client::Body;

    use super::*;

    /// A Job in this version.
    fn job(version: &str) -> ObjectMeta {
        ObjectMeta {
            name: Some("j".to_owned()),
            uid: Some("job-1".to_owned()),
            resource_version: Some(version.to_owned()),
            ..ObjectMeta::default()
        }
    }

    #[tokio::test]
    async fn a_job_is_outdated_until_the_version_that_was_written_is_seen() {
        let service = tower::service_fn(|_: Request<Body>| {
            let written = json!({
                "apiVersion": Job::api_version(&()), "kind": Job::kind(&()), "metadata": job("10"),
            });
            let body = Body::from(written.to_string().into_bytes());
            std::future::ready(Ok::<_, std::convert::Infallible>(Response::new(body)))
        });
        let writer = StatusWriter::new(Client::new(service, "default"));
        assert!(!writer.is_outdated(&job("9")));
        assert_eq!(writer.write(&job("9"), &JobStatus::default()).await.unwrap(), Written::Yes);
        let versions = ["9", "10", "11", "opaque"];
        let outdated = versions.map(|version| writer.is_outdated(&job(version)));
        assert_eq!(outdated, [true, false, false, false]);
    }
}
