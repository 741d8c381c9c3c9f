//! Makes decisions about Jobs: pure functions of an observation.
//!
//! ```text
//! Observation ─→ nodes ─→ progress ─→ failures, deadline ─→ status ─→ events ─→ Actions
//! ```

pub(crate) mod actions;
pub(crate) mod daemon_set;
mod deadline;
pub(crate) mod events;
mod failures;
pub(crate) mod nodes;
pub(crate) mod observation;
mod outcome;
pub(crate) mod progress;
pub(crate) mod status;
pub(crate) mod tally;
#[cfg(test)]
mod tests;
pub(crate) mod transition;

use api::{
    job::{
        JobStatus,
        conditions::{self, Reason},
        validation,
    },
    views::DaemonSetView,
};

use self::{
    actions::{Actions, Decision},
    daemon_set::DaemonSetAction,
    deadline::{time_left, until},
    events::events,
    observation::{Observation, Ownership, Source},
    progress::{FIRST_CHECK, Progress, progress},
};

/// Decides about the observed Job.
pub(crate) fn decide(observation: &Observation<'_>) -> Decision {
    let Observation { job, now, .. } = observation;
    // A Job that is being deleted needs nothing: garbage collection removes what it has created.
    if job.metadata.deletion_timestamp.is_some() {
        return Decision::Nothing;
    }
    let base = status::base(job, *now);
    let ownership = observation.ownership();
    // A finished Job loses its DaemonSet, now that the status that says so is known to be stored.
    if conditions::finished(&base.conditions).is_some() {
        let action = match ownership {
            Ownership::Own(daemon_set) => DaemonSetAction::Delete(uid(daemon_set)),
            _ => DaemonSetAction::Keep,
        };
        return act(observation, action, base);
    }
    // An invalid edit creates and stops nothing, and the results stay for when it is fixed.
    if let Err(invalid) = validation::validate(job.spec) {
        let kept = status::kept(job, *now);
        return blocked(observation, kept, Reason::InvalidSpec, invalid.to_string());
    }
    let daemon_set = match ownership {
        Ownership::Own(daemon_set) => return decide_running(observation, base, daemon_set),
        Ownership::Foreign => {
            let message =
                format!("DaemonSet {:?} exists and does not belong to this Job", job.daemon_set);
            return blocked(observation, base, Reason::NameConflict, message);
        }
        Ownership::Leaving => DaemonSetAction::Keep,
        Ownership::Absent => DaemonSetAction::Create,
    };
    // A Job whose DaemonSet the API server refuses is not late: the refusal stays until it is fixed.
    let end = deadline::exceeded(observation, &base, &Progress::default());
    if let Some((reason, message)) = end.filter(|_| !is_refused(&base)) {
        return finish(observation, base, Progress::default(), reason, message);
    }
    // A cache that has not seen the DaemonSet yet must not lead to a second one: the name may
    // be that of an earlier Job's DaemonSet, which an apply would take over.
    if daemon_set == DaemonSetAction::Create && observation.source == Source::Caches {
        return Decision::ObserveLive;
    }
    // There is no pod, and the results of earlier ones stay.
    let progress = Progress {
        completed_nodes: base.completed_nodes.clone().unwrap_or_default(),
        failed_nodes: base.failed_nodes.clone().unwrap_or_default(),
        ..Progress::default()
    };
    act(observation, daemon_set, status::running(base, progress))
}

/// Decides about a Job that has its DaemonSet.
fn decide_running(
    observation: &Observation<'_>,
    base: JobStatus,
    daemon_set: &DaemonSetView,
) -> Decision {
    let mut progress = progress(observation, daemon_set);
    if daemon_set.work_hash() != Some(&observation.job.work_hash) {
        let action = DaemonSetAction::Update(uid(daemon_set));
        return act(observation, action, status::running(base, progress));
    }
    let end = failures::exceeded(observation, &progress)
        .or_else(|| progress.end())
        .or_else(|| deadline::exceeded(observation, &base, &progress));
    if let Some((reason, message)) = end {
        return finish(observation, base, progress, reason, message);
    }
    let tallies = std::mem::take(&mut progress.tallies);
    let fails_after = progress.fails_at.map(|at| until(at, observation.now));
    let check_after = progress.lacks_pods().then_some(FIRST_CHECK);
    let missing_pods = progress.missing_pods(observation, daemon_set);
    let mut actions = actions(observation, DaemonSetAction::Keep, status::running(base, progress));
    actions.tallies = tallies;
    actions.missing_pods = missing_pods;
    let times = [fails_after, check_after, actions.requeue_after];
    actions.requeue_after = times.into_iter().flatten().min();
    Decision::Act(Box::new(actions))
}

/// Finishes the Job, unless the caches are mistaken.
///
/// They lag, each on its own, so that the pods may be from before the nodes that the DaemonSet's status has
/// counted. The DaemonSet stays until the status is known to be stored: a status that is lost must not take
/// results along.
fn finish(
    observation: &Observation<'_>,
    base: JobStatus,
    progress: Progress,
    reason: Reason,
    message: String,
) -> Decision {
    if observation.source == Source::Caches {
        return Decision::ObserveLive;
    }
    let status = status::finished(base, progress, reason, message, observation.now);
    act(observation, DaemonSetAction::Keep, status)
}

/// Decides about a Job whose DaemonSet the API server or the policy refuses.
pub(crate) fn refused(observation: &Observation<'_>, message: &str) -> Box<Actions> {
    let base = status::base(&observation.job, observation.now);
    let (reason, message) = (Reason::InvalidSpec, message.to_owned());
    let status = status::blocked(base, reason, message, observation.now);
    Box::new(actions(observation, DaemonSetAction::Keep, status))
}

fn blocked(
    observation: &Observation<'_>,
    base: JobStatus,
    reason: Reason,
    message: String,
) -> Decision {
    let status = status::blocked(base, reason, message, observation.now);
    act(observation, DaemonSetAction::Keep, status)
}

fn act(observation: &Observation<'_>, daemon_set: DaemonSetAction, status: JobStatus) -> Decision {
    Decision::Act(Box::new(actions(observation, daemon_set, status)))
}

fn actions(
    observation: &Observation<'_>,
    daemon_set: DaemonSetAction,
    status: JobStatus,
) -> Actions {
    let is_finished = conditions::finished(&status.conditions).is_some();
    Actions {
        events: events(&observation.job, &daemon_set, &status),
        requeue_after: time_left(observation, &status).filter(|_| !is_finished),
        daemon_set,
        tallies: Vec::new(),
        status,
        missing_pods: None,
    }
}

/// Whether the API server, or the policy, has refused the Job.
fn is_refused(status: &JobStatus) -> bool {
    conditions::find_true(&status.conditions, conditions::FAILED)
        .is_some_and(|condition| Reason::of(condition) == Some(Reason::InvalidSpec))
}

fn uid(daemon_set: &DaemonSetView) -> String {
    daemon_set.metadata.uid.clone().unwrap_or_default()
}
