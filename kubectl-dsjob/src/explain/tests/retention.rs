//! What becomes of a Job that has ended.

use api::job::{CompletionPolicy, DeletionPolicy};

use super::*;

/// The Job with these fields.
fn edited(evidence: Evidence, edit: impl FnOnce(&mut JobSpec)) -> Evidence {
    let mut job = evidence.job;
    edit(&mut job.spec);
    Evidence { events: evidence.events, ..with_job(job) }
}

fn ended(type_: &str, reason: &str, phase: &str) -> Evidence {
    let mut status = status();
    status["phase"] = json!(phase);
    status["conditions"] = json!([condition(type_, reason, "m")]);
    evidence(status)
}

#[test]
fn the_outlook_says_whether_and_when_the_job_is_deleted() {
    let outlook = |evidence: &Evidence| explain(evidence).pop().unwrap().cause;
    let complete = || ended("Complete", "Completed", "Completed");
    assert!(outlook(&complete()).contains("deleted at once"));
    let stays = "the Job stays until somebody deletes it";
    let retain = |spec: &mut JobSpec| spec.deletion_policy = DeletionPolicy::Retain;
    assert!(outlook(&edited(complete(), retain)).ends_with(stays));
    let never = |spec: &mut JobSpec| spec.completion_policy = CompletionPolicy::Never;
    assert!(outlook(&edited(complete(), never)).ends_with(stays));
    let ttl = |spec: &mut JobSpec| spec.ttl_seconds_after_finished = Some(60);
    assert!(outlook(&edited(complete(), ttl)).contains("deleted in "));
    let failed = || ended("Failed", "NodesFailed", "Failed");
    assert!(outlook(&failed()).ends_with(stays));
    assert!(outlook(&edited(failed(), retain)).ends_with(stays));
    assert!(outlook(&edited(failed(), ttl)).contains("after its end"));
}

#[test]
fn a_job_that_is_created_again_is_reported_until_it_is_retained() {
    let mut managed = evidence(status());
    managed.events = event("DeletesItself", "Flux manages this Job");
    let finding = only(&managed, "DeletesItself");
    assert_eq!(finding.quotes, ["Flux manages this Job"]);
    assert!(finding.cure.unwrap().contains("deletionPolicy: Retain"));
    let retained = edited(managed, |spec| spec.deletion_policy = DeletionPolicy::Retain);
    assert_eq!(explain(&retained).len(), 1);
}
