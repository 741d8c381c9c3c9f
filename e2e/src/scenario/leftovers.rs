//! Nothing may be left of a Job that is gone.

use std::fmt::Debug;

use anyhow::Result;
use api::names;
use api::v1beta1::Job;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::{ControllerRevision, DaemonSet};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::runtime::watcher;
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;

use crate::wait::{State, Waiter};

/// Waits until no Job, DaemonSet, pod or ControllerRevision is left in a namespace of those that
/// `is_meant` tells.
///
/// # Errors
/// When that takes longer than the waiter allows.
pub(super) async fn wait_until_gone(
    client: &Client,
    wait: &Waiter<'_>,
    namespace: &str,
    is_meant: impl Fn(&ObjectMeta) -> bool,
) -> Result<()> {
    let is_meant = &is_meant;
    tokio::try_join!(
        kind_gone::<Job>(client, wait, namespace, is_meant),
        kind_gone::<DaemonSet>(client, wait, namespace, is_meant),
        kind_gone::<Pod>(client, wait, namespace, is_meant),
        kind_gone::<ControllerRevision>(client, wait, namespace, is_meant),
    )?;
    Ok(())
}

/// Waits until a namespace holds no object of the kind.
///
/// # Errors
/// When that takes longer than the waiter allows.
pub(super) async fn wait_until_none_of<K>(
    client: &Client,
    wait: &Waiter<'_>,
    namespace: &str,
) -> Result<()>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + DeserializeOwned
        + Debug
        + Send
        + 'static,
{
    kind_gone::<K>(client, wait, namespace, &|_: &ObjectMeta| true).await
}

async fn kind_gone<K>(
    client: &Client,
    wait: &Waiter<'_>,
    namespace: &str,
    is_meant: &impl Fn(&ObjectMeta) -> bool,
) -> Result<()>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + DeserializeOwned
        + Debug
        + Send
        + 'static,
{
    let api: Api<K> = Api::namespaced(client.clone(), namespace);
    let expected = format!("no {} left in {namespace}", K::kind(&()));
    wait.watch(api, watcher::Config::default(), &expected, |objects| {
        let left: Vec<_> = objects
            .values()
            .map(Resource::meta)
            .filter(|meta| is_meant(meta))
            .filter_map(|meta| meta.name.as_deref())
            .collect();
        if left.is_empty() { State::Reached(()) } else { State::Waiting(left.join(" ")) }
    })
    .await
}

/// Whether an object is of the Job `job`: told by its owner, one of `owners` (UIDs), or by the Job's
/// name in its labels.
pub(super) fn belongs(meta: &ObjectMeta, job: &str, owners: &[String]) -> bool {
    let is_owned = meta.owner_references.iter().flatten().any(|owner| owners.contains(&owner.uid));
    let is_it = meta.uid.as_ref().is_some_and(|uid| owners.contains(uid));
    let label = meta.labels.as_ref().and_then(|labels| labels.get(names::LABEL_JOB));
    is_owned || is_it || label.is_some_and(|label| *label == names::label_value(job))
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;

    use super::*;

    fn meta(uid: &str, owner: Option<&str>, job: Option<&str>) -> ObjectMeta {
        ObjectMeta {
            uid: Some(uid.to_owned()),
            owner_references: owner.map(|uid| {
                vec![OwnerReference { uid: uid.to_owned(), ..OwnerReference::default() }]
            }),
            labels: job.map(|job| [("job".to_owned(), job.to_owned())].into()),
            ..ObjectMeta::default()
        }
    }

    #[test]
    fn objects_are_told_by_owner_or_label_or_are_the_owners_themselves() {
        let owners = ["job-uid".to_owned(), "set-uid".to_owned()];
        let belongs = |meta| belongs(&meta, "mine", &owners);
        assert!(belongs(meta("job-uid", None, None)));
        assert!(belongs(meta("x", Some("set-uid"), None)));
        assert!(belongs(meta("x", None, Some("mine"))));
        assert!(!belongs(meta("x", Some("other"), Some("other"))));
    }
}
