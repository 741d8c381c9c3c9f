//! Nothing may be left of a Job that is gone.

use std::fmt::Debug;

use anyhow::Result;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::{ControllerRevision, DaemonSet};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::runtime::watcher;
use kube::{Api, Resource};
use serde::de::DeserializeOwned;

use super::{Context, JOB, Job, NAMESPACE};
use crate::wait::{State, Waiter};

/// Waits until the Job, and every DaemonSet, pod and ControllerRevision of it, is gone. Such an
/// object is told by its owner, one of `owners` (UIDs), or by the Job's name in its labels.
///
/// # Errors
/// When that takes longer than the waiter allows.
pub(super) async fn wait_until_gone(
    cx: Context<'_>,
    wait: &Waiter<'_>,
    owners: &[String],
) -> Result<()> {
    tokio::try_join!(
        kind_gone::<Job>(cx, wait, owners),
        kind_gone::<DaemonSet>(cx, wait, owners),
        kind_gone::<Pod>(cx, wait, owners),
        kind_gone::<ControllerRevision>(cx, wait, owners),
    )?;
    Ok(())
}

async fn kind_gone<K>(cx: Context<'_>, wait: &Waiter<'_>, owners: &[String]) -> Result<()>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + DeserializeOwned
        + Debug
        + Send
        + 'static,
{
    let api: Api<K> = Api::namespaced(cx.client.clone(), NAMESPACE);
    let expected = format!("no {} of Job {JOB} left", K::kind(&()));
    wait.watch(api, watcher::Config::default(), &expected, |objects| {
        let left: Vec<_> = objects
            .values()
            .map(Resource::meta)
            .filter(|meta| belongs(meta, owners))
            .filter_map(|meta| meta.name.as_deref())
            .collect();
        if left.is_empty() { State::Reached(()) } else { State::Waiting(left.join(" ")) }
    })
    .await
}

fn belongs(meta: &ObjectMeta, owners: &[String]) -> bool {
    let is_owned = meta.owner_references.iter().flatten().any(|owner| owners.contains(&owner.uid));
    let is_it = meta.uid.as_ref().is_some_and(|uid| owners.contains(uid));
    let label = meta.labels.as_ref().and_then(|labels| labels.get(api::names::LABEL_JOB));
    is_owned || is_it || label.is_some_and(|job| *job == api::names::label_value(JOB))
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
        assert!(belongs(&meta("job-uid", None, None), &owners));
        assert!(belongs(&meta("x", Some("set-uid"), None), &owners));
        assert!(belongs(&meta("x", None, Some(JOB)), &owners));
        assert!(!belongs(&meta("x", Some("other"), Some("other")), &owners));
    }
}
