//! Specs and DaemonSets that are refused.

use std::time::Duration;

use api::job::{JobStatus, Phase, conditions::Reason, node_set::NodeSet, work_hash};
use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};
use serde_json::json;

use super::{act_on, observed, reasons};
use crate::{
    job::decide::{
        actions::Decision,
        daemon_set::{DaemonSetAction, Gating},
        decide,
        observation::{Observation, Source},
        refused,
    },
    testing::fixtures::{daemon_set, job},
};

#[test]
fn an_unknown_field_of_the_template_is_named() {
    let mut job = job();
    job.spec.template = Some(json!({"spec": {"hostPid": true}}));
    let act = act_on(&job, None, &[]);
    assert_eq!(act.daemon_set, DaemonSetAction::Keep);
    assert_eq!(act.status.conditions[0].message, "spec.template.spec.hostPid: unknown field");
}

#[test]
fn an_invalid_spec_creates_nothing_and_loses_nothing() {
    let mut job = job();
    job.spec.mount_path = Some("tmp".into());
    let running = daemon_set().of(&job).work_hash("w1").scheduled(1, 1).build();
    for daemon_set in [None, Some(&running)] {
        let act = act_on(&job, daemon_set, &[]);
        assert_eq!(act.daemon_set, DaemonSetAction::Keep);
        assert_eq!(reasons(&act.status), ["InvalidSpec"]);
        assert!(act.status.conditions[0].message.starts_with("spec.mountPath: "));
        assert!(act.events[0].is_warning);
    }
}

#[test]
fn an_invalid_edit_keeps_the_results_for_when_it_is_mended() {
    let mut job = job();
    let mut nodes = NodeSet::default();
    nodes.insert("uid-of-a");
    let start_time = Some(Time(Timestamp::from_second(-60).unwrap()));
    job.status = Some(JobStatus {
        work_hash: Some(work_hash::hash(&job.spec)),
        completed_nodes: Some(nodes.clone()),
        start_time: start_time.clone(),
        ..JobStatus::default()
    });
    let valid = job.spec.clone();
    job.spec.image.clear();
    let daemon_set = daemon_set().work_hash(&work_hash::hash(&valid)).build();
    job.status = Some(act_on(&job, Some(&daemon_set), &[]).status);
    assert_eq!(job.status.as_ref().and_then(|status| status.phase), Some(Phase::Failed));
    job.spec = valid;
    let status = act_on(&job, None, &[]).status;
    assert_eq!(status.completed_nodes, Some(nodes));
    assert_eq!(status.start_time, start_time);
    assert_eq!(reasons(&status), [""; 0]);
}

#[test]
fn what_is_known_is_not_noted_again() {
    let mut job = job();
    job.spec.image.clear();
    job.status = Some(act_on(&job, None, &[]).status);
    let act = act_on(&job, None, &[]);
    assert_eq!(act.events, []);
    assert_eq!(Some(act.status), job.status);
}

#[test]
fn what_the_api_server_refuses_is_quoted() {
    let job = job();
    let observation = observed(&job, None, &[], Source::Live);
    let act = refused(&observation, Reason::InvalidSpec, "spec.x: bad".to_owned());
    assert_eq!(reasons(&act.status), ["InvalidSpec"]);
    assert!(act.status.conditions[0].message.ends_with("spec.x: bad"));
}

#[test]
fn a_daemon_set_that_is_refused_is_tried_again_ever_less_often_and_reported_once() {
    let mut job = job();
    let at = |second| Timestamp::from_second(second).unwrap();
    let mut waits = Vec::new();
    for (used, second) in [(1, 0), (2, 1), (3, 20), (4, 3600)] {
        let quota = format!("exceeded quota: q, used: pods={used}");
        let observation =
            Observation { now: at(second), ..observed(&job, None, &[], Source::Live) };
        let act = refused(&observation, Reason::DaemonSetRefused, quota);
        assert_eq!(act.daemon_set, DaemonSetAction::Keep);
        assert_eq!(act.events.len(), usize::from(used == 1), "{:?}", act.events);
        assert_eq!(act.status.conditions[0].message, "exceeded quota: q, used: pods=1");
        waits.push(act.requeue_after);
        job.status = Some(act.status);
    }
    assert_eq!(waits, [1, 1, 10, 60].map(|seconds| Some(Duration::from_secs(seconds))));
    let act = act_on(&job, None, &[]);
    assert_eq!(reasons(&act.status), [""; 0]);
    assert_eq!(act.daemon_set, DaemonSetAction::Create(Gating::None));
}

#[test]
fn a_deadline_ends_a_job_whose_daemon_set_is_refused_in_the_same_words() {
    let mut job = job();
    job.spec.active_deadline_seconds = Some(60);
    let observation = observed(&job, None, &[], Source::Live);
    job.status = Some(refused(&observation, Reason::DaemonSetRefused, "quota".to_owned()).status);
    let late = Timestamp::from_second(61).unwrap();
    let observation = Observation { now: late, ..observed(&job, None, &[], Source::Live) };
    let Decision::Act(act) = decide(&observation) else { panic!("late") };
    assert_eq!(reasons(&act.status), ["DeadlineExceeded"]);
    assert!(act.status.conditions[0].message.ends_with("; quota"));
}
