//! What becomes of a Job that is resumed.

use super::*;

#[test]
fn a_deadline_does_not_run_while_the_job_is_suspended() {
    let mut job = suspended();
    job.spec.active_deadline_seconds = Some(60);
    let pods = [of(&job, "a").build(), of(&job, "b").build()];
    let at = |second| Timestamp::from_second(second).unwrap();
    let look_at = |job: &mut Job, now, daemon_set: Option<&DaemonSetView>| {
        let observation = observed(job, daemon_set, &pods, Source::Live);
        let Decision::Act(act) = decide(&Observation { now, ..observation }) else { panic!() };
        job.status = Some(act.status.clone());
        act
    };
    job.spec.suspend = None;
    let running = running(&job);
    look_at(&mut job, at(0), Some(&running));
    job.spec.suspend = Some(true);
    let act = look_at(&mut job, at(100), Some(&running));
    assert_eq!((reasons(&act.status), &act.status.start_time), (vec!["PodsStopping"], &None));
    let act = look_at(&mut job, at(200), None);
    assert_eq!((reasons(&act.status), act.requeue_after), (vec!["JobSuspended"], None));
    job.spec.suspend = None;
    let act = look_at(&mut job, at(300), None);
    assert_eq!(act.status.start_time, Some(Time(at(300))));
    assert_eq!(act.requeue_after, Some(Duration::from_secs(61)));
}

#[test]
fn a_resumption_is_stored_first_and_retries_what_failed_and_not_what_is_done() {
    let mut job = on_hold();
    job.spec.suspend = Some(false);
    let act = look(&mut job, None, &[]);
    assert_eq!((&act.daemon_set, events(&act)), (&DaemonSetAction::Keep, vec!["Resumed"]));
    let status = &act.status;
    assert_eq!((status.phase, reasons(status)), (Some(Phase::Pending), vec!["JobResumed"]));
    assert_eq!((&status.completed_nodes, &status.failed_nodes), (&set(&["a"]), &None));
    assert_eq!((&status.failed_runs, status.failed, status.succeeded), (&None, 0, 1));
    assert_eq!((status.completed.as_deref(), &status.duration), (Some("1/3"), &None));
    assert_eq!(status.start_time, Some(Time(Timestamp::UNIX_EPOCH)));
    assert_eq!(status.nodes, []);
    // The DaemonSet from before must be gone.
    let act = look(&mut job, Some(&leaving(&suspended())), &[]);
    assert_eq!((act.daemon_set, act.status.completed_nodes), (DaemonSetAction::Keep, set(&["a"])));
    let act = look(&mut job, None, &[]);
    assert!(matches!(act.daemon_set, DaemonSetAction::Create(_)), "{:?}", act.daemon_set);
    assert_eq!(
        (act.status.completed_nodes.clone(), events(&act)),
        (set(&["a"]), vec!["SuccessfulCreate"])
    );
    assert_eq!(reasons(&act.status), ["JobResumed"]);
}

#[test]
fn a_job_that_has_failed_keeps_saying_so_until_it_is_retried() {
    let mut job = job();
    let failed = JobStatus {
        phase: Some(Phase::Failed),
        work_hash: Some(work_hash::hash(&job.spec)),
        failed_nodes: set(&["b"]),
        failed: 1,
        conditions: vec![conditions::condition(
            Reason::NodesFailed,
            "why".to_owned(),
            None,
            Timestamp::UNIX_EPOCH,
        )],
        ..JobStatus::default()
    };
    job.status = Some(failed);
    job.spec.suspend = Some(true);
    // Its DaemonSet may still be there.
    look(&mut job, Some(&running(&suspended())), &[]);
    let act = look(&mut job, Some(&running(&suspended())), &[]);
    assert_eq!(act.daemon_set, DaemonSetAction::Stop(DAEMON_SET_UID.to_owned()));
    assert_eq!(
        (act.status.phase, reasons(&act.status)),
        (Some(Phase::Failed), vec!["NodesFailed", "PodsStopping"])
    );
    let act = look(&mut job, None, &[]);
    assert_eq!(act.status.phase, Some(Phase::Suspended));
    assert_eq!((reasons(&act.status), act.status.failed), (vec!["NodesFailed", "JobSuspended"], 1));
    job.spec.suspend = None;
    assert_eq!(reasons(&look(&mut job, None, &[]).status), ["JobResumed"]);
}

#[test]
fn a_suspension_that_is_taken_back_at_once_is_a_resumption() {
    let mut job = suspended();
    let pods = [of(&job, "a").done().build(), of(&job, "b").build()];
    look(&mut job, Some(&running(&suspended())), &pods);
    job.spec.suspend = Some(false);
    let act = look(&mut job, Some(&running(&suspended())), &pods);
    assert_eq!((reasons(&act.status), events(&act)), (vec!["JobResumed"], vec!["Resumed"]));
    let act = look(&mut job, Some(&running(&suspended())), &pods);
    assert_eq!((act.daemon_set, act.status.phase), (DaemonSetAction::Keep, Some(Phase::Running)));
    assert_eq!(act.status.completed.as_deref(), Some("1/2"));
}

#[test]
fn work_that_is_edited_while_it_is_suspended_stays_so_and_begins_anew() {
    let mut job = on_hold();
    job.spec.args = vec!["again".to_owned()];
    let old = [of(&suspended(), "a").done().deleted().build()];
    let act = look(&mut job, Some(&leaving(&suspended())), &old);
    assert_eq!((act.daemon_set.clone(), events(&act)), (DaemonSetAction::Keep, vec![]));
    assert_eq!(
        (act.status.phase, reasons(&act.status)),
        (Some(Phase::Suspended), vec!["JobSuspended"])
    );
    assert_eq!((act.status.completed_nodes, act.status.failed_nodes), (None, None));
    assert_eq!(act.status.work_hash, Some(work_hash::hash(&job.spec)));
    // Edited and resumed at once.
    let mut job = on_hold();
    job.spec.args = vec!["again".to_owned()];
    job.spec.suspend = None;
    let act = look(&mut job, None, &[]);
    assert_eq!(
        (&act.daemon_set, reasons(&act.status)),
        (&DaemonSetAction::Keep, vec!["JobResumed"])
    );
    assert_eq!(act.status.completed_nodes, None);
    assert!(matches!(look(&mut job, None, &[]).daemon_set, DaemonSetAction::Create(_)));
}
