//! Records on a pod that its work is done.

use api::{
    names,
    runtime::{PodId, set_condition},
};
use k8s_openapi::{
    api::core::v1::PodCondition, apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp,
};
use kube::Client;

use crate::target::Target;

/// Sets the condition [`names::POD_COMPLETED`] on the pod of `target`, if it still is that pod.
///
/// # Errors
/// When the API server did not take it; `404` and `409` mean that the pod is gone.
pub async fn completed(client: &Client, target: &Target, now: Timestamp) -> kube::Result<()> {
    let condition = PodCondition {
        type_: names::POD_COMPLETED.to_owned(),
        status: "True".to_owned(),
        reason: Some("TerminationWordLogged".to_owned()),
        message: Some(format!("{} logged {:?}", names::JOB_CONTAINER, target.word)),
        last_transition_time: Some(Time(now)),
        ..PodCondition::default()
    };
    let pod =
        PodId { namespace: &target.namespace, name: &target.name, uid: &target.uid, version: None };
    set_condition(client, pod, &condition, names::TERMINATOR).await.map(drop)
}
