//! Pods with results that no look at their Job may have seen, for a while.
//!
//! The DaemonSet controller deletes a pod that its kubelet has given up at once, most often before anybody has
//! looked at it. And anybody may delete a pod that is done, so that it is gone while the Job rests, or while the
//! operator waits for the API server. The watch has shown either. What an operator that starts later does not
//! see is lost.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use api::{job::CompletionMode, views::PodView};

use crate::job::decide::is_done;

/// Time for which a pod is known at least.
///
/// By then a look at its Job has recorded its result.
const KEPT: Duration = Duration::from_mins(1);

/// Pods by the UID of their DaemonSet, and another key.
pub(super) type ByDaemonSet = HashMap<String, HashMap<String, Arc<PodView>>>;

/// Pods with results that no look may have seen.
///
/// They cost what they cost in the index, which has dropped them: some 4 KB each. The next event of any pod lets go of
/// them when their time is over.
#[derive(Debug)]
pub(super) struct GonePods {
    /// Since when the recent ones are collected.
    since: Instant,
    recent: ByDaemonSet,
    earlier: ByDaemonSet,
}

impl Default for GonePods {
    fn default() -> Self {
        Self {
            since: Instant::now(),
            recent: ByDaemonSet::default(),
            earlier: ByDaemonSet::default(),
        }
    }
}

impl GonePods {
    /// Keeps a pod that its kubelet has given up, as it is before its deletion.
    ///
    /// Of each node the last one suffices.
    pub(super) fn keep_given_up(&mut self, pod: &PodView) {
        if pod.status.phase.is_some() && pod.metadata.deletion_timestamp.is_none() {
            self.insert(pod.node().unwrap_or_default(), Arc::new(pod.clone()));
        }
    }

    /// Keeps a pod that was done, and is not any more.
    ///
    /// It is gone, or starts anew in another sandbox.
    pub(super) fn keep_result(&mut self, before: &Arc<PodView>, now: Option<&PodView>) {
        if may_be_done(before) && !now.is_some_and(may_be_done) {
            let uid = before.metadata.uid.as_deref().unwrap_or_default();
            self.insert(uid, Arc::clone(before));
        }
    }

    fn insert(&mut self, key: &str, pod: Arc<PodView>) {
        self.expire();
        if let Some(owner) = pod.daemon_set() {
            let pods = self.recent.entry(owner.uid.clone()).or_default();
            pods.insert(key.to_owned(), pod);
        }
    }

    /// Lets go of those that have been kept for long enough.
    pub(super) fn expire(&mut self) {
        let age = self.since.elapsed();
        if age >= KEPT {
            let recent = std::mem::take(&mut self.recent);
            self.earlier = if age < 2 * KEPT { recent } else { ByDaemonSet::default() };
            self.since = Instant::now();
        }
    }

    /// Returns those of the DaemonSet with this UID, the earlier ones first.
    pub(super) fn of(&self, daemon_set: &str) -> Vec<Arc<PodView>> {
        let age = self.since.elapsed();
        let kept = [(&self.earlier, KEPT), (&self.recent, 2 * KEPT)].into_iter();
        let kept = kept.filter(|(_, until)| age < *until);
        let pods = kept.filter_map(|(pods, _)| pods.get(daemon_set));
        pods.flat_map(HashMap::values).cloned().collect()
    }
}

/// Whether the work of a pod is done, in either mode: a look knows that of its Job.
fn may_be_done(pod: &PodView) -> bool {
    let modes = [CompletionMode::TerminationWord, CompletionMode::ExitCode];
    modes.into_iter().any(|mode| is_done(mode, pod))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::fixtures;

    #[test]
    fn a_pod_is_known_for_a_minute_at_least_and_for_two_at_most() {
        let minute = |gone: &mut GonePods, minutes: u32| gone.since -= minutes * KEPT;
        let keep = |gone: &mut GonePods, uid: &str| {
            gone.keep_result(&fixtures::pod("a").identity(uid, "1").done().build(), None);
        };
        let known = |gone: &GonePods| {
            let of = gone.of(fixtures::DAEMON_SET_UID);
            let mut of: Vec<_> = of.iter().filter_map(|pod| pod.metadata.uid.clone()).collect();
            of.sort_unstable();
            of
        };
        let mut gone = GonePods::default();
        keep(&mut gone, "a");
        minute(&mut gone, 1);
        assert_eq!(known(&gone), ["a"]);
        keep(&mut gone, "b");
        assert_eq!(known(&gone), ["a", "b"]);
        minute(&mut gone, 1);
        assert_eq!(known(&gone), ["b"]);
        gone.expire();
        assert_eq!((known(&gone), gone.earlier.len(), gone.recent.len()), (vec!["b".into()], 1, 0));
        minute(&mut gone, 2);
        assert_eq!(known(&gone), [""; 0]);
        gone.expire();
        assert_eq!((gone.earlier.len(), gone.recent.len()), (0, 0), "nothing is left of them");
    }
}
