//! Whether nodes take turns at all.

use api::job::{JobSpec, Phase};
use k8s_openapi::api::apps::v1::DaemonSet;

use super::*;
use crate::job::decide::{
    daemon_set::{DaemonSetAction, desired},
    job_view::JobView,
};

fn decide_on(job: &Job, change: impl FnOnce(&mut Observation<'_>)) -> Actions {
    let mut observation = fixtures::observation(job);
    change(&mut observation);
    match decide(&observation) {
        Decision::Act(actions) => *actions,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_new_daemon_set_is_gated_if_a_field_asks_for_turns() {
    let create = |change: fn(&mut JobSpec)| {
        let mut job = fixtures::job();
        change(&mut job.spec);
        let act = decide_on(&job, |_| {});
        (act.daemon_set, act.status.started_nodes)
    };
    let turns = (DaemonSetAction::Create(Gating::Turn), Some(NodeSet::default()));
    assert_eq!(create(|_| {}), (DaemonSetAction::Create(Gating::None), None));
    assert_eq!(create(|spec| spec.parallelism = Some(IntOrString::Int(0))), turns);
    assert_eq!(create(|spec| spec.min_ready_seconds = Some(0)), turns);
    assert_eq!(create(|spec| spec.order = vec![Default::default()]), turns);
}

#[test]
fn a_daemon_set_that_is_gone_is_gated_if_nodes_are_done() {
    let scene = Scene::new(&["a", "b"]).completed(&["a"]).status(|it| it.started_nodes = None);
    let act = decide_on(&scene.job, |_| {});
    assert_eq!(act.daemon_set, DaemonSetAction::Create(Gating::Turn));
    assert_eq!(act.status.completed_nodes, Some(set(&["a"])));
}

#[test]
fn fields_that_come_too_late_do_not_count_and_the_status_says_so() {
    let mut scene = Scene::new(&["a", "b"]).parallelism(1).status(|it| it.started_nodes = None);
    scene.gating = Gating::None;
    let act = scene.clone().pod(pod("a")).pod(pod("b")).look();
    assert_eq!((act.daemon_set, act.status.started_nodes), (DaemonSetAction::Keep, None));
    let condition = conditions::find(&act.status.conditions, WAITING).unwrap();
    assert_eq!((&*condition.reason, &*condition.status), ("NotGated", "False"));
    assert!(condition.message.starts_with("spec.parallelism was set after"));
}

#[test]
fn a_gated_daemon_set_stays_so_without_the_fields_and_all_start() {
    let act = Scene::waiting(&["a", "b"]).look();
    assert_eq!(act.daemon_set, DaemonSetAction::Keep);
    assert_eq!((released(&act), why(&act)), (vec!["a", "b"], None));
}

#[test]
fn a_stranger_neither_takes_the_gate_out_nor_puts_it_in() {
    let uid = || fixtures::DAEMON_SET_UID.to_owned();
    let edited = |job: &Job, written: Gating, is_gated: bool| {
        let mut daemon_set = fixtures::daemon_set().of(job).scheduled(2, 2);
        if is_gated {
            daemon_set = daemon_set.gated();
        }
        let mut daemon_set = daemon_set.build();
        daemon_set.metadata.generation = Some(2);
        let act = decide_on(job, |observation| {
            observation.daemon_set = Some(Arc::new(daemon_set));
            observation.applied.as_mut().unwrap().gating = written;
        });
        act.daemon_set
    };
    let gated = Scene::new(&["a", "b"]).parallelism(1).job;
    let is_gated = DaemonSetAction::Restore(uid(), Gating::Turn);
    assert_eq!(edited(&gated, Gating::Turn, false), is_gated);
    assert_eq!(edited(&gated, Gating::None, false), is_gated, "the status knows");
    let ungated = Scene::new(&["a", "b"]).status(|it| it.started_nodes = None).job;
    assert_eq!(edited(&ungated, Gating::None, true), DaemonSetAction::Restore(uid(), Gating::None));
}

#[test]
fn after_a_restart_the_gating_is_that_of_status_or_daemon_set() {
    let restored = |job: &Job, is_gated: bool| {
        let daemon_set = fixtures::daemon_set().of(job);
        let daemon_set = if is_gated { daemon_set.gated() } else { daemon_set };
        let act = decide_on(job, |observation| {
            observation.daemon_set = Some(Arc::new(daemon_set.build()));
            observation.applied = None;
        });
        match act.daemon_set {
            DaemonSetAction::Restore(_, gating) => (gating, act.status.started_nodes.is_some()),
            other => panic!("{other:?}"),
        }
    };
    let scene = Scene::new(&["a"]).status(|it| it.phase = Some(Phase::Running));
    assert_eq!(restored(&scene.job, false), (Gating::Turn, true));
    let scene = scene.status(|it| it.started_nodes = None);
    assert_eq!(restored(&scene.job, false), (Gating::None, false));
    let mut interrupted = scene.parallelism(1);
    assert_eq!(restored(&interrupted.job, false), (Gating::None, false), "it was set too late");
    interrupted.job.status = None;
    assert_eq!(restored(&interrupted.job, false), (Gating::Turn, true), "never started unchecked");
    interrupted.job.spec.parallelism = None;
    assert_eq!(restored(&interrupted.job, true), (Gating::Turn, true));
    assert_eq!(restored(&interrupted.job, false), (Gating::None, false));
}

/// The status is that of the new work by then, and the DaemonSet still does the old one.
#[test]
fn work_that_was_refused_at_first_is_gated_when_it_is_accepted() {
    let scene = Scene::new(&["a", "b"]).parallelism(1).status(|it| it.started_nodes = None);
    let act = decide_on(&scene.job, |observation| {
        let daemon_set = fixtures::daemon_set().of(&scene.job).work_hash("earlier");
        observation.daemon_set = Some(Arc::new(daemon_set.scheduled(2, 2).build()));
        observation.applied.as_mut().unwrap().desired += 1;
    });
    let uid = fixtures::DAEMON_SET_UID.to_owned();
    assert_eq!(act.daemon_set, DaemonSetAction::Restore(uid, Gating::Turn));
}

#[test]
fn a_job_without_turns_has_nothing_of_them() {
    let mut scene = Scene::new(&["a", "b"]).status(|it| it.started_nodes = None);
    scene.gating = Gating::None;
    let act = scene.pod(pod("a").done()).pod(pod("b")).look();
    let status = serde_json::to_value(&act.status).unwrap();
    for field in ["waiting", "startedNodes", "stoppingNodes"] {
        assert_eq!(status.get(field), None);
    }
    assert_eq!(act.releases, []);
    assert_eq!(conditions::find(&act.status.conditions, WAITING), None);
    let daemon_set: DaemonSet =
        desired(&JobView::new(&fixtures::job()), "pause", Gating::None).unwrap();
    let pod = daemon_set.spec.unwrap().template.spec.unwrap();
    assert_eq!(pod.scheduling_gates, None);
}
