//! Logs and counts changes of the status of a Job.

use std::time::{Duration, Instant};

use api::job::{JobStatus, conditions::Reason};
use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Condition, jiff::Timestamp};
use tracing::{debug, info, warn};

use super::decide::{
    actions::Release,
    observation::Observation,
    transition::{Transition, transition},
};
use crate::metrics::{Metrics, last_end};

/// Measures a look at the observed Job that began at `started`, and whose decision was `status`.
pub(super) fn looked(
    metrics: &Metrics,
    observation: &Observation<'_>,
    status: &JobStatus,
    started: Instant,
) {
    let job = &observation.job;
    // Where a place stays in use for a while after the work, the time until the next node starts is no latency.
    if job.spec.min_ready_seconds.unwrap_or_default() == 0 {
        metrics.hand_overs.looked(job.uid, job.status_of_work(), status, started);
    }
}

/// Reports that the API server has removed the gate of a pod of the observed Job.
pub(super) fn released(metrics: &Metrics, observation: &Observation<'_>, release: &Release) {
    if let Some(node) = observation.nodes.get(&release.node).and_then(|node| node.member()) {
        metrics.hand_overs.released(observation.job.uid, node, Instant::now());
    }
}

/// Reports the transition of the observed Job to `status`, which was written.
pub(super) fn written(metrics: &Metrics, observation: &Observation<'_>, status: &JobStatus) {
    let job = &observation.job;
    metrics.hand_overs.stored(job.uid, job.status_of_work(), status);
    let completed = status.completed.as_deref().unwrap_or_default();
    match transition(observation.job.status, status) {
        Transition::Finished(condition) => finished(metrics, observation, status, condition),
        Transition::Blocked(Condition { reason, message, .. }) => {
            warn!(reason, "Job is blocked: {message}");
        }
        Transition::Suspended => info!(completed, "Job is suspended"),
        Transition::Resumed => info!(completed, "Job is resumed"),
        Transition::Progress => {
            debug!(phase = ?status.phase.unwrap_or_default(), completed, "progress");
        }
    }
}

fn finished(
    metrics: &Metrics,
    observation: &Observation<'_>,
    status: &JobStatus,
    condition: &Condition,
) {
    let end = condition.last_transition_time.0;
    let start = status.start_time.as_ref().map_or(end, |start| start.0);
    let seconds = end.duration_since(start).as_secs_f64().max(0.0);
    let reason = Reason::of(condition);
    if let Some(reason) = reason {
        metrics.finished(reason, seconds);
    }
    if reason == Some(Reason::Completed)
        && let Some(last) = last_end(observation.job.spec, &observation.pods)
    {
        let latency = Timestamp::now().duration_since(last);
        metrics.observe_detection(Duration::try_from(latency).unwrap_or_default());
    }
    let completed = status.completed.as_deref().unwrap_or_default();
    let Condition { reason, message, .. } = condition;
    info!(reason, completed, duration_seconds = seconds, "Job finished: {message}");
}
