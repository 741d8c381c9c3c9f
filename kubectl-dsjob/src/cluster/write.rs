//! Changes of Jobs.

use api::job::Job;
use kube::{
    Resource as _,
    api::{
        DeleteParams, Patch, PatchParams, Preconditions, PropagationPolicy, ValidationDirective,
    },
};
use serde_json::Value;

use super::{
    connect::Cluster,
    failure::{Doing, JOBS, is_not_found},
    find,
};
use crate::{args::output::Strategy, error::Result};

/// The field manager of the plugin.
pub(crate) const FIELD_MANAGER: &str = "kubectl-dsjob";

/// Creates a Job.
///
/// An API server whose resource is older refuses a field that it does not know: dropped, a limit would be none.
pub(crate) async fn create(cluster: &Cluster, job: &Job, dry_run: Strategy) -> Result<Job> {
    let doing = Doing::new("create", JOBS, Some(&cluster.namespace));
    let failed = |error| doing.failed(&error);
    let dry_run = if dry_run.is_server() { "&dryRun=All" } else { "" };
    let path = format!(
        "{}?fieldManager={FIELD_MANAGER}&fieldValidation=Strict{dry_run}",
        Job::url_path(&(), Some(&cluster.namespace))
    );
    let request = http::Request::post(path).header("Content-Type", "application/json");
    let request = request.body(serde_json::to_vec(job)?);
    let request = request.map_err(|error| failed(kube::Error::HttpError(error)))?;
    cluster.client.request(request).await.map_err(failed)
}

/// Merges a change into the Job that was read.
///
/// With its UID in the patch, another Job that got the name meanwhile is left alone.
pub(crate) async fn patch(
    cluster: &Cluster,
    job: &Job,
    mut change: Value,
    dry_run: Strategy,
) -> Result<Job> {
    let name = job.metadata.name.as_deref().unwrap_or_default();
    if let Some(uid) = &job.metadata.uid {
        change["metadata"]["uid"] = Value::from(uid.as_str());
    }
    let params = PatchParams {
        dry_run: dry_run.is_server(),
        field_manager: Some(FIELD_MANAGER.to_owned()),
        field_validation: Some(ValidationDirective::Strict),
        ..PatchParams::default()
    };
    match cluster.api::<Job>().patch(name, &params, &Patch::Merge(change)).await {
        Ok(job) => Ok(job),
        Err(error) if is_not_found(&error) => Err(find::missing(cluster, name).await),
        Err(error) => Err(Doing::new("patch", JOBS, Some(&cluster.namespace)).failed(&error)),
    }
}

/// Deletes the Job that was read, and its pods.
pub(crate) async fn delete(
    cluster: &Cluster,
    job: &Job,
    in_foreground: bool,
    dry_run: Strategy,
) -> Result<()> {
    let name = job.metadata.name.as_deref().unwrap_or_default();
    let params = DeleteParams {
        dry_run: dry_run.is_server(),
        preconditions: Some(Preconditions {
            uid: job.metadata.uid.clone(),
            resource_version: None,
        }),
        propagation_policy: Some(match in_foreground {
            true => PropagationPolicy::Foreground,
            false => PropagationPolicy::Background,
        }),
        ..DeleteParams::default()
    };
    match cluster.api::<Job>().delete(name, &params).await {
        Ok(_) => Ok(()),
        Err(error) if is_not_found(&error) => Ok(()),
        Err(error) => Err(Doing::new("delete", JOBS, Some(&cluster.namespace)).failed(&error)),
    }
}
