//! DaemonSets of the Job's name that are not its own.

use api::job::Phase;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;

use super::{act_on, reasons};
use crate::{
    job::decide::daemon_set::{DaemonSetAction, Gating},
    testing::fixtures::{daemon_set, job},
};

#[test]
fn a_foreign_daemon_set_is_left_alone_until_it_is_gone() {
    let mut job = job();
    let foreign = daemon_set().scheduled(1, 1).build();
    let act = act_on(&job, Some(&foreign), &[]);
    assert_eq!(act.daemon_set, DaemonSetAction::Keep);
    assert_eq!(act.status.phase, Some(Phase::Failed));
    assert_eq!(reasons(&act.status), ["NameConflict"]);
    assert!(act.status.conditions[0].message.contains("sample-daemonset-job"));

    job.status = Some(act.status);
    let act = act_on(&job, None, &[]);
    assert_eq!(act.daemon_set, DaemonSetAction::Create(Gating::None));
    assert_eq!(reasons(&act.status), [""; 0]);
}

#[test]
fn the_daemon_set_of_an_earlier_job_is_waited_for() {
    let job = job();
    let mut earlier = job.clone();
    earlier.metadata.uid = Some("earlier".into());
    for leaving in [daemon_set().of(&earlier).build(), daemon_set().of(&job).deleted().build()] {
        let act = act_on(&job, Some(&leaving), &[]);
        assert_eq!(act.daemon_set, DaemonSetAction::Keep);
        assert_eq!(act.status.phase, Some(Phase::Pending));
    }
}

#[test]
fn a_daemon_set_of_another_kind_of_job_is_foreign() {
    let job = job();
    let mut batch = daemon_set().build();
    batch.metadata.owner_references = Some(vec![OwnerReference {
        api_version: "batch/v1".into(),
        kind: "Job".into(),
        name: "sample".into(),
        controller: Some(true),
        ..OwnerReference::default()
    }]);
    assert_eq!(reasons(&act_on(&job, Some(&batch), &[]).status), ["NameConflict"]);
}
