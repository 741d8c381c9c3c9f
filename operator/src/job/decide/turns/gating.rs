//! Whether the nodes of a Job take turns at all.

use api::{
    job::{JobSpec, conditions::Reason},
    views::DaemonSetView,
};

use super::waiting::Hold;
use crate::job::decide::{
    comparison::Comparison, daemon_set::Gating, job_view::JobView, observation::Observation,
};

/// The gating of a DaemonSet that is created for `job`, or gets its new work.
///
/// Where nodes are done already, nobody but the operator knows on which of them a pod must not run again.
pub(crate) fn of_new(job: &JobView<'_>) -> Gating {
    let completed = job.status_of_work().and_then(|status| status.completed_nodes.as_ref());
    let has_completed = completed.is_some_and(|nodes| !nodes.is_empty());
    if job.spec.takes_turns() || has_completed { Gating::Turn } else { Gating::None }
}

/// The gating of `daemon_set`, which is the Job's own: it stays while the work does.
///
/// Whoever edits the DaemonSet changes nothing about that.
pub(crate) fn of_existing(observation: &Observation<'_>, daemon_set: &DaemonSetView) -> Gating {
    let job = &observation.job;
    let status = job.status_of_work();
    if status.is_some_and(|status| status.started_nodes.is_some()) {
        return Gating::Turn;
    }
    let written = observation.applied.as_ref().filter(|applied| applied.desired == job.desired);
    if let Some(applied) = written {
        return applied.gating;
    }
    // The API server has refused the work so far; or nobody knows who wrote the DaemonSet, and for what.
    let may_be_new = daemon_set.work_hash() != Some(&job.work_hash)
        || status.is_none() && observation.compare(daemon_set) == Comparison::Unknown;
    match Gating::of(daemon_set) {
        Gating::None if may_be_new => of_new(job),
        gating => gating,
    }
}

/// Says that fields of `spec` do not count, for a Job whose nodes take no turns.
pub(crate) fn not_counting(spec: &JobSpec) -> Option<Hold> {
    let fields = [
        (spec.parallelism.is_some(), "parallelism"),
        (spec.min_ready_seconds.is_some(), "minReadySeconds"),
        (!spec.order.is_empty(), "order"),
        (!spec.windows.is_empty(), "windows"),
    ];
    let (_, field) = fields.into_iter().find(|(is_set, _)| *is_set)?;
    let message = format!(
        "spec.{field} was set after the work had started; it counts once the work is changed, or the Job is \
         suspended and resumed"
    );
    Some(Hold::new(Reason::NotGated, message))
}
