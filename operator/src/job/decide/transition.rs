//! Changes from one status of a Job to the next, for logs and metrics.

use api::job::{
    JobStatus,
    conditions::{self, Reason, SUSPENDED},
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

/// Change of a Job from one status to the next.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Transition<'s> {
    /// The Job is complete, or has failed for good.
    Finished(&'s Condition),
    /// It cannot go on for a reason that may lift.
    Blocked(&'s Condition),
    /// It is suspended, and no pod of it stays.
    Suspended,
    /// It was suspended, and goes on.
    Resumed,
    /// It goes on, or nothing of that changed.
    Progress,
}

/// The transition from the `known` status to the `new` one.
pub(crate) fn transition<'s>(known: Option<&JobStatus>, new: &'s JobStatus) -> Transition<'s> {
    let is_new = |condition: &&Condition| {
        !known.is_some_and(|known| {
            known.work_hash == new.work_hash
                && known.conditions.iter().any(|known| {
                    known.reason == condition.reason && known.message == condition.message
                })
        })
    };
    let finished = conditions::finished(&new.conditions).filter(is_new).map(Transition::Finished);
    let blocked = conditions::blocked(&new.conditions).filter(is_new).map(Transition::Blocked);
    finished.or(blocked).or_else(|| suspension(known, new)).unwrap_or(Transition::Progress)
}

fn suspension<'s>(known: Option<&JobStatus>, new: &JobStatus) -> Option<Transition<'s>> {
    let reason = |status: &JobStatus| Reason::of(conditions::find(&status.conditions, SUSPENDED)?);
    let reason_now = reason(new).filter(|now| known.and_then(reason) != Some(*now))?;
    match reason_now {
        Reason::JobSuspended => Some(Transition::Suspended),
        Reason::JobResumed => Some(Transition::Resumed),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::jiff::Timestamp;

    use super::*;

    fn status(reason: Reason, work: &str) -> JobStatus {
        let now = Timestamp::UNIX_EPOCH;
        JobStatus {
            work_hash: Some(work.to_owned()),
            conditions: vec![conditions::condition(reason, "why".to_owned(), None, now)],
            ..JobStatus::default()
        }
    }

    #[test]
    fn the_end_of_a_run_is_news_once() {
        let done = status(Reason::Completed, "a");
        assert!(matches!(transition(None, &done), Transition::Finished(_)));
        assert!(matches!(transition(Some(&JobStatus::default()), &done), Transition::Finished(_)));
        assert_eq!(transition(Some(&done), &done), Transition::Progress);
        assert!(matches!(
            transition(Some(&status(Reason::Completed, "b")), &done),
            Transition::Finished(_)
        ));
    }

    #[test]
    fn what_may_lift_is_no_end() {
        let blocked = status(Reason::InvalidSpec, "a");
        assert!(matches!(transition(None, &blocked), Transition::Blocked(_)));
        assert_eq!(transition(Some(&blocked), &blocked), Transition::Progress);
        assert_eq!(transition(Some(&blocked), &JobStatus::default()), Transition::Progress);
    }

    #[test]
    fn suspension_and_resumption_are_news_once() {
        let [stopping, suspended, resumed] =
            [Reason::PodsStopping, Reason::JobSuspended, Reason::JobResumed]
                .map(|reason| status(reason, "a"));
        assert_eq!(transition(None, &stopping), Transition::Progress);
        assert_eq!(transition(Some(&stopping), &suspended), Transition::Suspended);
        assert_eq!(transition(Some(&suspended), &suspended), Transition::Progress);
        assert_eq!(transition(Some(&suspended), &resumed), Transition::Resumed);
        assert_eq!(transition(Some(&resumed), &resumed), Transition::Progress);
    }
}
