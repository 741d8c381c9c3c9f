//! Specs and DaemonSets that are refused.

use api::job::{JobStatus, Phase, node_set::NodeSet, work_hash};
use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};
use serde_json::json;

use super::{act_on, observed, reasons};
use crate::{
    job::decide::{daemon_set::DaemonSetAction, observation::Source, refused},
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
    assert_eq!(status.conditions, []);
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
    let act = refused(&observed(&job, None, &[], Source::Live), "spec.x: bad");
    assert_eq!(reasons(&act.status), ["InvalidSpec"]);
    assert!(act.status.conditions[0].message.ends_with("spec.x: bad"));
}
