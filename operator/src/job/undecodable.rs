//! Reports Jobs that cannot be decoded.
//!
//! A Job that was stored under an older schema may be such a one; `kubectl apply` refuses it under that of today.

use api::job::{Job, JobSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{
    Api,
    api::{ApiResource, DynamicObject},
    core::error_boundary::InvalidObject,
    runtime::controller::Action,
};
use tracing::warn;

use super::{
    apply::Written,
    decide::status,
    reconcile::{CATCH_UP, Error, Reconciler},
};

impl Reconciler {
    /// Writes the decoding error of a Job into its status.
    ///
    /// # Errors
    /// When the API server could not accept a call now; the controller tries again.
    pub(crate) async fn report_undecodable(
        &self,
        invalid: &InvalidObject,
    ) -> Result<Action, Error> {
        let error = self.decoding_error(&invalid.metadata).await?;
        let error = error.unwrap_or_else(|| invalid.error.clone());
        let status = status::undecodable(&invalid.metadata, &error);
        let written = self.status.write(&invalid.metadata, None, &status).await?;
        if written == Written::Yes {
            warn!("Job cannot be decoded: {error}");
        }
        Ok(match written {
            Written::Outdated => Action::requeue(CATCH_UP),
            _ => Action::await_change(),
        })
    }

    /// Returns the decoding error of a Job with the path of the field.
    ///
    /// The watch of Jobs does not know the path.
    async fn decoding_error(&self, job: &ObjectMeta) -> kube::Result<Option<String>> {
        let name = job.name.as_deref().unwrap_or_default();
        let namespace = job.namespace.as_deref().unwrap_or_default();
        let (client, resource) = (self.observer.client.clone(), ApiResource::erase::<Job>(&()));
        let jobs: Api<DynamicObject> = Api::namespaced_with(client, namespace, &resource);
        let Some(raw) = jobs.get_opt(name).await? else {
            return Ok(None);
        };
        let spec = raw.data.get("spec").cloned().unwrap_or_default();
        let decoded: Result<JobSpec, _> = serde_path_to_error::deserialize(spec);
        Ok(decoded.err().map(|error| format!("spec.{}: {}", error.path(), error.inner())))
    }
}
