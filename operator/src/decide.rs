//! What an observation of a Job means: a pure function.

use std::time::Duration;

use api::{
    conditions::{self, Reason},
    names,
    v1beta1::{Job, JobStatus, NodeStatus},
    validation,
    views::DaemonSetView,
    work,
};
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;

use self::notes::notes;
use crate::{
    events::Note,
    observed::{Observed, Ownership, Source, ownership},
    progress::{Progress, progress},
    status,
    tally::PodTally,
};

/// A DaemonSet of which no pod was created for this long, though it lacks some, may have been refused them, of
/// which no watch of ours tells.
const REFUSAL: Duration = Duration::from_secs(5);
/// The longest time between two times that one is asked why: the API server looks through all events of the
/// namespace for the answer.
pub(crate) const LONGEST_REFUSAL: Duration = Duration::from_mins(1);
/// Nodes that a message names.
const NAMED_NODES: usize = 5;

/// What is to be done about a Job.
#[derive(Clone, Debug, PartialEq)]
pub enum Decision {
    /// The caches call for something that cannot be taken back: observe [`Source::Live`] and decide
    /// again.
    ObserveLive,
    /// Do this.
    Act(Box<Act>),
    /// Nothing: the Job is going away.
    Nothing,
}

/// What is to be done, in this order, so that an interruption at any point is made up for by the
/// next reconciliation.
#[derive(Clone, Debug, PartialEq)]
pub struct Act {
    /// First the DaemonSet,
    pub daemon_set: DaemonSetAction,
    /// then what pods are to say of their runs, while it is to be seen,
    pub tallies: Vec<PodTally>,
    /// then events,
    pub notes: Vec<Note>,
    /// then the status, which makes them things of the past.
    pub status: JobStatus,
    /// When to decide again, should nothing happen before.
    pub again_after: Option<Duration>,
    /// Set if the DaemonSet has lacked pods for long: they may have been refused.
    pub lacks_pods: Option<LackingPods>,
}

/// A DaemonSet that lacks pods.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LackingPods {
    /// Its UID.
    pub daemon_set: String,
    /// How often it is worth to ask why: the less often the longer it has lasted.
    pub ask_every: Duration,
}

/// What is to be done about the DaemonSet.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum DaemonSetAction {
    /// Leave it as it is.
    Keep,
    /// Create it.
    Create,
    /// Give the one with this UID the work that the Job has now.
    Update(String),
    /// Delete the one with this UID: the Job is finished.
    Delete(String),
}

/// Decides what is to be done about the observed Job.
#[must_use]
pub fn decide(observed: &Observed<'_>) -> Decision {
    let Observed { job, now, .. } = *observed;
    if job.metadata.deletion_timestamp.is_some() {
        return Decision::Nothing;
    }
    let base = status::base(job, now);
    let ownership = ownership(job, observed.daemon_set);
    if conditions::finished(&base.conditions).is_some() {
        let action = match ownership {
            Ownership::Own(daemon_set) => DaemonSetAction::Delete(uid(daemon_set)),
            _ => DaemonSetAction::Keep,
        };
        return act(job, action, base, now);
    }
    if let Err(invalid) = validation::validate(&job.spec) {
        // What already runs goes on, and what it has come to is kept: the edit may be mended.
        let kept = status::kept(job, now);
        return blocked(observed, kept, Reason::InvalidSpec, invalid.to_string());
    }
    match ownership {
        Ownership::Own(daemon_set) => running(observed, base, daemon_set),
        Ownership::Foreign => {
            let name = names::daemon_set(&job.name_any());
            let message = format!("DaemonSet {name:?} exists and does not belong to this Job");
            blocked(observed, base, Reason::NameConflict, message)
        }
        // What the API server has refused cannot be late: its refusal stays until it is mended.
        Ownership::Absent | Ownership::Leaving
            if is_overdue(job, &base, now) && !is_refused(&base) =>
        {
            exceeded(observed, base, Progress::default())
        }
        Ownership::Leaving => waiting(job, DaemonSetAction::Keep, base, now),
        // A cache that has not seen the DaemonSet yet must not lead to a second one: the name may
        // be that of an earlier Job's DaemonSet, which an apply would take over.
        Ownership::Absent if observed.source == Source::Caches => Decision::ObserveLive,
        Ownership::Absent => waiting(job, DaemonSetAction::Create, base, now),
    }
}

/// The Job has its DaemonSet.
fn running(observed: &Observed<'_>, base: JobStatus, daemon_set: &DaemonSetView) -> Decision {
    let Observed { job, pods, nodes, source, now, .. } = *observed;
    let mut progress = progress(&job.spec, &base, daemon_set, pods, nodes, source, now);
    let tallies = std::mem::take(&mut progress.tallies);
    let fails_at = progress.fails_at;
    let lacks_pods = lacks_pods(&progress);
    if daemon_set.work_hash() != Some(&work::hash(&job.spec)) {
        let action = DaemonSetAction::Update(uid(daemon_set));
        return act(job, action, status::running(base, progress), now);
    }
    let bears = job.spec.max_failed_nodes.unwrap_or(i32::MAX);
    if progress.failed > bears {
        let message = format!(
            "{} failed, more than the {bears} of spec.maxFailedNodes: {}",
            if progress.failed == 1 {
                "1 node".to_owned()
            } else {
                format!("{} nodes", progress.failed)
            },
            failed_nodes(&progress)
        );
        return finish(observed, base, progress, Reason::MaxFailedNodesExceeded, message);
    }
    if progress.has_ended {
        let (reason, message) = outcome(&progress);
        return finish(observed, base, progress, reason, message);
    }
    if is_overdue(job, &base, now) {
        return exceeded(observed, base, progress);
    }
    let mut decision = act(job, DaemonSetAction::Keep, status::running(base, progress), now);
    if let Decision::Act(act) = &mut decision {
        let times = [fails_at.map(|at| until(at, now)), lacks_pods.then_some(REFUSAL)];
        act.tallies = tallies;
        act.again_after = times.into_iter().flatten().chain(act.again_after).min();
        let lasted = lacks_pods.then(|| lacking_for(observed, daemon_set)).flatten();
        act.lacks_pods = lasted.map(|lasted| {
            let ask_every = (lasted / 2).clamp(REFUSAL, LONGEST_REFUSAL);
            LackingPods { daemon_set: uid(daemon_set), ask_every }
        });
    }
    decision
}

/// How long ago the latest pod was created of a DaemonSet that lacks some, or else the DaemonSet itself, if that
/// is too long ago for more to be on their way.
fn lacking_for(observed: &Observed<'_>, daemon_set: &DaemonSetView) -> Option<Duration> {
    let of_pods = observed.pods.iter().map(|pod| &pod.metadata.creation_timestamp);
    let latest = of_pods.chain([&daemon_set.metadata.creation_timestamp]).flatten().max()?;
    // None when the clocks differ.
    let lasted = Duration::try_from(observed.now.duration_since(latest.0)).ok()?;
    Some(lasted).filter(|lasted| *lasted >= REFUSAL)
}

/// Whether pods are wanted that are not there.
fn lacks_pods(progress: &Progress) -> bool {
    progress.active + progress.succeeded + progress.failed < progress.desired
}

/// How a Job went whose nodes have all ended.
fn outcome(progress: &Progress) -> (Reason, String) {
    let Progress { desired, succeeded, failed, .. } = *progress;
    if failed > 0 {
        let failed_nodes = failed_nodes(progress);
        let message = format!("done on {succeeded} of {desired} nodes, failed on: {failed_nodes}");
        return (Reason::NodesFailed, message);
    }
    if desired == 0 {
        return (Reason::NoMatchingNodes, "no node matches, so there is nothing to do".to_owned());
    }
    (Reason::Completed, format!("done on {succeeded} of {desired} nodes"))
}

/// The Job is finished, unless the caches are mistaken: they lag, each on its own, so that the pods
/// may be from before the nodes that the DaemonSet's status has counted.
fn finish(
    observed: &Observed<'_>,
    base: JobStatus,
    progress: Progress,
    reason: Reason,
    message: String,
) -> Decision {
    if observed.source == Source::Caches {
        return Decision::ObserveLive;
    }
    let Observed { job, now, .. } = *observed;
    // Its DaemonSet is deleted when that is known: a status that is lost must not take results along.
    let status = status::finished(base, progress, reason, message, now);
    act(job, DaemonSetAction::Keep, status, now)
}

fn exceeded(observed: &Observed<'_>, base: JobStatus, progress: Progress) -> Decision {
    let seconds = observed.job.spec.active_deadline_seconds.unwrap_or_default();
    let unfinished = named(&progress.nodes, progress.unfinished);
    let nodes =
        if unfinished.is_empty() { String::new() } else { format!("; not done: {unfinished}") };
    let message = format!("not done within the {seconds} s of spec.activeDeadlineSeconds{nodes}");
    finish(observed, base, progress, Reason::DeadlineExceeded, message)
}

/// The Job's status when its DaemonSet is refused, by the API server or by the policy, with `message`.
#[must_use]
pub fn refused(observed: &Observed<'_>, message: &str) -> Decision {
    let base = status::base(observed.job, observed.now);
    blocked(observed, base, Reason::InvalidSpec, message.to_owned())
}

fn blocked(observed: &Observed<'_>, base: JobStatus, reason: Reason, message: String) -> Decision {
    let Observed { job, now, .. } = *observed;
    act(job, DaemonSetAction::Keep, status::blocked(base, reason, message, now), now)
}

/// The Job has no pod, and keeps what it has come to before.
fn waiting(job: &Job, action: DaemonSetAction, base: JobStatus, now: Timestamp) -> Decision {
    let progress = Progress {
        completed_nodes: base.completed_nodes.clone().unwrap_or_default(),
        failed_nodes: base.failed_nodes.clone().unwrap_or_default(),
        ..Progress::default()
    };
    act(job, action, status::running(base, progress), now)
}

fn act(job: &Job, daemon_set: DaemonSetAction, status: JobStatus, now: Timestamp) -> Decision {
    let notes = notes(job, &daemon_set, &status);
    let is_finished = conditions::finished(&status.conditions).is_some();
    let again_after = deadline(job, &status)
        // One that has passed woke whoever it concerns.
        .filter(|deadline| !is_finished && *deadline > now)
        .map(|deadline| until(deadline, now));
    let (tallies, lacks_pods) = (Vec::new(), None);
    Decision::Act(Box::new(Act { daemon_set, tallies, notes, status, again_after, lacks_pods }))
}

fn until(time: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(time.duration_since(now)).unwrap_or_default()
}

/// The time by which a Job must be done.
fn deadline(job: &Job, status: &JobStatus) -> Option<Timestamp> {
    let seconds = job.spec.active_deadline_seconds?;
    let start = status.start_time.as_ref()?.0;
    // Beyond the end of the calendar there is no deadline.
    start.checked_add(k8s_openapi::jiff::SignedDuration::from_secs(seconds)).ok()
}

fn is_overdue(job: &Job, status: &JobStatus, now: Timestamp) -> bool {
    deadline(job, status).is_some_and(|deadline| deadline <= now)
}

fn is_refused(status: &JobStatus) -> bool {
    conditions::find_true(&status.conditions, conditions::FAILED)
        .is_some_and(|condition| condition.reason == Reason::InvalidSpec.as_str())
}

fn uid(daemon_set: &DaemonSetView) -> String {
    daemon_set.metadata.uid.clone().unwrap_or_default()
}

/// The names of the first few nodes that have failed, which are the first of all.
fn failed_nodes(progress: &Progress) -> String {
    named(&progress.nodes, usize::try_from(progress.failed).unwrap_or_default())
}

/// The names of the first few of so many nodes.
fn named(nodes: &[NodeStatus], count: usize) -> String {
    let names = nodes.iter().take(count.min(NAMED_NODES)).map(|node| node.name.as_str());
    let shown = names.collect::<Vec<_>>().join(", ");
    match count.saturating_sub(NAMED_NODES) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

#[cfg(test)]
mod histories;
mod notes;
#[cfg(test)]
mod tests;
