//! Writes one condition of a pod's status.

use http::{HeaderValue, header::ACCEPT};
use k8s_openapi::{
    api::core::v1::{Pod, PodCondition},
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::{
    Client, Resource,
    api::{PartialObjectMeta, Patch, PatchParams},
    core::Request,
};
use serde_json::{Value, json};

/// Makes the API server return only the metadata of the pod.
/// <https://kubernetes.io/docs/reference/using-api/api-concepts/#receiving-resources-as-metadata>
const METADATA: HeaderValue =
    HeaderValue::from_static("application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1");

/// Identifies a pod.
#[derive(Clone, Copy, Debug)]
pub struct PodId<'a> {
    /// Namespace of the pod.
    pub namespace: &'a str,
    /// Name of the pod.
    pub name: &'a str,
    /// UID of the pod, a precondition: another pod of that name is left alone.
    pub uid: &'a str,
    /// Resource version of the pod, a precondition if it is set.
    pub version: Option<&'a str>,
}

/// Sets a condition as field manager `manager`; returns the pod's new metadata.
///
/// The strategic merge patch merges conditions by type, and leaves those of the kubelet alone.
///
/// # Errors
/// When the API server refuses; `404` and `409` mean that the pod is gone, or in another version.
pub async fn set_condition(
    client: &Client,
    pod: PodId<'_>,
    condition: &PodCondition,
    manager: &str,
) -> kube::Result<ObjectMeta> {
    let status = json!({"conditions": [condition]});
    let change = json!({"status": status});
    patch(client, pod, Some("status"), change, &params(manager)).await
}

/// The parameters of a patch by field manager `manager`.
pub(super) fn params(manager: &str) -> PatchParams {
    PatchParams { field_manager: Some(manager.to_owned()), ..PatchParams::default() }
}

/// Patches a pod by a strategic merge of `change`; returns the pod's new metadata.
pub(super) async fn patch(
    client: &Client,
    pod: PodId<'_>,
    subresource: Option<&str>,
    mut change: Value,
    params: &PatchParams,
) -> kube::Result<ObjectMeta> {
    change["metadata"]["uid"] = pod.uid.into();
    if let Some(version) = pod.version {
        change["metadata"]["resourceVersion"] = version.into();
    }
    let patch = Patch::Strategic(change);
    let request = Request::new(Pod::url_path(&(), Some(pod.namespace)));
    let request = match subresource {
        Some(subresource) => request.patch_subresource(subresource, pod.name, params, &patch),
        None => request.patch(pod.name, params, &patch),
    };
    let mut request = request.map_err(kube::Error::BuildRequest)?;
    request.headers_mut().insert(ACCEPT, METADATA);
    let written: PartialObjectMeta<Pod> = client.request(request).await?;
    Ok(written.metadata)
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use http_body_util::BodyExt;
    use kube::client::Body;

    use super::*;

    #[tokio::test]
    async fn a_condition_is_merged_into_that_very_pod() {
        let asked: Arc<Mutex<Vec<(String, Value)>>> = Arc::default();
        let log = Arc::clone(&asked);
        let service = tower::service_fn(move |request: http::Request<Body>| {
            let log = Arc::clone(&log);
            async move {
                assert_eq!(request.headers()[ACCEPT], METADATA);
                let what = format!("{} {}", request.method(), request.uri());
                let body = request.into_body().collect().await?.to_bytes();
                log.lock().unwrap().push((what, serde_json::from_slice(&body)?));
                let written = json!({"metadata": {"name": "p", "resourceVersion": "7"}});
                let body = Body::from(written.to_string().into_bytes());
                Ok::<_, Box<dyn std::error::Error + Send + Sync>>(http::Response::new(body))
            }
        });
        let client = Client::new(service, "default");
        let condition = PodCondition {
            type_: "example.com/Done".to_owned(),
            status: "True".to_owned(),
            ..PodCondition::default()
        };
        let set = async |version| {
            let pod = PodId { namespace: "n", name: "p", uid: "u", version };
            set_condition(&client, pod, &condition, "me").await.unwrap().resource_version
        };
        assert_eq!(set(None).await.as_deref(), Some("7"));
        set(Some("6")).await;
        let asked = asked.lock().unwrap();
        let status = json!({"conditions": [{"type": "example.com/Done", "status": "True"}]});
        for ((what, body), metadata) in
            asked.iter().zip([json!({"uid": "u"}), json!({"uid": "u", "resourceVersion": "6"})])
        {
            assert_eq!(what, "PATCH /api/v1/namespaces/n/pods/p/status?&fieldManager=me");
            assert_eq!(*body, json!({"metadata": metadata, "status": status}));
        }
    }
}
