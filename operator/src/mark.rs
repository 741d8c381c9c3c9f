//! Marks a pod, so that the watch of pods has something to tell.

use api::{names, views::PodView};
use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};
use kube::{
    Api, Client, ResourceExt,
    api::{Patch, PatchParams},
};
use serde_json::json;

/// Sets the condition [`names::POD_OBSERVED`] of a pod to the time `now`, and returns the version that the pod
/// is in then.
///
/// A strategic merge, as all that is written to the status of pods: the other conditions stay as they are.
///
/// # Errors
/// When the API server does not take it. The pod's UID is a precondition: another one of its name is not
/// marked.
pub(crate) async fn mark(
    client: &Client,
    namespace: &str,
    pod: &PodView,
    now: Timestamp,
) -> kube::Result<String> {
    let patch = json!({
        "metadata": {"uid": pod.metadata.uid},
        "status": {
            "conditions": [{
                "type": names::POD_OBSERVED,
                "status": "True",
                "reason": "JobObserved",
                // No two marks are alike, or the second would be none.
                "message": format!("the operator looked at all pods of the Job at {now}"),
                "lastTransitionTime": Time(now),
            }],
        },
    });
    let pods: Api<PodView> = Api::namespaced(client.clone(), namespace);
    let params =
        PatchParams { field_manager: Some(names::OPERATOR.to_owned()), ..PatchParams::default() };
    let marked = pods.patch_status(&pod.name_any(), &params, &Patch::Strategic(patch)).await?;
    Ok(marked.resource_version().unwrap_or_default())
}
