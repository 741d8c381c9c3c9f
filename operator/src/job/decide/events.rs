//! Events of a Job.

use api::{
    job::{
        JobStatus, Phase,
        conditions::{self, Reason},
    },
    labels,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::{daemon_set::DaemonSetAction, observation::JobView};

/// Reason of the DaemonSet controller's events about refused pods.
pub(crate) const FAILED_CREATE: &str = "FailedCreate";

/// An event of a Job.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct JobEvent {
    /// Whether it asks for attention.
    pub(crate) is_warning: bool,
    /// Machine-readable, in CamelCase.
    pub(crate) reason: String,
    /// For people.
    pub(crate) message: String,
}

impl JobEvent {
    /// The DaemonSet of a Job was created, in the words of the built-in controllers.
    pub(crate) fn created(daemon_set: &str) -> Self {
        Self {
            is_warning: false,
            reason: "SuccessfulCreate".to_owned(),
            message: format!("Created DaemonSet {daemon_set}"),
        }
    }

    /// The work of a Job was changed while it ran.
    pub(crate) fn restarted() -> Self {
        Self {
            is_warning: false,
            reason: "WorkChanged".to_owned(),
            message: "The work changed and starts again on every node".to_owned(),
        }
    }

    /// A Job got this condition.
    pub(crate) fn condition(condition: &Condition) -> Self {
        Self {
            is_warning: Reason::of(condition) != Some(Reason::Completed),
            reason: condition.reason.clone(),
            message: condition.message.clone(),
        }
    }

    /// The logs of some nodes of a Job do not go back to the start of their containers.
    ///
    /// It names none of the nodes, so that it is one event whatever their number.
    pub(crate) fn log_rotated() -> Self {
        Self {
            is_warning: true,
            reason: labels::LOG_ROTATED.to_owned(),
            message: "Some logs were first read late and do not go back to the start of their containers: a \
                      termination word that has rotated away is not found; see status.nodes"
                .to_owned(),
        }
    }

    /// The API server refuses pods of a Job, in the DaemonSet controller's words.
    pub(crate) fn failed_create(message: String) -> Self {
        Self { is_warning: true, reason: FAILED_CREATE.to_owned(), message }
    }
}

/// The events for an action on the DaemonSet and for the next status.
///
/// An action that was interrupted before the status was written gets its event now.
pub(crate) fn events(
    job: &JobView<'_>,
    daemon_set: &DaemonSetAction,
    next: &JobStatus,
) -> Vec<JobEvent> {
    let current = job.status;
    let known_work = current.and_then(|status| status.work_hash.as_ref());
    let was_interrupted =
        *daemon_set == DaemonSetAction::Keep && next.phase == Some(Phase::Running);
    let mut events = Vec::new();
    match daemon_set {
        DaemonSetAction::Create => events.push(JobEvent::created(&job.daemon_set)),
        DaemonSetAction::Update(_) => events.push(JobEvent::restarted()),
        _ if was_interrupted && known_work.is_none() => {
            events.push(JobEvent::created(&job.daemon_set));
        }
        _ if was_interrupted && known_work != next.work_hash.as_ref() => {
            events.push(JobEvent::restarted());
        }
        _ => {}
    }
    let has_rotated_log = |status: &JobStatus| {
        let mut reasons = status.nodes.iter().filter_map(|node| node.reason.as_deref());
        reasons.any(|reason| reason == labels::LOG_ROTATED)
    };
    if has_rotated_log(next) && !current.is_some_and(has_rotated_log) {
        events.push(JobEvent::log_rotated());
    }
    for condition in &next.conditions {
        let is_known = current.is_some_and(|status| {
            conditions::find_true(&status.conditions, &condition.type_).is_some_and(|known| {
                known.reason == condition.reason && known.message == condition.message
            })
        });
        if !is_known {
            events.push(JobEvent::condition(condition));
        }
    }
    events
}

#[cfg(test)]
mod tests {
    use api::job::{Job, NodeStatus};

    use super::*;
    use crate::testing::fixtures::job;

    fn of_rotation(nodes: &[&str]) -> JobStatus {
        let reason = Some("LogRotated".to_owned());
        let node = |name: &&str| NodeStatus {
            name: (*name).to_owned(),
            reason: reason.clone(),
            ..NodeStatus::default()
        };
        JobStatus { nodes: nodes.iter().map(node).collect(), ..JobStatus::default() }
    }

    #[test]
    fn rotated_logs_are_noted_once_whatever_the_number_of_nodes() {
        let noted = |current: &[&str], next: &[&str]| {
            let job = Job { status: Some(of_rotation(current)), ..job() };
            events(&JobView::new(&job), &DaemonSetAction::Keep, &of_rotation(next))
        };
        assert_eq!(noted(&[], &["a"]), [JobEvent::log_rotated()]);
        assert_eq!(noted(&["a"], &["a", "b"]), []);
        assert_eq!(noted(&["a"], &[]), []);
        assert_eq!(noted(&[], &[]), []);
    }
}
