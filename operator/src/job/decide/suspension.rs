//! `spec.suspend`: stops the pods of a Job, keeps its results, and lets it go on later.
//!
//! ```text
//! spec.suspend  true                  every pod is gone or going   false
//! Suspended     False, PodsStopping ────→ True, JobSuspended ────→ False, JobResumed ─→ the Job goes on
//! DaemonSet     Keep, then Stop           Keep                     Keep                 Create
//! ```
//!
//! Each step builds on the one before as the API server has stored it. So results are stored before their pods
//! are stopped, and no DaemonSet is created before the status says that the Job is resumed.

use std::time::Duration;

use api::{
    job::{
        JobStatus, NodeState, Phase,
        conditions::{self, COMPLETE, DAEMON_SET_EDITED, FAILED, Reason, SUSPENDED, WAITING},
        node_set::NodeSet,
        validation,
    },
    labels,
    views::{self, DaemonSetView, PodView},
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::{
    daemon_set::DaemonSetAction,
    nodes::{WorkState, count, node_work},
    observation::{Observation, Ownership, Source},
    pods_by_node::{completed_before, pods_by_node},
    status,
};

/// Time between two looks at pods that are being stopped: nothing reports those without a DaemonSet.
const STOPPING_INTERVAL: Duration = Duration::from_secs(1);

/// A step of a Job that is suspended, or about to be resumed.
#[derive(Debug)]
pub(super) enum Step {
    /// Caches do not suffice to say which it is.
    ObserveLive,
    /// The action on the DaemonSet, the next status, and when to look again.
    Act(DaemonSetAction, Box<JobStatus>, Option<Duration>),
}

/// How far a Job is suspended, as its stored status says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Stage {
    /// It is not, or has been resumed.
    Running,
    Stopping,
    Suspended,
}

impl Stage {
    fn of(status: Option<&JobStatus>) -> Self {
        match status.and_then(|status| conditions::find(&status.conditions, SUSPENDED)) {
            Some(condition) if condition.status == "True" => Self::Suspended,
            Some(condition) if Reason::of(condition) == Some(Reason::PodsStopping) => {
                Self::Stopping
            }
            _ => Self::Running,
        }
    }
}

/// The next step of the observed Job, unless it is neither suspended nor about to be resumed.
///
/// As in batch/v1 a Job that is complete stays as it is. One that has failed is retried when it is resumed.
pub(super) fn step(observation: &Observation<'_>, base: &JobStatus) -> Option<Step> {
    let job = &observation.job;
    let stage = Stage::of(job.status);
    if conditions::find_true(&base.conditions, COMPLETE).is_some() {
        return None;
    }
    match (job.spec.is_suspended(), stage) {
        (true, stage) => Some(suspend(observation, stage, base)),
        (false, Stage::Stopping | Stage::Suspended) => Some(resume(observation, base)),
        (false, Stage::Running) => None,
    }
}

/// Stops the pods of the Job. An invalid spec is reported, and does not matter for that.
fn suspend(observation: &Observation<'_>, stage: Stage, base: &JobStatus) -> Step {
    let is_cached = observation.source == Source::Caches;
    let ownership = observation.ownership();
    let action = match ownership {
        // The cache may be from before the DaemonSet was gone.
        Ownership::Own(_) if stage == Stage::Suspended && is_cached => return Step::ObserveLive,
        // First the results are stored.
        Ownership::Own(_) if stage == Stage::Running => DaemonSetAction::Keep,
        Ownership::Own(daemon_set) => DaemonSetAction::Stop(uid(daemon_set)),
        Ownership::Absent | Ownership::Leaving | Ownership::Foreign => DaemonSetAction::Keep,
    };
    let has_daemon_set = matches!(ownership, Ownership::Own(_));
    let is_going = !has_daemon_set || action != DaemonSetAction::Keep;
    let mut status = held_back(observation, base);
    count_nodes(observation, is_going, &mut status);
    let is_suspended = !has_daemon_set && pods(observation).all(is_leaving);
    if !is_suspended {
        let phase = status.phase.filter(|phase| *phase != Phase::Suspended);
        status.phase = Some(phase.unwrap_or_default());
        set(&mut status, observation, Reason::PodsStopping, "the pods are being stopped");
        return Step::Act(action, Box::new(status), Some(STOPPING_INTERVAL));
    }
    // Places are in use until no pod is there, and only the garbage collector knows when it is done.
    let waits_for_end = status.stopping_nodes.is_some() && !matches!(ownership, Ownership::Leaving);
    if is_cached && (stage != Stage::Suspended || waits_for_end) {
        return Step::ObserveLive;
    }
    if waits_for_end && pods(observation).next().is_none() {
        status.stopping_nodes = None;
    }
    status.phase = Some(Phase::Suspended);
    (status.active, status.waiting) = (0, 0);
    status.nodes.retain(|node| node.state == NodeState::Failed);
    set(&mut status, observation, Reason::JobSuspended, "the Job is suspended; its results stay");
    let look_again = status.stopping_nodes.as_ref().map(|_| STOPPING_INTERVAL);
    Step::Act(action, Box::new(status), look_again)
}

/// Lets the Job go on: a later look creates the DaemonSet.
fn resume(observation: &Observation<'_>, base: &JobStatus) -> Step {
    let mut status = held_back(observation, base);
    let is_blocked = conditions::blocked(&status.conditions).is_some();
    if !is_blocked {
        conditions::remove(&mut status.conditions, FAILED);
    }
    (status.failed_nodes, status.failed_runs) = (None, None);
    (status.active, status.waiting, status.failed) = (0, 0, 0);
    status.nodes.clear();
    status.phase = Some(if is_blocked { Phase::Failed } else { Phase::Pending });
    (status.completion_time, status.duration) = (None, None);
    status.start_time = Some(Time(observation.now));
    set(&mut status, observation, Reason::JobResumed, "the Job was suspended, and goes on");
    Step::Act(DaemonSetAction::Keep, Box::new(status), None)
}

/// The status to build on, without what is true of Jobs that run only.
///
/// The condition of a Job that has failed for good stays until it is retried.
fn held_back(observation: &Observation<'_>, base: &JobStatus) -> JobStatus {
    let (job, now) = (&observation.job, observation.now);
    let invalid = validation::validate(job.spec).err();
    let mut status = match invalid {
        Some(_) => status::kept(job, now),
        None => base.clone(),
    };
    status.start_time = None;
    for type_ in [COMPLETE, DAEMON_SET_EDITED, WAITING] {
        conditions::remove(&mut status.conditions, type_);
    }
    if conditions::blocked(&status.conditions).is_some() {
        conditions::remove(&mut status.conditions, FAILED);
    }
    if let Some(invalid) = invalid {
        set(&mut status, observation, Reason::InvalidSpec, &invalid.to_string());
    }
    status
}

/// Records the nodes that are done, and counts those at work.
///
/// A container that is stopped has not failed, so failures are not recorded any more. Once the pods are going the
/// nodes at work hold places until they are gone.
fn count_nodes(observation: &Observation<'_>, is_going: bool, status: &mut JobStatus) {
    let mut stopping = status.stopping_nodes.take().unwrap_or_default();
    let mut completed = status.completed_nodes.take().unwrap_or_default();
    let known = completed.len();
    if let Some(daemon_set) = daemon_set(observation) {
        let by_node = pods_by_node(observation, daemon_set, observation.now);
        let before = completed_before(observation, daemon_set);
        let nodes = node_work(observation, &by_node, &before);
        let done = nodes.iter().filter(|node| node.state == WorkState::Completed);
        // The hash of an invalid spec is that of other work.
        if status.work_hash.as_ref() == Some(&observation.job.work_hash) {
            completed.extend(&before);
            done.for_each(|node| node.record_in(&mut completed));
        }
        let at_work: Vec<_> = nodes.iter().filter(|node| node.turn.is_at_work).collect();
        status.active = count(at_work.len());
        if is_going {
            at_work.iter().filter_map(|node| node.member).for_each(|it| stopping.insert(it));
        }
    }
    status.succeeded += count(completed.len() - known);
    status.completed = Some(format!("{}/{}", status.succeeded, status.desired));
    if is_going {
        status.waiting = 0;
        stopping.extend(&status.started_nodes.take().unwrap_or_default());
    }
    status.completed_nodes = Some(completed).filter(|set| !set.is_empty());
    status.stopping_nodes = Some(stopping).filter(|set: &NodeSet| !set.is_empty());
}

/// The DaemonSet of the Job, also while it is going.
fn daemon_set<'o>(observation: &'o Observation<'_>) -> Option<&'o DaemonSetView> {
    match observation.ownership() {
        Ownership::Own(daemon_set) => Some(daemon_set),
        Ownership::Leaving => {
            let daemon_set = observation.daemon_set.as_deref()?;
            let owner = views::controller(&daemon_set.metadata)?;
            (owner.uid == observation.job.uid).then_some(daemon_set)
        }
        Ownership::Absent | Ownership::Foreign => None,
    }
}

/// The pods of the Job, whether or not their DaemonSet is there.
fn pods<'o>(observation: &'o Observation<'_>) -> impl Iterator<Item = &'o PodView> {
    let daemon_set = daemon_set(observation).and_then(|it| it.metadata.uid.as_ref());
    let is_own = move |pod: &&PodView| {
        let owner = pod.daemon_set().map(|owner| &owner.uid);
        views::annotation(&pod.metadata, labels::ANNOTATION_JOB_UID) == Some(observation.job.uid)
            || owner.is_some() && owner == daemon_set
    };
    observation.pods.iter().map(AsRef::as_ref).filter(is_own)
}

fn is_leaving(pod: &PodView) -> bool {
    pod.metadata.deletion_timestamp.is_some()
}

fn set(status: &mut JobStatus, observation: &Observation<'_>, reason: Reason, message: &str) {
    let generation = observation.job.metadata.generation;
    let message = message.to_owned();
    let condition = conditions::condition(reason, message, generation, observation.now);
    conditions::set(&mut status.conditions, condition);
}

fn uid(daemon_set: &DaemonSetView) -> String {
    daemon_set.metadata.uid.clone().unwrap_or_default()
}
