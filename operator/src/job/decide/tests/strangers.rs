//! DaemonSets that somebody else has edited.

use std::time::Duration;

use api::{
    job::{Job, JobStatus, Phase, conditions, node_set::NodeSet, work_hash},
    views::{DaemonSetView, PodView},
};
use k8s_openapi::jiff::Timestamp;

use super::{Actions, Arc, Decision, JobView, decide, observed, reasons};
use crate::{
    job::decide::{
        applied::Applied,
        daemon_set::{DaemonSetAction, Gating},
        observation::{Observation, Source},
    },
    testing::fixtures::{DAEMON_SET_UID, PodBuilder, daemon_set, job, pod},
};

fn hash(job: &Job) -> String {
    work_hash::hash(&job.spec)
}

/// A pod of the Job's work.
fn own(job: &Job, node: &str) -> PodBuilder {
    pod(node).work_hash(&hash(job))
}

/// A Job whose status says that nodes are wanted, and that the node a was done.
fn running(desired: i32) -> Job {
    let mut job = job();
    let mut set = NodeSet::default();
    set.insert("uid-of-a");
    job.status = Some(JobStatus {
        work_hash: Some(hash(&job)),
        phase: Some(Phase::Running),
        desired,
        succeeded: 1,
        completed_nodes: Some(set),
        ..JobStatus::default()
    });
    job
}

fn edited(job: &Job, desired: i32) -> DaemonSetView {
    let mut edited =
        daemon_set().of(job).scheduled(desired, desired).observed_generation(Some(2)).build();
    edited.metadata.generation = Some(2);
    edited
}

fn act(
    job: &Job,
    daemon_set: &DaemonSetView,
    pods: &[Arc<PodView>],
    change: impl FnOnce(&mut Applied),
) -> Actions {
    let mut observation = observed(job, Some(daemon_set), pods, Source::Live);
    if let Some(applied) = &mut observation.applied {
        change(applied);
    }
    match decide(&observation) {
        Decision::Act(act) => *act,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_figures_of_an_edited_daemon_set_end_no_job_and_it_is_put_back() {
    let job = running(3);
    let act = act(&job, &edited(&job, 0), &[], |_| {});
    assert_eq!(act.daemon_set, DaemonSetAction::Restore(DAEMON_SET_UID.to_owned(), Gating::None));
    assert_eq!(reasons(&act.status), [""; 0]);
    assert_eq!(act.status.desired, 3, "the last figure that was the Job's own");
}

#[test]
fn whoever_edits_again_and_again_is_reported_and_answered_later() {
    let job = running(1);
    let rest = Duration::from_secs(4);
    let fought = |applied: &mut Applied| {
        applied.rest = rest;
        applied.edited_by = Some("a-fighter".to_owned());
        applied.edited_for = Some(Duration::from_secs(60));
    };
    let act = act(&job, &edited(&job, 0), &[], fought);
    assert_eq!((act.daemon_set, act.requeue_after), (DaemonSetAction::Keep, Some(rest)));
    assert_eq!(reasons(&act.status), [conditions::DAEMON_SET_EDITED]);
    assert!(act.status.conditions[0].message.contains("edited by a-fighter"));
    assert!(act.events.iter().any(|it| it.is_warning && it.reason == "DaemonSetEdited"));
    assert_eq!(act.status.phase, Some(Phase::Running));
}

#[test]
fn the_report_of_an_edit_goes_with_time_and_with_the_end() {
    let mut job = running(1);
    let status = job.status.take().unwrap();
    let edit = conditions::daemon_set_edited(String::new(), None, Timestamp::UNIX_EPOCH);
    job.status = Some(JobStatus { conditions: vec![edit], ..status });
    let daemon_set = daemon_set().of(&job).scheduled(1, 1).build();
    let act_on = |pod: PodBuilder| act(&job, &daemon_set, &[pod.build()], |_| {});
    assert_eq!(reasons(&act_on(own(&job, "b")).status), [""; 0]);
    assert_eq!(reasons(&act_on(own(&job, "b").done()).status), ["Completed"]);
}

#[test]
fn a_pod_of_a_template_of_somebody_else_counts_for_nothing() {
    let job = job();
    let daemon_set = daemon_set().of(&job).scheduled(1, 1).build();
    let done = |generation, hash: &str| {
        let pods = [own(&job, "a").template(generation, hash).done().build()];
        act(&job, &daemon_set, &pods, |applied| applied.revision = Some("h1".into())).status
    };
    assert_eq!(reasons(&done(1, "h1")), ["Completed"]);
    assert_eq!(reasons(&done(7, "h1")), ["Completed"], "an equal template");
    let foreign = done(2, "h2");
    assert_eq!((reasons(&foreign), foreign.succeeded, foreign.active), (vec![], 0, 1));
}

#[test]
fn the_hash_of_the_template_is_looked_up_when_a_pod_of_another_generation_is_kept() {
    let job = job();
    let daemon_set = daemon_set().of(&job).scheduled(1, 1).build();
    let asks = |pod: PodBuilder| {
        decide(&observed(&job, Some(&daemon_set), &[pod.build()], Source::Caches))
            == Decision::ObserveLive
    };
    assert!(asks(own(&job, "a").template(7, "h7")));
    assert!(!asks(own(&job, "a").template(7, "h7").deleted()));
    assert!(!asks(own(&job, "a")));
}

#[test]
fn an_operator_that_starts_anew_learns_first_and_takes_nothing_back() {
    let job = running(2);
    let daemon_set = daemon_set().of(&job).scheduled(2, 2).build();
    let observation = observed(&job, Some(&daemon_set), &[own(&job, "a").build()], Source::Caches);
    let Decision::Act(act) = decide(&Observation { applied: None, ..observation }) else {
        panic!("it asks the API server")
    };
    assert_eq!(act.daemon_set, DaemonSetAction::Restore(DAEMON_SET_UID.to_owned(), Gating::None));
    assert_eq!(act.status.completed_nodes, job.status.clone().unwrap().completed_nodes);
    assert_eq!((act.status.desired, act.status.succeeded), (2, 1));
    assert!(act.requeue_after.is_some_and(|after| after < Duration::from_secs(1)));
}

#[test]
fn a_cache_that_has_not_seen_the_last_write_makes_no_other_one() {
    let mut job = running(1);
    job.spec.args = vec!["other".to_owned()];
    let mut daemon_set = daemon_set().of(&running(1)).scheduled(1, 1).build();
    daemon_set.metadata.resource_version = Some("5".to_owned());
    let written = |applied: &mut Applied| {
        applied.version = 6;
        applied.generation = 2;
        applied.desired = JobView::new(&job).desired;
    };
    let act = act(&job, &daemon_set, &[], written);
    assert_eq!(act.daemon_set, DaemonSetAction::Keep);
}

#[test]
fn a_job_is_complete_when_the_nodes_that_were_done_have_all_left() {
    let job = running(1);
    let daemon_set = daemon_set().of(&job).scheduled(0, 0).build();
    let status = act(&job, &daemon_set, &[], |_| {}).status;
    assert_eq!(reasons(&status), ["Completed"]);
    assert_eq!(status.completed.as_deref(), Some("1/1"));
    assert_eq!(status.conditions[0].message, "done on 1 of 1 nodes");
}

#[test]
fn a_daemon_set_without_its_owner_is_the_jobs_that_had_it_and_no_other_ones() {
    let job = running(1);
    let mut daemon_set = daemon_set().of(&job).scheduled(1, 1).build();
    daemon_set.metadata.owner_references = None;
    let act_on = |owner: &str| {
        let mut observation = observed(&job, Some(&daemon_set), &[], Source::Live);
        observation.applied = Some(Applied { job: owner.to_owned(), ..Applied::default() });
        match decide(&observation) {
            Decision::Act(act) => *act,
            other => panic!("{other:?}"),
        }
    };
    let restore = DaemonSetAction::Restore(DAEMON_SET_UID.to_owned(), Gating::None);
    assert_eq!(act_on("job-1").daemon_set, restore);
    assert_eq!(reasons(&act_on("another").status), ["NameConflict"]);
}

#[test]
fn a_result_whose_pod_is_being_deleted_is_recorded_at_once() {
    let job = job();
    let daemon_set = daemon_set().of(&job).scheduled(2, 2).build();
    let is_urgent = |pod: PodBuilder| {
        let pods = [pod.build(), own(&job, "b").build()];
        act(&job, &daemon_set, &pods, |_| {}).is_urgent
    };
    assert!(is_urgent(own(&job, "a").done().deleted()));
    assert!(!is_urgent(own(&job, "a").done()));
    assert!(!is_urgent(own(&job, "a").deleted()));
}
