//! Records on a pod that its work is done.

use api::labels;
use k8s_openapi::{
    api::core::v1::PodCondition, apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp,
};
use kube::Client;
use runtime::client::{PodId, set_condition};

/// Sets the condition [`labels::POD_COMPLETED`] on a pod that has logged its word.
///
/// # Errors
/// When the API server refuses; `404` and `409` mean that the pod is gone.
pub(crate) async fn completed(
    client: &Client,
    pod: PodId<'_>,
    word: &str,
    now: Timestamp,
) -> kube::Result<()> {
    let condition = PodCondition {
        type_: labels::POD_COMPLETED.to_owned(),
        status: "True".to_owned(),
        reason: Some("TerminationWordLogged".to_owned()),
        message: Some(format!("{} logged {:?}", labels::JOB_CONTAINER, word)),
        last_transition_time: Some(Time(now)),
        ..PodCondition::default()
    };
    set_condition(client, pod, &condition, labels::TERMINATOR).await.map(drop)
}
