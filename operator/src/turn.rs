//! What a new status of a Job says that the one before did not.

use api::{conditions, v1beta1::JobStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

/// The news in a status.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Turn<'s> {
    /// The Job is complete, or has failed for good.
    Finished(&'s Condition),
    /// It cannot go on for a reason that may lift.
    Blocked(&'s Condition),
    /// It goes on, or nothing of that changed.
    Progress,
}

/// The news in `new`, compared with what was known before.
pub(crate) fn turn<'s>(known: Option<&JobStatus>, new: &'s JobStatus) -> Turn<'s> {
    let Some(condition) = new.conditions.first() else {
        return Turn::Progress;
    };
    let is_known = known.is_some_and(|known| {
        known.work_hash == new.work_hash
            && known
                .conditions
                .iter()
                .any(|known| known.reason == condition.reason && known.message == condition.message)
    });
    match conditions::finished(&new.conditions) {
        _ if is_known => Turn::Progress,
        Some(finished) => Turn::Finished(finished),
        None => Turn::Blocked(condition),
    }
}

#[cfg(test)]
mod tests {
    use api::conditions::Reason;
    use k8s_openapi::jiff::Timestamp;

    use super::*;

    fn status(reason: Reason, work: &str) -> JobStatus {
        let now = Timestamp::UNIX_EPOCH;
        let condition = conditions::condition(reason, "told".to_owned(), None, &[], now);
        JobStatus {
            work_hash: Some(work.to_owned()),
            conditions: vec![condition],
            ..JobStatus::default()
        }
    }

    #[test]
    fn the_end_of_a_run_is_news_once() {
        let done = status(Reason::Completed, "a");
        assert!(matches!(turn(None, &done), Turn::Finished(_)));
        assert!(matches!(turn(Some(&JobStatus::default()), &done), Turn::Finished(_)));
        assert_eq!(turn(Some(&done), &done), Turn::Progress);
        assert!(matches!(turn(Some(&status(Reason::Completed, "b")), &done), Turn::Finished(_)));
    }

    #[test]
    fn what_may_lift_is_no_end() {
        let blocked = status(Reason::InvalidSpec, "a");
        assert!(matches!(turn(None, &blocked), Turn::Blocked(_)));
        assert_eq!(turn(Some(&blocked), &blocked), Turn::Progress);
        assert_eq!(turn(Some(&blocked), &JobStatus::default()), Turn::Progress);
    }
}
