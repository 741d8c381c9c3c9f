//! Invariants, checked whenever the operator acts.

use api::job::{
    CompletionPolicy, Job, JobStatus,
    conditions::{self, Reason},
    work_hash,
};
use k8s_openapi::jiff::SignedDuration;

use super::{
    World,
    objects::{DaemonSetState, Name, Uid},
    places::{has, is_suspended},
};
use crate::job::decide::{actions::Actions, daemon_set::DaemonSetAction};

impl World {
    /// Never early: the work has ended on each node when the Job is finished.
    ///
    /// That is each node that was wanted and is still there. A Job that is complete is done there. Other limits may
    /// end a Job earlier.
    pub(crate) fn check_finish(
        &mut self,
        job: &Job,
        status: &JobStatus,
        daemon_set: &DaemonSetState,
    ) {
        let Some(condition) = conditions::finished(&status.conditions) else {
            return;
        };
        let uid = job.metadata.uid.clone().unwrap_or_default();
        let was_finished_before = daemon_set.owner != uid
            || job.status.as_ref().is_some_and(|old| has_same_end(old, status));
        let reason = Reason::of(condition);
        let ends_at_once =
            matches!(reason, Some(Reason::MaxFailedNodesExceeded | Reason::DeadlineExceeded));
        if was_finished_before || ends_at_once {
            return;
        }
        let is_complete = condition.type_ == conditions::COMPLETE;
        for (name, node) in &daemon_set.ought_to_want {
            let result = (uid.clone(), *node, work_hash::hash(&job.spec));
            let has_ended = self.done.contains(&result)
                || !is_complete && self.failed.contains(&result)
                || self.now.node_uid(*name) != Some(*node);
            assert!(has_ended, "{} before node {name} was done", condition.reason);
        }
        let has_failed = |(name, node): (Name, Uid)| {
            self.now.node_uid(name) != Some(node)
                || self.failed.contains(&(uid.clone(), node, work_hash::hash(&job.spec)))
        };
        if reason == Some(Reason::NodesFailed) {
            // A node that has failed may have left the selection since.
            let wanted = daemon_set.ought_to_want.iter().map(|(name, node)| (*name, *node));
            let known = self.now.nodes.iter().map(|(name, node)| (*name, node.uid));
            let is_so = wanted.chain(known).any(has_failed);
            assert!(is_so, "failed, and every node was done without a failure");
        }
        if is_complete {
            self.complete.insert((uid, job.metadata.generation.unwrap_or_default()));
        }
    }

    /// A Job is late at its deadline, not before, and the operator looks at it by then.
    pub(crate) fn check_deadline(&self, job: &Job, act: &Actions) {
        let Some(start) = act.status.start_time.as_ref().map(|start| start.0) else {
            return;
        };
        let seconds = job.spec.active_deadline_seconds;
        // The time in the status is cut to a whole second.
        let deadline = seconds.map(|seconds| start + SignedDuration::from_secs(seconds + 1));
        let Some(condition) = conditions::finished(&act.status.conditions) else {
            let again = act.requeue_after.map(|after| self.time + after);
            // The change of a DaemonSet makes somebody look at once.
            let changes = matches!(
                act.daemon_set,
                DaemonSetAction::Update(..) | DaemonSetAction::Restore(..)
            );
            let is_looked_after =
                deadline.is_none() || changes || again.is_some() && again <= deadline;
            assert!(is_looked_after, "{again:?} is not by {deadline:?}");
            return;
        };
        let is_known = |old: &JobStatus| has_same_end(old, &act.status);
        if Reason::of(condition) == Some(Reason::DeadlineExceeded)
            && !job.status.as_ref().is_some_and(is_known)
        {
            assert!(deadline.is_some_and(|deadline| deadline <= self.time), "not late yet");
        }
    }

    /// No node has failed whose container has not crashed.
    pub(crate) fn check_failures(&self, job: &Job, status: &JobStatus) {
        let Some(failed) = &status.failed_nodes else {
            return;
        };
        let uid = job.metadata.uid.clone().unwrap_or_default();
        let work_hash = work_hash::hash(&job.spec);
        for node in (0..=self.last_uid).filter(|node| has(Some(failed), *node)) {
            // A cache that lags may show a node that another one has replaced. It will never be seen again.
            let is_gone = !self.now.nodes.values().any(|there| there.uid == node);
            let result = (uid.clone(), node, work_hash.clone());
            let has_failed = self.failed.contains(&result);
            assert!(is_gone || has_failed, "node {node} is said to have failed");
        }
    }

    /// A status never takes back results that it has recorded for the same work.
    ///
    /// A Job that is suspended forgets its start, and tries failed nodes again when it is resumed. One that never
    /// completes may forget nodes that are gone.
    pub(super) fn check_kept(&self, current: &Job, new: &JobStatus) {
        let Some(old) = current.status.as_ref().filter(|old| old.work_hash == new.work_hash) else {
            return;
        };
        let reason = |status: &JobStatus| {
            conditions::find(&status.conditions, conditions::SUSPENDED).and_then(Reason::of)
        };
        let is_resumed = reason(new) == Some(Reason::JobResumed) && reason(old) != reason(new);
        let is_stopped = current.spec.is_suspended() || is_suspended(Some(new));
        let is_start_kept = old.start_time == new.start_time || is_resumed || is_stopped;
        assert!(is_start_kept || old.start_time.is_none(), "the deadline is counted from there");
        let never = current.spec.completion_policy == CompletionPolicy::Never;
        for uid in 0..=self.last_uid {
            let is_forgotten = never && self.now.nodes.values().all(|node| node.uid != uid);
            let is_kept =
                !has(old.completed_nodes.as_ref(), uid) || has(new.completed_nodes.as_ref(), uid);
            assert!(is_kept || is_forgotten, "node {uid} was done");
            let is_kept =
                !has(old.failed_nodes.as_ref(), uid) || has(new.failed_nodes.as_ref(), uid);
            assert!(is_kept || is_resumed, "{uid} failed");
        }
    }
}

/// Whether two statuses are those of one end of the same work.
fn has_same_end(old: &JobStatus, new: &JobStatus) -> bool {
    let end = |status: &JobStatus| {
        let end = conditions::finished(&status.conditions)?;
        Some((end.reason.clone(), end.message.clone(), end.last_transition_time.clone()))
    };
    old.work_hash == new.work_hash && end(old) == end(new)
}
