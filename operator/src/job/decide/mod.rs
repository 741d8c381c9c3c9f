//! Makes decisions about Jobs: pure functions of an observation.
//!
//! ```text
//! Observation ─→ nodes ─→ progress, turns ─→ deadline ─→ status ─→ events ─→ Actions
//! ```

pub(crate) mod actions;
pub(crate) mod applied;
mod comparison;
pub(crate) mod completion_policy;
pub(crate) mod daemon_set;
mod deadline;
pub(crate) mod events;
mod gitops;
mod gone_nodes;
pub(crate) mod job_view;
mod names;
pub(crate) mod nodes;
pub(crate) mod observation;
mod outcome;
mod pods_by_node;
pub(crate) mod progress;
pub(crate) mod status;
mod summary;
pub(crate) mod suspension;
pub(crate) mod tally;
#[cfg(test)]
mod tests;
pub(crate) mod transition;
pub(crate) mod turns;
pub(crate) mod worst_nodes;

pub(crate) use outcome::{explain, is_done};

use std::time::Duration;

use api::{
    job::{
        JobStatus,
        conditions::{self, Reason},
        validation,
    },
    views::DaemonSetView,
};
use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Condition, jiff::Timestamp};

use self::{
    actions::{Actions, Decision},
    comparison::Comparison,
    daemon_set::{DaemonSetAction, Gating},
    deadline::{time_left, until},
    events::{cause, events},
    observation::{Observation, Ownership, Source},
    progress::{EVENTS_INTERVAL, FIRST_CHECK, Progress, progress},
    summary::summed_up,
    suspension::Step,
    turns::{Turns, gating},
};

/// Shortest time between two attempts to write a DaemonSet that was refused.
const SHORTEST_RETRY_INTERVAL: Duration = Duration::from_secs(1);
/// Longest time between two such attempts.
const LONGEST_RETRY_INTERVAL: Duration = Duration::from_mins(1);

/// Time until the operator looks at a DaemonSet that it may have had no need to change.
///
/// No watch shows that.
const LEARNED_AFTER: Duration = Duration::from_millis(50);

/// Decides about the observed Job.
pub(crate) fn decide(observation: &Observation<'_>) -> Decision {
    let Observation { job, now, .. } = observation;
    // A Job that is being deleted needs nothing: garbage collection removes what it has created.
    if job.metadata.deletion_timestamp.is_some() {
        return Decision::Nothing;
    }
    let base = completion_policy::reopened(job.spec, status::base(job, *now));
    if let Some(step) = suspension::step(observation, &base) {
        return take(observation, step);
    }
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
        Ownership::Absent => DaemonSetAction::Create(gating::of_new(job)),
    };
    // There is no pod, and the results of earlier ones stay.
    let progress = Progress {
        completed_nodes: base.completed_nodes.clone().unwrap_or_default(),
        failed_nodes: base.failed_nodes.clone().unwrap_or_default(),
        failed_runs: base.failed_runs.clone().unwrap_or_default(),
        ..Progress::default()
    };
    let end = deadline::exceeded(observation, &base, &progress);
    if let Some((reason, mut message)) = end.filter(|_| !deadline::is_refused(&base)) {
        if let Some(refused) = conditions::find_true(&base.conditions, conditions::FAILED) {
            message += &format!("; {}", refused.message);
        }
        return finish(observation, base, progress, reason, message);
    }
    // A cache that has not seen the DaemonSet yet must not lead to a second one: the name may
    // be that of an earlier Job's DaemonSet, which an apply would take over.
    let DaemonSetAction::Create(gating) = daemon_set else {
        return act(observation, daemon_set, status::running(base, progress));
    };
    if observation.source == Source::Caches {
        return Decision::ObserveLive;
    }
    act(observation, daemon_set, status::gated(status::running(base, progress), gating))
}

/// Decides about a Job that has its DaemonSet.
fn decide_running(
    observation: &Observation<'_>,
    base: JobStatus,
    daemon_set: &DaemonSetView,
) -> Decision {
    // Until the watch shows the operator's own last write there is nothing to write.
    let comparison = observation.compare(daemon_set);
    let is_new_work = observation.job.status_of_work().is_none();
    let has_other_work = daemon_set.work_hash() != Some(&observation.job.work_hash);
    if has_other_work && is_new_work && comparison != Comparison::Outdated {
        let gating = gating::of_new(&observation.job);
        let progress = progress(observation, daemon_set, Gating::None);
        let status = status::gated(status::running(base, progress), gating);
        return act(observation, DaemonSetAction::Update(uid(daemon_set), gating), status);
    }
    let gating = gating::of_existing(observation, daemon_set);
    // Which pods do the work is not known before the DaemonSet is known to be as it was written.
    if comparison == Comparison::Unknown {
        let status = match base.phase {
            Some(_) => base,
            None => status::gated(status::running(base, Progress::default()), gating),
        };
        let action = DaemonSetAction::Restore(uid(daemon_set), gating);
        let mut actions = actions(observation, action, status);
        actions.requeue_after = Some(LEARNED_AFTER);
        return Decision::Act(Box::new(actions));
    }
    if observation.needs_live_revision() {
        return Decision::ObserveLive;
    }
    let base = status::edited(base, observation.applied.as_ref(), observation.now);
    let mut progress = progress(observation, daemon_set, gating);
    if completion_policy::needs_live(observation, &progress)
        || progress.turns.as_ref().is_some_and(|turns| turns.needs_live)
    {
        return Decision::ObserveLive;
    }
    completion_policy::drop_gone_nodes(observation, &mut progress);
    let end = progress
        .end(observation.job.spec.max_failed_nodes)
        .filter(|(reason, _)| completion_policy::ends(observation.job.spec, *reason))
        .or_else(|| deadline::exceeded(observation, &base, &progress));
    if let Some((reason, message)) = end {
        return finish(observation, base, progress, reason, message);
    }
    let base = completion_policy::assessed(observation, &progress, base);
    let action = restore(observation, daemon_set, comparison, gating);
    go_on(observation, base, progress, daemon_set, action)
}

/// Decides about a Job that has its DaemonSet, and neither ends nor begins.
///
/// Whether to put the DaemonSet back, and when, is decided.
fn go_on(
    observation: &Observation<'_>,
    base: JobStatus,
    mut progress: Progress,
    daemon_set: &DaemonSetView,
    (action, restore_after): (DaemonSetAction, Option<Duration>),
) -> Decision {
    let after = |at| until(at, observation.now);
    let tallies = std::mem::take(&mut progress.tallies);
    let fails_after = progress.fails_at.map(after);
    let check_after = progress.lacks_pods().then_some(FIRST_CHECK);
    let missing_pods = progress.missing_pods(observation, daemon_set);
    let stuck_pods = std::mem::take(&mut progress.stuck_pods);
    let stuck_after = match progress.stuck_at {
        None if stuck_pods.is_empty() => None,
        None => Some(EVENTS_INTERVAL),
        Some(at) => Some(after(at)),
    };
    let is_urgent = progress.has_results_of_leaving_pods;
    let turns = progress.turns.take();
    let turn_after = turns.as_ref().and_then(|turns| turns.look_at).map(after);
    let status = turned(observation, status::running(base, progress), turns.as_ref());
    let mut actions = actions(observation, action, status);
    actions.releases = turns.map_or_else(Vec::new, |turns| turns.releases);
    actions.is_urgent = is_urgent;
    actions.tallies = tallies;
    actions.missing_pods = missing_pods;
    actions.stuck_pods = stuck_pods;
    let times =
        [fails_after, check_after, restore_after, stuck_after, turn_after, actions.requeue_after];
    actions.requeue_after = times.into_iter().flatten().min();
    Decision::Act(Box::new(actions))
}

/// `status` with the turns of the Job's nodes, if they take turns.
fn turned(observation: &Observation<'_>, status: JobStatus, turns: Option<&Turns>) -> JobStatus {
    let Some(turns) = turns else {
        let hold = gating::not_counting(observation.job.spec);
        let status = status::gated(status, Gating::None);
        return status::waiting(status, hold.as_ref(), observation.now);
    };
    let status = status::with_turns(status, turns);
    status::waiting(status, turns.hold.as_ref(), observation.now)
}

/// Puts `daemon_set` back, or says when to do so.
///
/// Somebody who edits it again and again is answered less and less often.
fn restore(
    observation: &Observation<'_>,
    daemon_set: &DaemonSetView,
    comparison: Comparison,
    gating: Gating,
) -> (DaemonSetAction, Option<Duration>) {
    let Some(applied) = &observation.applied else {
        return (DaemonSetAction::Keep, None);
    };
    let is_edited = comparison == Comparison::Edited
        || comparison == Comparison::AsWritten && applied.differs.is_some();
    match applied.rest {
        // The edit is over in the sight of the user when nobody has repeated it for a while.
        _ if !is_edited => (DaemonSetAction::Keep, applied.edited_for),
        Duration::ZERO => (DaemonSetAction::Restore(uid(daemon_set), gating), Some(LEARNED_AFTER)),
        rest => (DaemonSetAction::Keep, Some(rest)),
    }
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
pub(crate) fn refused(
    observation: &Observation<'_>,
    reason: Reason,
    message: String,
) -> Box<Actions> {
    let base = status::base(&observation.job, observation.now);
    let known = conditions::find_true(&base.conditions, conditions::FAILED);
    // Details that change, such as a number, are no news, and would be written again and again.
    let is_known = |known: &&Condition| {
        Reason::of(known) == Some(reason) && cause(&known.message) == cause(&message)
    };
    let message = known.filter(is_known).map_or(message, |known| known.message.clone());
    let status = status::blocked(base, reason, message, observation.now);
    let retry = conditions::find_true(&status.conditions, conditions::FAILED)
        .filter(|_| reason == Reason::DaemonSetRefused)
        .map(|condition| retry_interval(condition, observation.now));
    let mut actions = actions(observation, DaemonSetAction::Keep, status);
    actions.requeue_after = actions.requeue_after.into_iter().chain(retry).min();
    Box::new(actions)
}

/// Time between two attempts to write a DaemonSet that was refused: half of how long that has lasted.
pub(crate) fn retry_interval(refused: &Condition, now: Timestamp) -> Duration {
    let lasted = now.duration_since(refused.last_transition_time.0);
    let half = Duration::try_from(lasted / 2).unwrap_or_default();
    half.clamp(SHORTEST_RETRY_INTERVAL, LONGEST_RETRY_INTERVAL)
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

/// Takes a step of a suspension or a resumption.
fn take(observation: &Observation<'_>, step: Step) -> Decision {
    let Step::Act(daemon_set, status, look_again) = step else {
        return Decision::ObserveLive;
    };
    let mut actions = actions(observation, daemon_set, *status);
    actions.requeue_after = actions.requeue_after.into_iter().chain(look_again).min();
    Decision::Act(Box::new(actions))
}

fn act(observation: &Observation<'_>, daemon_set: DaemonSetAction, status: JobStatus) -> Decision {
    Decision::Act(Box::new(actions(observation, daemon_set, status)))
}

fn actions(
    observation: &Observation<'_>,
    daemon_set: DaemonSetAction,
    status: JobStatus,
) -> Actions {
    let status = completion_policy::settled(observation, status);
    let known = observation.job.status.map_or(&[][..], |status| &status.conditions);
    let status = summed_up(status, known, observation.now);
    let is_finished = conditions::finished(&status.conditions).is_some();
    let mut events = events(observation, &daemon_set, &status);
    events.extend(gitops::warning(observation, &status));
    Actions {
        events,
        requeue_after: time_left(observation, &status).filter(|_| !is_finished),
        daemon_set,
        tallies: Vec::new(),
        status,
        releases: Vec::new(),
        missing_pods: None,
        stuck_pods: Vec::new(),
        is_urgent: false,
    }
}

fn uid(daemon_set: &DaemonSetView) -> String {
    daemon_set.metadata.uid.clone().unwrap_or_default()
}
