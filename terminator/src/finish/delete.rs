//! Deletes one Job.

use api::job::Job;
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, Preconditions},
};
use runtime::client::{ShortError, is_conflict, is_gone};
use tracing::debug;

/// Deletes the Job in this very version; returns whether it did.
///
/// Another Job of its name stays, and so does one that was edited since, for the edit may be more work.
///
/// # Errors
/// When the API server cannot delete it now.
pub(super) async fn delete(client: &Client, job: &Job) -> kube::Result<bool> {
    let namespace = job.namespace().unwrap_or_default();
    let jobs: Api<Job> = Api::namespaced(client.clone(), &namespace);
    let preconditions = Preconditions {
        uid: job.metadata.uid.clone(),
        resource_version: job.metadata.resource_version.clone(),
    };
    let params = DeleteParams::background().preconditions(preconditions);
    match jobs.delete(&job.name_any(), &params).await {
        Ok(_) => Ok(true),
        // It is gone, or was changed: then an event is on its way.
        Err(error) if is_gone(&error) || is_conflict(&error) => {
            debug!("not deleted: {}", ShortError(&error));
            Ok(false)
        }
        Err(error) => Err(error),
    }
}
