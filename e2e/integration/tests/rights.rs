//! The rights that `deploy/` gives. That they suffice is shown by all other tests: their processes
//! have no others.

use anyhow::{Result, ensure};
use k8s_openapi::api::authorization::v1::SubjectAccessReview;
use kube::Api;
use kube::api::PostParams;
use serde_json::json;

use crate::test::{Test, shared};

async fn may(cx: &Test, verb: &str, group: &str, resource: &str) -> Result<bool> {
    let account = &cx.cluster.service_account;
    let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
    let review = serde_json::from_value(json!({
        "metadata": {},
        "spec": {
            "user": format!("system:serviceaccount:{}:{}", account.namespace, account.name),
            "resourceAttributes": {
                "namespace": cx.namespace,
                "verb": verb,
                "group": group,
                "resource": resource,
                "subresource": subresource,
            },
        },
    }))?;
    let reviews: Api<SubjectAccessReview> = Api::all(cx.client.clone());
    let review = reviews.create(&PostParams::default(), &review).await?;
    Ok(review.status.is_some_and(|status| status.allowed))
}

#[test]
fn deployed_account_may_not_do_what_it_need_not() {
    shared(async |cx| {
        for (verb, group, resource) in [
            ("get", "", "secrets"),
            ("list", "", "secrets"),
            ("get", "", "configmaps"),
            ("create", "", "pods"),
            ("delete", "", "pods"),
            ("create", "", "pods/exec"),
            ("update", "", "nodes"),
            ("create", "", "serviceaccounts/token"),
            ("create", "apps", "deployments"),
            ("create", "daemonset.darkowlzz.space", "jobs"),
            ("create", "rbac.authorization.k8s.io", "clusterrolebindings"),
            ("escalate", "rbac.authorization.k8s.io", "clusterroles"),
            ("impersonate", "", "users"),
        ] {
            let allowed = may(cx, verb, group, resource).await?;
            ensure!(!allowed, "may {verb} {resource}");
        }
        Ok(())
    });
}

#[test]
fn deployed_account_may_do_what_owner_reference_enforcement_asks_for() {
    shared(async |cx| {
        ensure!(may(cx, "update", "daemonset.darkowlzz.space", "jobs/finalizers").await?);
        Ok(())
    });
}
