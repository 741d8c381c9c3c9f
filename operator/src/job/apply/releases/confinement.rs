//! Checks that the operator may change nothing of pods but their gates.
//!
//! `deploy/25-pod-policy.yaml` sees to that. Helm installs it after the Deployment, and somebody may delete it.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use api::labels;
use kube::Client;
use runtime::client::{PodId, is_conflict, is_gone, is_other_pod, try_annotation};

use crate::job::decide::{actions::Release, job_view::JobView};

/// What the policy says to a change of a pod's metadata.
const REFUSAL: &str = "the operator may not change the metadata of pods";
/// An annotation that no pod gets: the API server is asked what it would do.
const ANNOTATION: &str = "daemonset.darkowlzz.space/confined";
/// Time after which the API server is asked once more.
const KNOWN: Duration = Duration::from_mins(10);

/// Knows whether the API server confines the operator.
pub(super) struct Confinement {
    client: Client,
    /// When it last has.
    last: Mutex<Option<Instant>>,
}

/// Whether the API server confines the operator.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Confined {
    Yes,
    No,
    /// None of the pods is there any more.
    Unknown,
}

impl Confinement {
    pub(super) fn new(client: Client) -> Self {
        Self { client, last: Mutex::default() }
    }

    /// Asks whether the API server would take another change of a pod that is due.
    ///
    /// # Errors
    /// When it refuses that for another reason than its policy, or does not answer.
    pub(super) async fn check(&self, job: &JobView<'_>, due: &[Release]) -> kube::Result<Confined> {
        if self.is_known() {
            return Ok(Confined::Yes);
        }
        for Release { pod: name, uid, .. } in due {
            let pod = PodId { namespace: job.namespace, name, uid, version: None };
            match try_annotation(&self.client, pod, ANNOTATION, labels::OPERATOR).await {
                Ok(()) => return Ok(Confined::No),
                Err(error) if is_policy(&error) => {
                    *self.last.lock().unwrap_or_else(PoisonError::into_inner) =
                        Some(Instant::now());
                    return Ok(Confined::Yes);
                }
                Err(error) if is_gone(&error) || is_conflict(&error) || is_other_pod(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Confined::Unknown)
    }

    fn is_known(&self) -> bool {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.is_some_and(|last| last.elapsed() < KNOWN)
    }
}

fn is_policy(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.message.contains(REFUSAL))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusal_is_that_of_the_policy_that_is_installed() {
        let policy = include_str!("../../../../../deploy/25-pod-policy.yaml");
        assert!(policy.contains(&format!("message: {REFUSAL}\n")));
        assert!(ANNOTATION.starts_with(labels::GROUP));
    }
}
