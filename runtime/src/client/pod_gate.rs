//! Removes one scheduling gate of a pod, and tries what else it could change.

use kube::{Client, api::PatchParams};
use serde_json::json;

use super::pod_condition::{PodId, params, patch};

/// Removes the scheduling gate `gate` as field manager `manager`, if the pod has it.
///
/// The strategic merge patch leaves the gates of others alone. Nobody can put a gate back.
///
/// # Errors
/// When the API server refuses; see [`is_other_pod`].
pub async fn remove_gate(
    client: &Client,
    pod: PodId<'_>,
    gate: &str,
    manager: &str,
) -> kube::Result<()> {
    let gates = json!([{"$patch": "delete", "name": gate}]);
    let change = json!({"spec": {"schedulingGates": gates}});
    patch(client, pod, None, change, &params(manager)).await.map(drop)
}

/// Asks whether the API server would let `manager` annotate the pod.
///
/// It changes nothing.
///
/// # Errors
/// When it refuses, for example by a policy.
pub async fn try_annotation(
    client: &Client,
    pod: PodId<'_>,
    annotation: &str,
    manager: &str,
) -> kube::Result<()> {
    let change = json!({"metadata": {"annotations": {annotation: "true"}}});
    let params = PatchParams { dry_run: true, ..params(manager) };
    patch(client, pod, None, change, &params).await.map(drop)
}

/// Returns whether a patch was refused because the pod has another UID.
///
/// The API server says that a UID cannot be changed.
#[must_use]
pub fn is_other_pod(error: &kube::Error) -> bool {
    let kube::Error::Api(status) = error else {
        return false;
    };
    let mut causes = status.details.iter().flat_map(|details| &details.causes);
    causes.any(|cause| cause.field == "metadata.uid")
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use http_body_util::BodyExt;
    use kube::{client::Body, core::Status};
    use serde_json::Value;

    use super::*;

    #[tokio::test]
    async fn the_gate_of_that_very_pod_is_removed_and_no_other_and_a_trial_changes_nothing() {
        let asked: Arc<Mutex<Vec<(String, Value)>>> = Arc::default();
        let log = Arc::clone(&asked);
        let service = tower::service_fn(move |request: http::Request<Body>| {
            let log = Arc::clone(&log);
            async move {
                let what = format!("{} {}", request.method(), request.uri());
                let body = request.into_body().collect().await?.to_bytes();
                log.lock().unwrap().push((what, serde_json::from_slice(&body)?));
                let body = Body::from(json!({"metadata": {"name": "p"}}).to_string().into_bytes());
                Ok::<_, Box<dyn std::error::Error + Send + Sync>>(http::Response::new(body))
            }
        });
        let client = Client::new(service, "default");
        let pod = PodId { namespace: "n", name: "p", uid: "u", version: None };
        remove_gate(&client, pod, "example.com/turn", "me").await.unwrap();
        let what = "PATCH /api/v1/namespaces/n/pods/p?&fieldManager=me".to_owned();
        let gates = json!([{"$patch": "delete", "name": "example.com/turn"}]);
        let body = json!({"metadata": {"uid": "u"}, "spec": {"schedulingGates": gates}});
        assert_eq!(*asked.lock().unwrap(), [(what, body)]);
        try_annotation(&client, pod, "example.com/a", "me").await.unwrap();
        let what = "PATCH /api/v1/namespaces/n/pods/p?&dryRun=All&fieldManager=me".to_owned();
        let annotations = json!({"example.com/a": "true"});
        let body = json!({"metadata": {"uid": "u", "annotations": annotations}});
        assert_eq!(asked.lock().unwrap().pop(), Some((what, body)));
    }

    #[test]
    fn a_pod_of_another_uid_is_told_from_an_invalid_one() {
        let invalid = |field: &str| {
            let details = json!({"causes": [{"reason": "FieldValueInvalid", "field": field}]});
            let status = json!({"status": "Failure", "code": 422, "details": details});
            kube::Error::Api(serde_json::from_value::<Status>(status).unwrap().boxed())
        };
        assert!(is_other_pod(&invalid("metadata.uid")));
        assert!(!is_other_pod(&invalid("spec.containers")));
        assert!(!is_other_pod(&kube::Error::Service("reset".into())));
    }
}
