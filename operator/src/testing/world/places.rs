//! Places, as they truly are: checked whenever something changes them, whoever does.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, LazyLock},
};

use api::job::{
    Job, JobStatus,
    conditions::{self, Reason, SUSPENDED},
    node_set::{Member, NodeSet},
};
use k8s_openapi::jiff::{SignedDuration, Timestamp};

use super::{
    PodState, World,
    objects::{Leave, Result, Uid, node_uid},
    operator::Seen,
};
use crate::job::decide::{actions::Actions, observation::Source};

/// A promise about Jobs whose nodes take turns, or that are suspended.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Check {
    /// No more nodes are at work than were allowed when the last of them got its leave.
    Limit,
    /// A pod is released only if the stored status says that its node has started, for its own work.
    WriteAhead,
    /// A node starts only when it may.
    Growth,
    /// A node loses its place only when it is settled or gone.
    Shrinkage,
    /// A node that is done is not released again.
    Once,
    /// Nothing is created or released while the stored status says that the Job is suspended.
    Suspended,
    /// A group starts when the one before is through.
    Order,
    /// Nodes start while a window is open.
    Windows,
    /// Nobody is started, and nobody at work is stopped, when too many nodes have failed.
    Failures,
    /// A result that a watch has shown is recorded, though its pod is gone.
    Kept,
    /// A Job without these fields is as it always was.
    NoChange,
}

/// What is true, whatever anybody sees.
#[derive(Clone, Debug, Default)]
pub(crate) struct Truth {
    /// When work was done first.
    pub(super) since: Arc<BTreeMap<Result, Timestamp>>,
    /// The nodes that were allowed to hold places when this one got its leave.
    pub(super) limits: Arc<BTreeMap<Result, usize>>,
    pub(super) violations: Vec<(Check, String)>,
    /// Whether the Job ever had one of the fields.
    pub(super) had_fields: bool,
}

impl Truth {
    pub(super) fn granted(&self, result: &Result) -> usize {
        self.limits.get(result).copied().unwrap_or(usize::MAX)
    }
}

/// The members of node sets for the first UIDs: to hash them takes a while.
static MEMBERS: LazyLock<Vec<Member>> =
    LazyLock::new(|| (0..256).map(|uid| Member::from(&node_uid(uid))).collect());

pub(super) fn member(uid: Uid) -> Member {
    let known = usize::try_from(uid).ok().and_then(|uid| MEMBERS.get(uid)).copied();
    known.unwrap_or_else(|| Member::from(&node_uid(uid)))
}

pub(super) fn has(set: Option<&NodeSet>, node: Uid) -> bool {
    set.is_some_and(|set| set.contains(member(node)))
}

/// Whether a node holds a place by the status.
fn holds_place(status: Option<&JobStatus>, node: Uid) -> bool {
    status.is_some_and(|status| {
        has(status.started_nodes.as_ref(), node) || has(status.stopping_nodes.as_ref(), node)
    })
}

/// Whether places bound anything: the pods of a Job that takes no turns any more may all start.
fn has_ledger(job: &Job) -> bool {
    job.spec.takes_turns() || job.spec.is_suspended()
}

pub(super) fn is_suspended(status: Option<&JobStatus>) -> bool {
    status.is_some_and(|status| conditions::find_true(&status.conditions, SUSPENDED).is_some())
}

impl World {
    /// The broken promises.
    pub(crate) fn violations(&self) -> &[(Check, String)] {
        &self.truth.violations
    }

    fn stored(&self) -> Option<&JobStatus> {
        self.now.job.as_deref()?.status.as_ref()
    }

    fn is_of_this_job(&self, job: &str) -> bool {
        self.now.job.as_deref().and_then(|job| job.metadata.uid.as_deref()) == Some(job)
    }

    /// Pods that the operator has released on nodes that are not done, of names of nodes that are still there.
    ///
    /// Pods that somebody else has released are beyond the operator's power.
    fn at_work(&self) -> impl Iterator<Item = (&PodState, Leave)> {
        self.now.pods.values().filter_map(|pod| {
            // A stranger has taken a pod without an owner from its DaemonSet: no watch shows it as the Job's.
            let is_there = self.now.nodes.contains_key(&pod.node) && !pod.owner.is_empty();
            let is_at_work = !pod.is_done() && !self.done.contains(&pod.result());
            let leave = pod.leave.filter(|_| is_there && is_at_work)?;
            self.is_of_this_job(&pod.job).then_some((pod, leave))
        })
    }

    /// Limit: every node at work holds a place, and there are no more of them than were allowed.
    ///
    /// A node that is registered anew under its name is another one, which holds no place while its pods go on: by
    /// their names they count all the same.
    pub(super) fn check_places(&mut self) {
        let nodes: BTreeSet<_> = self.at_work().map(|(pod, _)| pod.node).collect();
        let allowed = self.at_work().map(|(_, leave)| leave.limit).max().unwrap_or(usize::MAX);
        let status = self.stored();
        let is_same = |(pod, leave): &(&PodState, Leave)| {
            self.now.node_uid(pod.node) == Some(leave.node) && pod.node_uid == leave.node
        };
        let same = self.at_work().filter(is_same).map(|(_, leave)| leave.node);
        // Without a limit the ledger bounds nothing.
        let has_ledger = self.now.job.as_deref().is_some_and(has_ledger) && allowed < usize::MAX;
        let without = same.filter(|node| has_ledger && !holds_place(status, *node)).min();
        if nodes.len() > allowed {
            self.violated(Check::Limit, || format!("{nodes:?} are at work, of {allowed}"));
        }
        if let Some(node) = without {
            self.violated(Check::Limit, || format!("node {node} is at work without a place"));
        }
    }

    /// Once, suspended: what holds whenever a release makes a pod start.
    pub(super) fn check_start(&mut self, (job, node, work): &Result) {
        let status = self.stored().filter(|_| self.is_of_this_job(job));
        let of_work = status.filter(|status| status.work_hash.as_ref() == Some(work));
        let is_done = of_work.is_some_and(|status| has(status.completed_nodes.as_ref(), *node));
        let is_suspended = is_suspended(status);
        if is_done {
            self.violated(Check::Once, || format!("node {node} starts again"));
        }
        if is_suspended {
            self.violated(Check::Suspended, || format!("node {node} starts"));
        }
    }

    /// Write-ahead, edits, suspended: what holds whenever a release is sent.
    pub(super) fn check_release(&mut self, job: &Job, seen: &Seen, pod: Uid) {
        let Some(pod) = self.now.pods.get(&pod).filter(|_| self.takes_turns).cloned() else {
            return;
        };
        let is_same =
            self.now.job.as_deref().map(|now| &now.metadata.uid) == Some(&job.metadata.uid);
        let status = self.stored().filter(|_| is_same);
        // The cache of nodes may show an earlier one of that name.
        let node = seen.objects.node_uid(pod.node).unwrap_or(pod.node_uid);
        let is_started = status.is_some_and(|status| {
            has(status.started_nodes.as_ref(), node)
                && status.work_hash.as_ref() == Some(&pod.template.work_hash)
        });
        let is_suspended = is_suspended(status);
        if is_same && !is_started {
            self.violated(Check::WriteAhead, || format!("node {node} is released"));
        }
        if is_suspended {
            self.violated(Check::Suspended, || format!("node {node} is released"));
        }
    }

    /// Suspended: no DaemonSet is created.
    pub(super) fn check_creation(&mut self, job: &Job) {
        let is_same =
            self.now.job.as_deref().map(|now| &now.metadata.uid) == Some(&job.metadata.uid);
        // Nobody knows of a Job that it has never looked at that it is suspended by now.
        if is_same && job.status.is_some() && is_suspended(self.stored()) {
            self.violated(Check::Suspended, || "a DaemonSet is created".to_owned());
        }
    }

    /// What holds whenever a status is stored: its new places, those that it gives up, and how it ends.
    pub(super) fn check_acknowledged(&mut self, current: &Job, seen: &Seen, act: &Actions) {
        if !self.takes_turns {
            return;
        }
        let (old, new) = (current.status.as_ref(), &act.status);
        let job = current.metadata.uid.clone().unwrap_or_default();
        let work = new.work_hash.clone().unwrap_or_default();
        for node in 0..=self.last_uid {
            if !holds_place(old, node) && !holds_place(Some(new), node) {
                continue;
            }
            let result = (job.clone(), node, work.clone());
            if has(new.started_nodes.as_ref(), node)
                && !old.is_some_and(|old| has(old.started_nodes.as_ref(), node))
            {
                let limit = super::growth::limit(&current.spec, new.desired);
                Arc::make_mut(&mut self.truth.limits).insert(result.clone(), limit);
            }
            if holds_place(old, node) && !holds_place(Some(new), node) {
                self.check_left(current, seen, new, &result);
            }
        }
        self.check_failed_end(old, new);
    }

    /// Shrinkage: a node that gives up its place is settled or gone.
    fn check_left(&mut self, job: &Job, seen: &Seen, new: &JobStatus, result: &Result) {
        if !has_ledger(job) {
            return;
        }
        let node = result.1;
        let name = seen.objects.nodes.iter().find(|(_, it)| it.uid == node).map(|(name, _)| *name);
        let last = self.last_uid;
        let what = || super::growth::describe(seen, new, last);
        // A late cache of nodes may have given leave to an earlier node of that name.
        let has_leave =
            |(pod, leave): (&PodState, Leave)| pod.node_uid == node && leave.node == node;
        if self.at_work().any(has_leave) {
            self.violated(Check::Shrinkage, || format!("node {node} is at work: {}", what()));
        }
        let is_there = self.now.nodes.values().any(|it| it.uid == node);
        let was_started =
            job.status.as_ref().is_some_and(|old| has(old.started_nodes.as_ref(), node));
        let is_same_work = job.status.as_ref().is_some_and(|it| it.work_hash == new.work_hash);
        // A place of earlier work is free when no pod of it is there, which is the first check.
        if !is_there || !was_started || !is_same_work {
            return;
        }
        let holds_pod =
            |name| seen.objects.pods.values().any(|pod| pod.node == name && !pod.is_leaving);
        let is_gone = seen.source == Source::Live && !name.is_none_or(holds_pod);
        if is_gone {
            return;
        }
        if has(new.completed_nodes.as_ref(), node) || self.done.contains(result) {
            let wait = job.spec.min_ready_seconds.unwrap_or_default().into();
            let since = self.truth.since.get(result).copied();
            let is_over = since.is_some_and(|it| it + SignedDuration::from_secs(wait) <= self.time);
            if !is_over {
                self.violated(Check::Shrinkage, || {
                    format!("node {node} is done since {since:?}: {}", what())
                });
            }
            return;
        }
        self.violated(Check::Shrinkage, || {
            format!("node {node} is neither done nor gone: {}", what())
        });
    }

    /// Failures: a Job that takes turns ends for them when nobody is at work any more.
    fn check_failed_end(&mut self, old: Option<&JobStatus>, new: &JobStatus) {
        let end =
            |status: &JobStatus| conditions::finished(&status.conditions).and_then(Reason::of);
        let is_new =
            end(new) == Some(Reason::MaxFailedNodesExceeded) && old.and_then(end) != end(new);
        let busy = self.at_work().find(|(pod, _)| !self.failed.contains(&pod.result()));
        let busy =
            busy.map(|(pod, _)| pod.node_uid).filter(|_| is_new && new.started_nodes.is_some());
        if let Some(node) = busy {
            self.violated(Check::Failures, || format!("node {node} is at work, and is stopped"));
        }
    }
}
