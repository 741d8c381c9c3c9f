//! Records on a pod that its work is done.

use api::{names, views::PodView};
use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};
use kube::{
    Api, Client,
    api::{Patch, PatchParams},
};
use serde_json::json;

use crate::target::Target;

/// Sets the condition [`names::POD_COMPLETED`] on the pod of `target`, if it still is that pod.
///
/// A strategic merge: conditions are merged by type, and the kubelet's stay as they are. The UID in
/// the patch is a precondition, so that a pod created anew under that name is not taken for it.
///
/// # Errors
/// When the API server did not take it; `404` and `409` mean that the pod is gone.
pub async fn completed(client: &Client, target: &Target, now: Timestamp) -> kube::Result<()> {
    let patch = json!({
        "metadata": {"uid": &*target.uid},
        "status": {
            "conditions": [{
                "type": names::POD_COMPLETED,
                "status": "True",
                "reason": "TerminationWordLogged",
                "message": format!("{} logged {:?}", names::JOB_CONTAINER, target.word),
                "lastTransitionTime": Time(now),
            }],
        },
    });
    let pods: Api<PodView> = Api::namespaced(client.clone(), &target.namespace);
    let params =
        PatchParams { field_manager: Some(names::TERMINATOR.to_owned()), ..PatchParams::default() };
    pods.patch_status(&target.name, &params, &Patch::Strategic(patch)).await.map(|_| ())
}
