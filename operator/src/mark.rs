//! Marks a pod, so that the watch of pods has something to tell.

use api::{
    names,
    runtime::{PodId, set_condition},
    views::PodView,
};
use k8s_openapi::{
    api::core::v1::PodCondition, apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp,
};
use kube::Client;

/// Sets the condition [`names::POD_OBSERVED`] of a pod to the time `now`, and returns the version that the pod
/// is in then.
///
/// # Errors
/// When the API server does not take it, most often because the pod is gone.
pub(crate) async fn mark(
    client: &Client,
    namespace: &str,
    pod: &PodView,
    now: Timestamp,
) -> kube::Result<String> {
    let condition = PodCondition {
        type_: names::POD_OBSERVED.to_owned(),
        status: "True".to_owned(),
        reason: Some("JobObserved".to_owned()),
        // No two marks are alike, or the second would be none.
        message: Some(format!("the operator looked at all pods of the Job at {now}")),
        last_transition_time: Some(Time(now)),
        ..PodCondition::default()
    };
    let pod = PodId {
        namespace,
        name: pod.metadata.name.as_deref().unwrap_or_default(),
        uid: pod.metadata.uid.as_deref().unwrap_or_default(),
        version: None,
    };
    let marked = set_condition(client, pod, &condition, names::OPERATOR).await?;
    Ok(marked.resource_version.unwrap_or_default())
}
