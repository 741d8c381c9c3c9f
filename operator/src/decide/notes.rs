//! What is worth an event.

use api::{
    conditions, names,
    v1beta1::{Job, JobStatus, Phase},
};
use kube::ResourceExt;

use super::DaemonSetAction;
use crate::events::Note;

/// What is worth an event when this is done about the DaemonSet and the status of `job` becomes
/// `next`. What was done, and then interrupted before the status was written, is noted now.
pub(super) fn notes(job: &Job, daemon_set: &DaemonSetAction, next: &JobStatus) -> Vec<Note> {
    let current = job.status.as_ref();
    let known_work = current.and_then(|status| status.work_hash.as_ref());
    let was_interrupted =
        *daemon_set == DaemonSetAction::Keep && next.phase == Some(Phase::Running);
    let mut notes = Vec::new();
    match daemon_set {
        DaemonSetAction::Create => {
            notes.push(Note::created(&names::daemon_set(&job.name_any())));
        }
        DaemonSetAction::Update(_) => notes.push(Note::restarted()),
        _ if was_interrupted && known_work.is_none() => {
            notes.push(Note::created(&names::daemon_set(&job.name_any())));
        }
        _ if was_interrupted && known_work != next.work_hash.as_ref() => {
            notes.push(Note::restarted());
        }
        _ => {}
    }
    let tells_of_rotation = |status: &JobStatus| {
        status.nodes.iter().filter_map(|node| node.message.as_deref()).any(is_about_rotation)
    };
    if tells_of_rotation(next) && !current.is_some_and(tells_of_rotation) {
        notes.push(Note::log_rotated());
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

fn is_about_rotation(message: &str) -> bool {
    message.starts_with(names::LOG_ROTATED)
}

#[cfg(test)]
mod tests {
    use api::v1beta1::NodeStatus;

    use super::*;
    use crate::fixtures::job;

    fn of_rotation(nodes: &[&str]) -> JobStatus {
        let message = Some("LogRotated: its log begins late".to_owned());
        let node = |name: &&str| NodeStatus {
            name: (*name).to_owned(),
            message: message.clone(),
            ..NodeStatus::default()
        };
        JobStatus { nodes: nodes.iter().map(node).collect(), ..JobStatus::default() }
    }

    #[test]
    fn rotated_logs_are_noted_once_whatever_the_number_of_nodes() {
        let noted = |current: &[&str], next: &[&str]| {
            let job = Job { status: Some(of_rotation(current)), ..job() };
            notes(&job, &DaemonSetAction::Keep, &of_rotation(next))
        };
        assert_eq!(noted(&[], &["a"]), [Note::log_rotated()]);
        assert_eq!(noted(&["a"], &["a", "b"]), []);
        assert_eq!(noted(&["a"], &[]), []);
        assert_eq!(noted(&[], &[]), []);
    }
}
