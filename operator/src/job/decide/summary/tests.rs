use api::job::{Job, NodeStatus};

use super::*;
use crate::{
    job::decide::status::{Write, when_to_write},
    testing::kstatus::{Kstatus, kstatus},
};

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

/// A status of generation 1 with conditions of these reasons.
fn status(reasons: &[Reason]) -> JobStatus {
    let condition =
        |it: &Reason| conditions::condition(*it, format!("because {it}"), Some(1), at(1));
    JobStatus {
        observed_generation: Some(1),
        phase: Some(Phase::Running),
        desired: 3,
        succeeded: 1,
        conditions: reasons.iter().map(condition).collect(),
        ..JobStatus::default()
    }
}

/// Types and statuses of the conditions that sum up a status with these reasons.
fn types(reasons: &[Reason]) -> Vec<(String, bool)> {
    let summed_up = summed_up(status(reasons), &[], at(2));
    let all = summed_up.conditions.into_iter();
    all.map(|condition| (condition.type_, condition.status == "True")).collect()
}

fn expected(all: &[(&str, bool)]) -> Vec<(String, bool)> {
    all.iter().map(|(type_, status)| ((*type_).to_owned(), *status)).collect()
}

/// What generic tools make of the status.
fn rated(status: &JobStatus) -> Kstatus {
    let mut job = Job { status: Some(status.clone()), ..Job::default() };
    job.metadata.generation = Some(1);
    kstatus(&job)
}

#[test]
fn a_job_that_is_not_finished_is_reconciling() {
    let conditions = [("Reconciling", true), ("Complete", false), ("Failed", false)];
    assert_eq!(types(&[]), expected(&conditions));
    assert_eq!(rated(&summed_up(status(&[]), &[], at(2))), Kstatus::InProgress);
    assert_eq!(
        rated(&JobStatus { observed_generation: Some(-1), ..status(&[]) }),
        Kstatus::InProgress
    );
}

#[test]
fn a_job_that_is_complete_is_neither_reconciling_nor_stalled() {
    for reason in [Reason::Completed, Reason::NoMatchingNodes] {
        assert_eq!(types(&[reason]), expected(&[("Complete", true), ("Failed", false)]));
        assert_eq!(rated(&summed_up(status(&[reason]), &[], at(2))), Kstatus::Current);
    }
}

#[test]
fn a_job_that_has_failed_or_is_blocked_is_stalled_for_the_same_reason() {
    for reason in [Reason::NodesFailed, Reason::InvalidSpec, Reason::DaemonSetRefused] {
        let conditions = [("Failed", true), ("Stalled", true), ("Complete", false)];
        assert_eq!(types(&[reason]), expected(&conditions));
        let summed_up = summed_up(status(&[reason]), &[], at(2));
        let [failed, stalled, _] = summed_up.conditions.as_slice() else { panic!("{summed_up:?}") };
        assert_eq!(Condition { type_: "Stalled".to_owned(), ..failed.clone() }, *stalled);
        assert_eq!(rated(&summed_up), Kstatus::Failed);
    }
}

#[test]
fn a_job_that_never_completes_is_current_while_all_its_nodes_are_done() {
    let rated = |reason| rated(&summed_up(status(&[reason]), &[], at(2)));
    assert_eq!(rated(Reason::AllNodesDone), Kstatus::Current);
    assert_eq!(rated(Reason::NoNodesWanted), Kstatus::Current);
    assert_eq!(rated(Reason::NodesNotDone), Kstatus::InProgress);
    let failed = summed_up(status(&[Reason::NotRunning, Reason::NodesFailed]), &[], at(2));
    assert_eq!(self::rated(&failed), Kstatus::Failed);
}

#[test]
fn reconciling_tells_what_is_waited_for() {
    let told = |status| {
        let summed_up = summed_up(status, &[], at(2));
        conditions::find(&summed_up.conditions, RECONCILING).unwrap().message.clone()
    };
    assert_eq!(told(status(&[])), "1 of 3 nodes done");
    assert_eq!(told(JobStatus { failed: 2, ..status(&[]) }), "1 of 3 nodes done, 2 failed");
    let waits = "1 of 3 nodes done; because WindowClosed";
    assert_eq!(told(status(&[Reason::WindowClosed])), waits);
    assert_eq!(told(status(&[Reason::NotGated])), "1 of 3 nodes done");
    let pending = JobStatus { phase: Some(Phase::Pending), desired: 0, ..status(&[]) };
    assert_eq!(told(pending), "no pod of the Job has been seen yet");
    assert_eq!(told(status(&[Reason::JobSuspended])), "because JobSuspended");
    assert_eq!(told(status(&[Reason::PodsStopping])), "because PodsStopping");
    assert_eq!(told(status(&[Reason::JobResumed])), "1 of 3 nodes done");
}

#[test]
fn conditions_that_stay_keep_their_time_and_their_order() {
    let first = summed_up(status(&[Reason::WindowClosed]), &[], at(2));
    // Of the stored conditions only the one about windows was kept to build on.
    let again = summed_up(status(&[Reason::WindowClosed]), &first.conditions, at(3));
    assert_eq!(again, first);
    let again = summed_up(first.clone(), &first.conditions, at(3));
    assert_eq!(again, first);
    let failed = summed_up(status(&[Reason::NodesFailed]), &first.conditions, at(3));
    let retried = summed_up(status(&[]), &failed.conditions, at(4));
    let since = |status: &JobStatus, type_| {
        conditions::find(&status.conditions, type_).unwrap().last_transition_time.0
    };
    assert_eq!((since(&retried, COMPLETE), since(&retried, FAILED)), (at(2), at(4)));
}

#[test]
fn conditions_are_of_the_generation_that_the_status_describes() {
    let edited = JobStatus { observed_generation: Some(2), ..status(&[Reason::NodesFailed]) };
    for condition in summed_up(edited, &[], at(2)).conditions {
        assert_eq!(condition.observed_generation, Some(2), "{condition:?}");
    }
}

#[test]
fn progress_in_a_message_waits_for_the_next_write_of_progress() {
    let write = |current: &JobStatus, next: JobStatus| {
        let current = summed_up(current.clone(), &[], at(2));
        let next = summed_up(next, &current.conditions, at(2));
        when_to_write(Some(&current), &next, Some(std::time::Duration::ZERO), at(2))
    };
    let current = status(&[]);
    assert_eq!(write(&current, current.clone()), Write::Never);
    let further = JobStatus { succeeded: 2, ..status(&[]) };
    assert!(matches!(write(&current, further), Write::After(_)));
    assert_eq!(write(&current, status(&[Reason::WindowClosed])), Write::Now);
    assert_eq!(write(&current, status(&[Reason::NodesFailed])), Write::Now);
    let listed = vec![NodeStatus::default()];
    assert!(matches!(write(&current, JobStatus { nodes: listed, ..status(&[]) }), Write::After(_)));
}

#[test]
fn a_job_that_an_earlier_version_has_finished_is_summed_up_once() {
    let stored = status(&[Reason::NodesFailed]);
    let next = summed_up(stored.clone(), &stored.conditions, at(9));
    assert_eq!(when_to_write(Some(&stored), &next, None, at(9)), Write::Now);
    let again = summed_up(next.clone(), &next.conditions, at(10));
    assert_eq!(when_to_write(Some(&next), &again, None, at(10)), Write::Never);
    // An API server may store them in another order, and others may add theirs.
    let mut stored = next.clone();
    stored.conditions.reverse();
    stored.conditions.push(Condition { type_: "Audited".to_owned(), ..next.conditions[0].clone() });
    assert_eq!(when_to_write(Some(&stored), &again, None, at(10)), Write::Never);
}
