//! Lets the pods start whose nodes' turn it is.
//!
//! A pod may start when the status that holds its node is known to be stored: that is the caller's matter. And none
//! does while the operator could change more of pods than their gates.

mod confinement;

use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use api::labels;
use futures::{StreamExt, stream};
use kube::Client;
use runtime::{
    client::{PodId, is_conflict, is_gone, is_other_pod, remove_gate},
    expiring_map::ExpiringMap,
};
use tracing::debug;

use self::confinement::{Confined, Confinement};
use super::refusal::Refusals;
use crate::job::decide::{
    actions::Release,
    events::{JobEvent, cause},
    job_view::JobView,
};

/// Pods to write to at a time.
const AT_A_TIME: usize = 32;
/// Pods of a Job that are refused before it is clear that all are, and the others are not tried.
///
/// One that somebody else's admission policy refuses must not hold up the others.
const MAX_REFUSALS: usize = 8;
/// Time for which a release is remembered, so that it is not sent again before the cache shows it.
const REMEMBERED: Duration = Duration::from_mins(1);
/// Time after which a pod is looked at again that was not the one that was observed.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// Shortest time between two attempts for a Job whose releases are refused.
const SHORTEST_REST: Duration = Duration::from_secs(1);
/// Longest time between two such attempts.
const LONGEST_REST: Duration = Duration::from_mins(1);
/// Time after which an attempt that nobody has repeated is forgotten.
const FORGET: Duration = Duration::from_mins(10);

/// Why no pod is let start that the API server would let start.
const UNCONFINED: &str = "pods are let start when the API server limits what else the operator may change of them, and it \
                          does not: apply the ValidatingAdmissionPolicy of deploy/25-pod-policy.yaml and its binding";

/// Removes the gates of pods.
pub(crate) struct ReleaseWriter {
    client: Client,
    confinement: Confinement,
    /// UIDs of the pods whose gates were removed. A gate that is gone does not come back.
    released: ExpiringMap,
    refusals: Refusals,
    /// Refusals by the UID of the Job.
    refused: Mutex<HashMap<String, Refused>>,
}

/// A Job of which the API server refuses releases.
#[derive(Clone, Debug)]
struct Refused {
    since: Instant,
    last: Instant,
    /// Why, in the API server's words.
    reason: String,
    /// UIDs of the pods.
    pods: HashSet<String>,
}

impl Refused {
    fn new(now: Instant) -> Self {
        Self { since: now, last: now, reason: String::new(), pods: HashSet::new() }
    }

    /// Time until the next attempt. The longer it lasts, the longer that is.
    fn rest(&self) -> Duration {
        let rest = (self.since.elapsed() / 2).clamp(SHORTEST_REST, LONGEST_REST);
        rest.saturating_sub(self.last.elapsed())
    }

    /// Whether the pod `uid` is not to be tried now.
    fn holds(&self, uid: &str) -> bool {
        let is_general = self.pods.len() >= MAX_REFUSALS;
        (is_general || self.pods.contains(uid)) && !self.rest().is_zero()
    }
}

/// What became of releases that were not sent for nothing.
#[derive(Debug)]
pub(crate) struct ReleaseFailure {
    pub(crate) error: kube::Error,
    /// The event about a refusal.
    pub(crate) event: Option<JobEvent>,
}

impl ReleaseWriter {
    pub(crate) fn new(client: Client) -> Self {
        Self {
            confinement: Confinement::new(client.clone()),
            client,
            released: ExpiringMap::new(REMEMBERED),
            refusals: Refusals::default(),
            refused: Mutex::default(),
        }
    }

    /// Why no pod of the Job `uid` is let start, or some are not.
    pub(crate) fn refusal(&self, uid: &str) -> Option<String> {
        self.refused(uid).map(|refused| refused.reason)
    }

    /// Time until releases of the Job `uid` are tried again that were refused.
    pub(crate) fn rest(&self, uid: &str) -> Option<Duration> {
        self.refused(uid).map(|refused| refused.rest())
    }

    /// The pods of `releases` that are to be released now.
    pub(crate) fn due(&self, uid: &str, releases: &[Release]) -> Vec<Release> {
        self.keep_refused(uid, |pod| releases.iter().any(|release| release.uid == pod));
        releases.iter().filter(|release| self.is_due(uid, release)).cloned().collect()
    }

    /// Whether a pod of the Job `uid` is to be released now.
    pub(crate) fn is_due(&self, uid: &str, release: &Release) -> bool {
        self.released.age(&release.uid).is_none()
            && !self.lock().get(uid).is_some_and(|refused| refused.holds(&release.uid))
    }

    /// Removes the gates of `due` pods of `job`, and calls `released` as the API server acknowledges each.
    ///
    /// Returns the time after which to look at the Job again, should nothing happen before.
    ///
    /// # Errors
    /// The first failure; the other pods were tried, unless too many were refused.
    pub(crate) async fn send(
        &self,
        job: &JobView<'_>,
        due: Vec<Release>,
        released: &(dyn Fn(&Release) + Sync),
    ) -> Result<Option<Duration>, ReleaseFailure> {
        match self.confinement.check(job, &due).await {
            Ok(Confined::Yes) => {}
            Ok(Confined::Unknown) => return Ok(Some(LOOK_AGAIN)),
            Ok(Confined::No) => {
                self.refuse_all(job.uid, &due, UNCONFINED);
                return Ok(self.rest(job.uid));
            }
            Err(error) => return Err(self.all_refused(job, &due, error)),
        }
        let answers = due.into_iter().map(|release| self.release(job, release, released));
        let mut answers = stream::iter(answers).buffer_unordered(AT_A_TIME);
        let (mut look_again, mut failures) = (None, Vec::new());
        while let Some(answer) = answers.next().await {
            match answer {
                Ok(true) => {}
                Ok(false) => look_again = Some(LOOK_AGAIN),
                Err(failure) => failures.push(failure),
            }
            if failures.len() >= MAX_REFUSALS {
                break;
            }
        }
        match self.failure(job, failures) {
            None => Ok(look_again),
            Some(failure) => Err(failure),
        }
    }

    /// Removes the gate of one pod; `false` if that pod is not there, or has changed.
    async fn release(
        &self,
        job: &JobView<'_>,
        release: Release,
        released: &(dyn Fn(&Release) + Sync),
    ) -> Result<bool, (String, kube::Error)> {
        let Release { pod: name, uid, node, .. } = &release;
        let pod = PodId { namespace: job.namespace, name, uid, version: None };
        match remove_gate(&self.client, pod, labels::TURN_GATE, labels::OPERATOR).await {
            Ok(()) => {
                self.released.insert(uid, ());
                self.keep_refused(job.uid, |pod| pod != uid);
                released(&release);
                debug!(pod = name, node, "released");
                Ok(true)
            }
            Err(error) if is_gone(&error) || is_conflict(&error) || is_other_pod(&error) => {
                Ok(false)
            }
            Err(error) => Err((release.uid, error)),
        }
    }

    /// Remembers what was refused, so that it is tried again less and less often.
    fn failure(
        &self,
        job: &JobView<'_>,
        failures: Vec<(String, kube::Error)>,
    ) -> Option<ReleaseFailure> {
        let mut first = None;
        for (pod, error) in failures {
            let answer = self.refusals.refusal(job, &error);
            if let Some(answer) = &answer {
                self.refuse(job.uid, pod, &by_api_server(answer));
            }
            let event = answer.map(|answer| JobEvent::write_refused(&answer));
            first.get_or_insert(ReleaseFailure { error, event });
        }
        first
    }

    /// Remembers that `error` stands for all that are `due`.
    fn all_refused(
        &self,
        job: &JobView<'_>,
        due: &[Release],
        error: kube::Error,
    ) -> ReleaseFailure {
        let answer = self.refusals.refusal(job, &error);
        if let Some(answer) = &answer {
            self.refuse_all(job.uid, due, &by_api_server(answer));
        }
        ReleaseFailure { error, event: answer.map(|answer| JobEvent::write_refused(&answer)) }
    }

    fn refuse_all(&self, job: &str, due: &[Release], reason: &str) {
        for release in due.iter().take(MAX_REFUSALS) {
            self.refuse(job, release.uid.clone(), reason);
        }
    }

    fn refuse(&self, job: &str, pod: String, reason: &str) {
        let (now, mut refused) = (Instant::now(), self.lock());
        refused.retain(|_, refused| refused.last.elapsed() < FORGET);
        let refused = refused.entry(job.to_owned()).or_insert_with(|| Refused::new(now));
        refused.last = now;
        refused.pods.insert(pod);
        // Its details, such as the name of the pod, are no news.
        if cause(&refused.reason) != cause(reason) {
            reason.clone_into(&mut refused.reason);
        }
    }

    /// Keeps the refused pods of the Job `uid` of which `keep` is true.
    fn keep_refused(&self, uid: &str, keep: impl Fn(&str) -> bool) {
        let mut all = self.lock();
        if let Some(refused) = all.get_mut(uid) {
            refused.pods.retain(|pod| keep(pod));
            if refused.pods.is_empty() {
                all.remove(uid);
            }
        }
    }

    fn refused(&self, uid: &str) -> Option<Refused> {
        self.lock().get(uid).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Refused>> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn by_api_server(answer: &str) -> String {
    format!("the API server refuses to let pods start: {answer}")
}

#[cfg(test)]
mod tests;
