//! Nothing may be left of a Job that is gone.

use anyhow::Result;
use api::job::Job;
use api::labels;
use harness::wait::Waiter;
use k8s_openapi::api::apps::v1::{ControllerRevision, DaemonSet};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

/// Waits until no Job, DaemonSet, pod or ControllerRevision is left in a namespace that `is_meant`.
pub(crate) async fn until_gone(
    wait: &Waiter<'_>,
    namespace: &str,
    is_meant: impl Fn(&ObjectMeta) -> bool,
) -> Result<()> {
    tokio::try_join!(
        wait.none_left::<Job>(namespace, "", &is_meant),
        wait.none_left::<DaemonSet>(namespace, "", &is_meant),
        wait.none_left::<Pod>(namespace, "", &is_meant),
        wait.none_left::<ControllerRevision>(namespace, "", &is_meant),
    )?;
    Ok(())
}

/// Whether an object is of this Job, by an owner (a UID) or by its labels.
pub(crate) fn belongs(meta: &ObjectMeta, job: &str, owners: &[String]) -> bool {
    let is_owned = meta.owner_references.iter().flatten().any(|owner| owners.contains(&owner.uid));
    let is_it = meta.uid.as_ref().is_some_and(|uid| owners.contains(uid));
    let label = meta.labels.as_ref().and_then(|labels| labels.get(labels::LABEL_JOB));
    is_owned || is_it || label.is_some_and(|label| *label == labels::label_value(job))
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
