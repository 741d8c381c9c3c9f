//! `spec.activeDeadlineSeconds`.

use std::time::Duration;

use api::job::{Job, JobStatus, work_hash};
use k8s_openapi::{
    apimachinery::pkg::apis::meta::v1::Time,
    jiff::{SignedDuration, Timestamp},
};

use super::{act_on, observed, reasons};
use crate::{
    job::decide::{
        actions::Decision,
        daemon_set::DaemonSetAction,
        decide,
        job_view::JobView,
        observation::{Observation, Source},
        status,
    },
    testing::fixtures::{DAEMON_SET_UID, daemon_set, job, pod},
};

#[test]
fn past_its_deadline_a_job_fails_and_names_what_is_not_done() {
    let mut job = job();
    job.spec.active_deadline_seconds = Some(60);
    let daemon_set = daemon_set().of(&job).scheduled(1, 1).build();
    let pods = [pod("slow").work_hash(&work_hash::hash(&job.spec)).build()];
    let at = |seconds| Timestamp::from_second(seconds).unwrap();
    let decide_at = |job: &Job, source, now| {
        decide(&Observation { now, ..observed(job, Some(&daemon_set), &pods, source) })
    };
    let Decision::Act(act) = decide_at(&job, Source::Caches, at(1000)) else { panic!("it runs") };
    assert_eq!(act.requeue_after, Some(Duration::from_secs(61)));
    job.status = Some(act.status);

    let Decision::Act(act) = decide_at(&job, Source::Caches, at(1060)) else { panic!("it runs") };
    assert_eq!(act.requeue_after, Some(Duration::from_secs(1)));
    assert_eq!(reasons(&act.status), Vec::<&str>::new());

    assert_eq!(decide_at(&job, Source::Caches, at(1061)), Decision::ObserveLive);
    let Decision::Act(act) = decide_at(&job, Source::Live, at(1061)) else { panic!("it ends") };
    assert_eq!(reasons(&act.status), ["DeadlineExceeded"]);
    let message = &act.status.conditions[0].message;
    assert_eq!(message, "not done within the 60 s of spec.activeDeadlineSeconds; not done: slow");
    assert_eq!(act.status.duration.as_deref(), Some("1m1s"));
    job.status = Some(act.status);

    let Decision::Act(act) = decide_at(&job, Source::Caches, at(1062)) else { panic!("it ended") };
    assert_eq!(act.daemon_set, DaemonSetAction::Delete(DAEMON_SET_UID.into()));
}

#[test]
fn work_that_is_done_when_the_deadline_passes_is_done() {
    let mut job = job();
    job.spec.active_deadline_seconds = Some(60);
    job.status = Some(JobStatus {
        start_time: Some(Time(Timestamp::from_second(-100).unwrap())),
        work_hash: Some(work_hash::hash(&job.spec)),
        ..JobStatus::default()
    });
    let daemon_set = daemon_set().of(&job).scheduled(1, 1).build();
    let pods = [pod("a").done().work_hash(&work_hash::hash(&job.spec)).build()];
    assert_eq!(reasons(&act_on(&job, Some(&daemon_set), &pods).status), ["Completed"]);
}

/// The controller would look at it again and again, without a pause.
#[test]
fn a_deadline_that_has_passed_does_not_wake_a_job_that_waits_to_be_mended() {
    let start = Time(Timestamp::UNIX_EPOCH - SignedDuration::from_secs(60));
    let mut job = job();
    job.spec.active_deadline_seconds = Some(30);
    let base = status::base(&JobView::new(&job), Timestamp::UNIX_EPOCH);
    job.status = Some(JobStatus { start_time: Some(start.clone()), ..base });
    let foreign = daemon_set().build();
    let act = act_on(&job, Some(&foreign), &[]);
    assert_eq!((reasons(&act.status), act.requeue_after), (vec!["NameConflict"], None));

    job.spec.max_failed_nodes = Some(-1);
    let act = act_on(&job, None, &[]);
    assert_eq!((reasons(&act.status), act.requeue_after), (vec!["InvalidSpec"], None));
}
