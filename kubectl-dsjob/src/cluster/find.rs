//! Finds a Job by its name, or says which one may have been meant.

use api::job::Job;
use kube::{Api, ResourceExt as _, api::ListParams};

use super::{
    connect::Cluster,
    failure::{Doing, JOBS, is_not_found},
};
use crate::{
    args::names,
    error::{Error, Result},
};

/// The Job of this name.
///
/// # Errors
/// When there is none: then with the names that may have been meant.
pub(crate) async fn job(cluster: &Cluster, name: &str) -> Result<Job> {
    match cluster.api::<Job>().get(name).await {
        Ok(job) => Ok(job),
        Err(error) if is_not_found(&error) => Err(missing(cluster, name).await),
        Err(error) => Err(Doing::new("get", JOBS, Some(&cluster.namespace)).failed(&error)),
    }
}

/// The names of all Jobs in the namespace.
pub(crate) async fn job_names(cluster: &Cluster) -> kube::Result<Vec<String>> {
    let jobs = cluster.api::<Job>().list_metadata(&ListParams::default()).await?;
    Ok(jobs.iter().map(kube::ResourceExt::name_any).collect())
}

/// The error of a Job that is not there.
pub(crate) async fn missing(cluster: &Cluster, name: &str) -> Error {
    let here = job_names(cluster).await.unwrap_or_default();
    let error = Error::new(format!("no Job {name:?} in namespace {:?}", cluster.namespace));
    let likely = names::similar(name, here.iter().map(String::as_str));
    if !likely.is_empty() {
        return error.hint(format!("did you mean {}?", likely.join(" or ")));
    }
    let elsewhere = namespaces_with(cluster, name).await;
    if let [_, ..] = elsewhere.as_slice() {
        let namespaces = elsewhere.join(", ");
        return error.hint(format!("there is one in: {namespaces}; use --namespace"));
    }
    error.hint(format!(
        "a completed Job is deleted at once without deletionPolicy Retain or ttlSecondsAfterFinished: \
         kubectl dsjob explain {name} looks for what is known of it"
    ))
}

/// The namespaces that have a Job of this name, as far as the caller may list them.
async fn namespaces_with(cluster: &Cluster, name: &str) -> Vec<String> {
    let everywhere: Api<Job> = Api::all(cluster.client.clone());
    let params = ListParams::default().fields(&format!("metadata.name={name}"));
    let found = everywhere.list_metadata(&params).await;
    found
        .map_or_else(|_| Vec::new(), |jobs| jobs.iter().filter_map(|job| job.namespace()).collect())
}
