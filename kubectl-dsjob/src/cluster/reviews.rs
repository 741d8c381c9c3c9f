//! Asks the API server what the caller may do.

use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
};
use kube::{Api, api::PostParams};

use super::{connect::Cluster, failure::Doing};
use crate::error::Result;

/// Whether the caller may do this.
pub(crate) async fn may(cluster: &Cluster, doing: &Doing) -> Result<bool> {
    let (resource, group) = doing.resource.split_once('.').unwrap_or((doing.resource, ""));
    let (resource, subresource) = match resource.split_once('/') {
        Some((resource, subresource)) => (resource, Some(subresource.to_owned())),
        None => (resource, None),
    };
    let attributes = ResourceAttributes {
        verb: Some(doing.verb.to_owned()),
        group: Some(group.to_owned()),
        resource: Some(resource.to_owned()),
        subresource,
        namespace: doing.namespace.clone(),
        ..ResourceAttributes::default()
    };
    let review = SelfSubjectAccessReview {
        spec: SelfSubjectAccessReviewSpec {
            resource_attributes: Some(attributes),
            ..SelfSubjectAccessReviewSpec::default()
        },
        ..SelfSubjectAccessReview::default()
    };
    let api: Api<SelfSubjectAccessReview> = Api::all(cluster.client.clone());
    let asked = Doing::new("create", "selfsubjectaccessreviews.authorization.k8s.io", None);
    let answer = api.create(&PostParams::default(), &review).await;
    let answer = answer.map_err(|error| asked.failed(&error))?;
    Ok(answer.status.is_some_and(|status| status.allowed))
}
