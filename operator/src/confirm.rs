//! Confirms cached pods by metadata, of which a list costs the API server and the wire less than half of
//! what the pods cost.

use std::{collections::HashMap, sync::Arc};

use api::{
    v1beta1::JobSpec,
    views::{Metadata, PodView},
};

use crate::run::run;

/// The pods that the API server holds, when what is cached of each of them still says what matters: it is
/// that very version of the pod, or its work is done, which is never taken back. None when it does not.
///
/// What the metadata tells is taken from there. A pod that is not in `live` is gone.
pub(crate) fn confirm(
    spec: &JobSpec,
    cached: &[Arc<PodView>],
    live: Vec<Metadata>,
) -> Option<Vec<Arc<PodView>>> {
    let by_uid: HashMap<_, _> =
        cached.iter().map(|pod| (pod.metadata.uid.as_deref(), pod)).collect();
    let confirmed = |Metadata { metadata }: Metadata| {
        let pod = *by_uid.get(&metadata.uid.as_deref())?;
        if pod.metadata.resource_version == metadata.resource_version {
            return Some(Arc::clone(pod));
        }
        run(spec, pod).is_done.then(|| Arc::new(PodView { metadata, ..PodView::clone(pod) }))
    };
    live.into_iter().map(confirmed).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures;

    fn pod(uid: &str, version: &str, is_done: bool) -> Arc<PodView> {
        let pod = fixtures::pod("a").identity(uid, version);
        if is_done { pod.done() } else { pod }.build()
    }

    fn metadata(uid: &str, version: &str) -> Metadata {
        Metadata { metadata: pod(uid, version, false).metadata.clone() }
    }

    /// UIDs of what is confirmed.
    fn confirmed(cached: &[Arc<PodView>], live: Vec<Metadata>) -> Option<Vec<String>> {
        let pods = confirm(&JobSpec::default(), cached, live)?;
        Some(pods.iter().filter_map(|pod| pod.metadata.uid.clone()).collect())
    }

    #[test]
    fn a_pod_of_the_same_version_is_as_it_was() {
        let cached = [pod("a", "1", false)];
        assert_eq!(confirmed(&cached, vec![metadata("a", "1")]), Some(vec!["a".to_owned()]));
    }

    #[test]
    fn a_pod_that_has_changed_is_known_only_if_it_was_done() {
        let live = || vec![metadata("a", "2")];
        assert_eq!(confirmed(&[pod("a", "1", false)], live()), None);
        assert_eq!(confirmed(&[pod("a", "1", true)], live()), Some(vec!["a".to_owned()]));
    }

    #[test]
    fn a_pod_that_is_not_cached_is_not_known() {
        assert_eq!(confirmed(&[pod("a", "1", true)], vec![metadata("b", "1")]), None);
    }

    #[test]
    fn a_pod_that_is_gone_is_left_out() {
        let cached = [pod("a", "1", true), pod("b", "1", true)];
        assert_eq!(confirmed(&cached, vec![metadata("b", "1")]), Some(vec!["b".to_owned()]));
    }

    #[test]
    fn that_a_pod_is_being_deleted_is_taken_from_its_metadata() {
        let leaving = fixtures::pod("a").identity("a", "2").deleted().build();
        let live = vec![Metadata { metadata: leaving.metadata.clone() }];
        let pods = confirm(&JobSpec::default(), &[pod("a", "1", true)], live).unwrap();
        assert!(pods[0].metadata.deletion_timestamp.is_some() && pods[0].has_logged_word());
    }
}
