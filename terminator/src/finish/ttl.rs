//! Decides when a finished Job is deleted: a pure function.

use std::time::Duration;

use api::job::{
    CompletionPolicy, DeletionPolicy, Job, JobSpec,
    conditions::{self, Reason},
};
use k8s_openapi::{
    apimachinery::pkg::apis::meta::v1::Condition,
    jiff::{SignedDuration, Timestamp},
};

/// When a Job is to be deleted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Expiry {
    /// Not in its present state.
    Never,
    /// After this time.
    After(Duration),
    /// Now.
    Now,
}

/// Returns when `job` is to be deleted.
///
/// That is when its present spec is finished, and its TTL has passed. Without a TTL a completed Job goes at
/// once, unless it is retained; one that failed, or that no node matched, stays for its user.
#[must_use]
pub(super) fn expiry(job: &Job, now: Timestamp) -> Expiry {
    let Some(status) = &job.status else {
        return Expiry::Never;
    };
    let is_current = status.is_current(&job.metadata);
    let finished = conditions::finished(&status.conditions)
        .filter(|_| is_current && job.metadata.deletion_timestamp.is_none());
    let Some(condition) = finished.filter(|condition| !is_kept(&job.spec, condition)) else {
        return Expiry::Never;
    };
    match job.spec.ttl_seconds_after_finished {
        Some(0) => Expiry::Now,
        Some(ttl) => {
            // The time is cut to a whole second: the Job may have finished up to a second later.
            let ttl = ttl.saturating_add(1);
            let passed = now.duration_since(condition.last_transition_time.0);
            let remaining = SignedDuration::from_secs(ttl).saturating_sub(passed);
            // The conversion fails when the TTL has expired.
            Duration::try_from(remaining).map_or(Expiry::Now, |remaining| match remaining {
                Duration::ZERO => Expiry::Now,
                remaining => Expiry::After(remaining),
            })
        }
        None if Reason::of(condition) == Some(Reason::Completed) => Expiry::Now,
        None => Expiry::Never,
    }
}

/// Whether a finished Job stays whatever its TTL.
///
/// It does where its policy says so, for nodes that join, or to be retried: a Job that has failed is suspended for
/// that.
fn is_kept(spec: &JobSpec, finished: &Condition) -> bool {
    spec.deletion_policy == DeletionPolicy::Retain
        || spec.completion_policy == CompletionPolicy::Never
        || spec.is_suspended() && finished.type_ == conditions::FAILED
}

#[cfg(test)]
mod tests {
    use super::{super::testing::job, *};

    /// Seconds after the epoch at which the Jobs of these tests were finished.
    const FINISHED: i64 = 1000;

    fn expiry_after(job: &Job, seconds: i64) -> Expiry {
        expiry(job, Timestamp::from_second(FINISHED + seconds).unwrap())
    }

    #[test]
    fn without_a_ttl_only_a_completed_job_is_deleted_and_at_once() {
        assert_eq!(expiry_after(&job("Complete", "Completed", None), 0), Expiry::Now);
        assert_eq!(expiry_after(&job("Complete", "NoMatchingNodes", None), 9999), Expiry::Never);
        assert_eq!(expiry_after(&job("Failed", "NodesFailed", None), 9999), Expiry::Never);
    }

    #[test]
    fn a_finished_job_is_deleted_after_its_ttl() {
        for (condition, reason) in [
            ("Complete", "Completed"),
            ("Complete", "NoMatchingNodes"),
            ("Failed", "NodesFailed"),
            ("Failed", "DeadlineExceeded"),
        ] {
            let job = job(condition, reason, Some(60));
            assert_eq!(expiry_after(&job, 20), Expiry::After(Duration::from_secs(41)), "{reason}");
            let almost = Expiry::After(Duration::from_secs(1));
            assert_eq!(expiry_after(&job, 60), almost, "{reason}: it may have ended at 1000.9 s");
            assert_eq!(expiry_after(&job, 61), Expiry::Now, "{reason}");
        }
        assert_eq!(expiry_after(&job("Complete", "Completed", Some(0)), 0), Expiry::Now);
        let forever = job("Complete", "Completed", Some(i64::MAX));
        assert!(matches!(expiry_after(&forever, 0), Expiry::After(_)));
    }

    #[test]
    fn a_failure_that_may_lift_ignores_the_ttl() {
        for reason in ["InvalidSpec", "NameConflict", "DaemonSetRefused"] {
            assert_eq!(
                expiry_after(&job("Failed", reason, Some(0)), 9999),
                Expiry::Never,
                "{reason}"
            );
        }
    }

    #[test]
    fn a_job_that_was_edited_since_it_was_finished_is_not_due() {
        let mut edited = job("Complete", "Completed", None);
        edited.metadata.generation = Some(3);
        assert_eq!(expiry_after(&edited, 0), Expiry::Never);
    }

    #[test]
    fn a_job_without_a_true_condition_is_not_due() {
        let mut running = job("Complete", "Completed", None);
        for condition in running.status.iter_mut().flat_map(|status| &mut status.conditions) {
            condition.status = "False".into();
        }
        assert_eq!(expiry_after(&running, 0), Expiry::Never);
        running.status = None;
        assert_eq!(expiry_after(&running, 0), Expiry::Never);
    }

    #[test]
    fn a_failed_job_that_is_suspended_for_a_retry_outlives_its_ttl() {
        let mut failed = job("Failed", "NodesFailed", Some(0));
        assert_eq!(expiry_after(&failed, 9999), Expiry::Now);
        failed.spec.suspend = Some(true);
        assert_eq!(expiry_after(&failed, 9999), Expiry::Never);
        let mut complete = job("Complete", "Completed", None);
        complete.spec.suspend = Some(true);
        assert_eq!(expiry_after(&complete, 0), Expiry::Now, "there is nothing to retry");
    }

    #[test]
    fn a_job_that_is_retained_is_never_deleted_until_its_policy_is_edited() {
        for (condition, reason) in [("Complete", "Completed"), ("Failed", "NodesFailed")] {
            // A TTL beside the policy is refused; one that was stored all the same does not count.
            for ttl in [None, Some(0)] {
                let mut job = job(condition, reason, ttl);
                job.spec.deletion_policy = DeletionPolicy::Retain;
                assert_eq!(expiry_after(&job, 9999), Expiry::Never, "{reason} {ttl:?}");
            }
        }
        let mut job = job("Complete", "Completed", None);
        job.spec.deletion_policy = DeletionPolicy::Delete;
        assert_eq!(expiry_after(&job, 0), Expiry::Now);
    }

    #[test]
    fn a_job_that_never_completes_is_never_deleted() {
        for (condition, reason) in [("Complete", "Completed"), ("Failed", "MaxFailedNodesExceeded")]
        {
            let mut job = job(condition, reason, None);
            job.spec.completion_policy = CompletionPolicy::Never;
            assert_eq!(expiry_after(&job, 9999), Expiry::Never, "{reason}");
            job.spec.ttl_seconds_after_finished = Some(0);
            assert_eq!(expiry_after(&job, 9999), Expiry::Never, "{reason}");
        }
    }
}
