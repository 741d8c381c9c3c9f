//! What an observation of a Job means: a pure function.

use api::{
    conditions::{self, Reason},
    names,
    v1beta1::{Job, JobStatus, Phase},
    validation, work,
};
use kube::ResourceExt;

use crate::{
    events::Note,
    observed::{Observed, Ownership, Source, ownership},
    progress::{Progress, progress},
    status,
};

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
    /// then events,
    pub notes: Vec<Note>,
    /// then the status, which makes them things of the past.
    pub status: JobStatus,
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
    if let Err(invalid) = validation::validate(&job.spec) {
        // What already runs goes on: the edit may be mended, and nothing is lost by then.
        return blocked(
            job,
            base,
            Reason::InvalidSpec,
            invalid.to_string(),
            observed,
        );
    }
    let is_finished = conditions::find_true(&base.conditions, conditions::COMPLETE).is_some();
    match ownership(job, observed.daemon_set) {
        Ownership::Foreign => {
            let name = names::daemon_set(&job.name_any());
            let message = format!("DaemonSet {name:?} exists and does not belong to this Job");
            blocked(job, base, Reason::NameConflict, message, observed)
        }
        Ownership::Own(daemon_set) if is_finished => act(
            DaemonSetAction::Delete(daemon_set.metadata.uid.clone().unwrap_or_default()),
            base,
            job,
        ),
        Ownership::Absent | Ownership::Leaving if is_finished => {
            act(DaemonSetAction::Keep, base, job)
        }
        Ownership::Leaving => act(
            DaemonSetAction::Keep,
            status::running(base, Progress::default()),
            job,
        ),
        // A cache that has not seen the DaemonSet yet must not lead to a second one: the name may
        // be that of an earlier Job's DaemonSet, which an apply would take over.
        Ownership::Absent if observed.source == Source::Caches => Decision::ObserveLive,
        Ownership::Absent => act(
            DaemonSetAction::Create,
            status::running(base, Progress::default()),
            job,
        ),
        Ownership::Own(daemon_set) => {
            let work_hash = work::hash(&job.spec);
            let progress = progress(daemon_set, &work_hash, observed.pods);
            if daemon_set.work_hash() != Some(&work_hash) {
                let uid = daemon_set.metadata.uid.clone().unwrap_or_default();
                return act(
                    DaemonSetAction::Update(uid),
                    status::running(base, progress),
                    job,
                );
            }
            if !progress.is_complete {
                return act(DaemonSetAction::Keep, status::running(base, progress), job);
            }
            // Caches lag each on its own: the pods may be from before the nodes that the
            // DaemonSet's status has counted.
            if observed.source == Source::Caches {
                return Decision::ObserveLive;
            }
            let (reason, message) = if progress.desired == 0 {
                (
                    Reason::NoMatchingNodes,
                    "no node matches, so there was nothing to do".to_owned(),
                )
            } else {
                (
                    Reason::Completed,
                    format!(
                        "done on {} of {} nodes",
                        progress.succeeded, progress.desired
                    ),
                )
            };
            act(
                DaemonSetAction::Keep,
                status::complete(base, progress, reason, message, now),
                job,
            )
        }
    }
}

/// The Job's status when the API server has refused its DaemonSet with `message`.
#[must_use]
pub fn refused(observed: &Observed<'_>, message: &str) -> Decision {
    let base = status::base(observed.job, observed.now);
    let message = format!("the API server refuses the DaemonSet: {message}");
    blocked(observed.job, base, Reason::InvalidSpec, message, observed)
}

fn blocked(
    job: &Job,
    base: JobStatus,
    reason: Reason,
    message: String,
    observed: &Observed<'_>,
) -> Decision {
    act(
        DaemonSetAction::Keep,
        status::blocked(base, reason, message, observed.now),
        job,
    )
}

fn act(daemon_set: DaemonSetAction, status: JobStatus, job: &Job) -> Decision {
    let notes = notes(job, &daemon_set, &status);
    Decision::Act(Box::new(Act {
        daemon_set,
        notes,
        status,
    }))
}

/// What is worth an event when this is done about the DaemonSet and the status of `job` becomes
/// `next`. What was done, and then interrupted before the status was written, is noted now.
fn notes(job: &Job, daemon_set: &DaemonSetAction, next: &JobStatus) -> Vec<Note> {
    let current = job.status.as_ref();
    let known_work = current.and_then(|status| status.work_hash.as_ref());
    let was_interrupted =
        *daemon_set == DaemonSetAction::Keep && next.phase == Some(Phase::Running);
    let mut notes = Vec::new();
    match daemon_set {
        DaemonSetAction::Create => notes.push(Note::created(&names::daemon_set(&job.name_any()))),
        DaemonSetAction::Update(_) => notes.push(Note::restarted()),
        _ if was_interrupted && known_work.is_none() => {
            notes.push(Note::created(&names::daemon_set(&job.name_any())));
        }
        _ if was_interrupted && known_work != next.work_hash.as_ref() => {
            notes.push(Note::restarted())
        }
        _ => {}
    }
    for condition in &next.conditions {
        let is_known = current.is_some_and(|status| {
            conditions::find_true(&status.conditions, &condition.type_).is_some_and(|known| {
                known.reason == condition.reason && known.message == condition.message
            })
        });
        if !is_known {
            notes.push(Note::condition(condition));
        }
    }
    notes
}

#[cfg(test)]
mod histories;
#[cfg(test)]
mod tests;
