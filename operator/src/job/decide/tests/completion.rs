//! From the creation of a DaemonSet to its deletion.

use api::job::{JobStatus, Phase, node_set::NodeSet, work_hash};
use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};
use serde_json::json;

use super::{act_on, observed, reasons};
use crate::{
    job::decide::{
        actions::Decision,
        daemon_set::{DaemonSetAction, Gating},
        decide,
        events::JobEvent,
        observation::Source,
    },
    testing::fixtures::{DAEMON_SET_UID, daemon_set, job, pod},
};

#[test]
fn a_new_job_gets_its_daemon_set_once_the_api_server_says_there_is_none() {
    let job = job();
    assert_eq!(decide(&observed(&job, None, &[], Source::Caches)), Decision::ObserveLive);
    let act = act_on(&job, None, &[]);
    assert_eq!(act.daemon_set, DaemonSetAction::Create(Gating::None));
    assert_eq!(act.status.phase, Some(Phase::Pending));
    assert_eq!(act.events[0].reason, "SuccessfulCreate");
}

#[test]
fn a_creation_that_was_interrupted_before_its_event_is_noted_later() {
    let job = job();
    let daemon_set = daemon_set().of(&job).scheduled(1, 1).build();
    let act = act_on(&job, Some(&daemon_set), &[pod("a").build()]);
    assert_eq!(act.daemon_set, DaemonSetAction::Keep);
    assert_eq!(act.events, [JobEvent::created("sample-daemonset-job")]);
}

#[test]
fn completion_is_only_believed_from_the_api_server() {
    let job = job();
    let daemon_set = daemon_set().of(&job).scheduled(1, 1).build();
    let pods = [pod("a").done().work_hash(&work_hash::hash(&job.spec)).build()];
    assert_eq!(
        decide(&observed(&job, Some(&daemon_set), &pods, Source::Caches)),
        Decision::ObserveLive
    );
    let act = act_on(&job, Some(&daemon_set), &pods);
    assert_eq!(act.status.phase, Some(Phase::Completed));
    assert_eq!(act.status.completed.as_deref(), Some("1/1"));
    assert_eq!(reasons(&act.status), ["Completed"]);
}

#[test]
fn progress_is_taken_from_the_caches() {
    let job = job();
    let daemon_set = daemon_set().of(&job).scheduled(3, 3).build();
    let hash = work_hash::hash(&job.spec);
    let pods = [pod("a").done().work_hash(&hash).build(), pod("b").build(), pod("c").build()];
    let Decision::Act(act) = decide(&observed(&job, Some(&daemon_set), &pods, Source::Caches))
    else {
        panic!("progress needs no live observation");
    };
    assert_eq!(act.status.completed.as_deref(), Some("1/3"));
    assert_eq!((act.status.desired, act.status.active, act.status.succeeded), (3, 2, 1));
    assert_eq!(act.status.phase, Some(Phase::Running));
}

#[test]
fn no_matching_node_completes_with_a_reason_of_its_own() {
    let job = job();
    let daemon_set = daemon_set().of(&job).scheduled(0, 0).build();
    let act = act_on(&job, Some(&daemon_set), &[]);
    assert_eq!(reasons(&act.status), ["NoMatchingNodes"]);
    assert!(act.events.iter().any(|event| event.is_warning));
}

#[test]
fn a_finished_job_stays_finished_and_loses_its_daemon_set() {
    let mut job = job();
    let daemon_set = daemon_set().of(&job).scheduled(1, 1).build();
    let pods = [pod("a").done().work_hash(&work_hash::hash(&job.spec)).build()];
    job.status = Some(act_on(&job, Some(&daemon_set), &pods).status);
    let act = act_on(&job, Some(&daemon_set), &[pod("b").build()]);
    assert_eq!(act.daemon_set, DaemonSetAction::Delete(DAEMON_SET_UID.into()));
    assert_eq!(Some(act.status), job.status);
    assert_eq!(act.events, []);
    assert_eq!(act_on(&job, None, &[]).daemon_set, DaemonSetAction::Keep);
}

#[test]
fn changed_work_restarts_and_earlier_results_do_not_count() {
    let mut job = job();
    let daemon_set = daemon_set().of(&job).scheduled(1, 1).build();
    let pods = [pod("a").done().work_hash(&work_hash::hash(&job.spec)).build()];
    job.status = Some(act_on(&job, Some(&daemon_set), &pods).status);
    job.spec.args = vec!["again".into()];
    job.metadata.generation = Some(2);
    let act = act_on(&job, Some(&daemon_set), &pods);
    assert_eq!(act.daemon_set, DaemonSetAction::Update(DAEMON_SET_UID.into(), Gating::None));
    assert_eq!(act.events, [JobEvent::restarted()]);
    assert_eq!((act.status.succeeded, act.status.phase), (0, Some(Phase::Running)));
    assert_eq!(reasons(&act.status), [""; 0]);
    assert_eq!(act.status.observed_generation, Some(2));
}

#[test]
fn an_edited_limit_keeps_the_results_and_changed_work_does_not() {
    let mut job = job();
    let status = JobStatus {
        work_hash: Some(work_hash::hash(&job.spec)),
        completed_nodes: Some({
            let mut set = NodeSet::default();
            set.insert("uid-of-a");
            set
        }),
        ..JobStatus::default()
    };
    job.status = Some(status);
    let daemon_set = daemon_set().of(&job).scheduled(2, 2).build();
    let pods = [pod("a").build(), pod("b").build()];
    job.spec.ttl_seconds_after_finished = Some(5);
    let act = act_on(&job, Some(&daemon_set), &pods);
    assert_eq!(act.status.completed_nodes.map(|set| set.len()), Some(1));
    job.spec.termination_word = Some("finished".into());
    let act = act_on(&job, Some(&daemon_set), &pods);
    assert_eq!(act.status.completed_nodes, None);
}

#[test]
fn a_job_that_is_going_away_is_left_alone() {
    let mut job = job();
    job.metadata.deletion_timestamp = Some(Time(Timestamp::UNIX_EPOCH));
    assert_eq!(decide(&observed(&job, None, &[], Source::Live)), Decision::Nothing);
}

/// 0.1.0 hashed templates as they were written.
#[test]
fn nothing_of_a_job_that_an_earlier_version_started_runs_again() {
    let mut job = job();
    let resources = json!({"limits": {"cpu": "1000m"}});
    let container = json!({"name": "job-container", "resources": resources});
    job.spec.template = Some(json!({"spec": {"containers": [container]}}));
    let old = "64678ffdfb472230";
    assert_ne!(work_hash::hash(&job.spec), old);
    job.status = Some(JobStatus { work_hash: Some(old.to_owned()), ..JobStatus::default() });
    let daemon_set = daemon_set().of(&job).work_hash(old).scheduled(2, 2).build();
    let pods = [pod("a").work_hash(old).done().build(), pod("b").work_hash(old).build()];
    let act = act_on(&job, Some(&daemon_set), &pods);
    assert_eq!((act.daemon_set, act.status.succeeded), (DaemonSetAction::Keep, 1));
    assert_eq!(act.status.work_hash.as_deref(), Some(old));
}
