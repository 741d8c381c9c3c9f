//! `spec.suspend`.

mod resumption;

use std::{sync::Arc, time::Duration};

use api::{
    job::{
        Job, JobStatus, NodeState, NodeStatus, Phase,
        conditions::{self, Reason},
        failed_runs::FailedRuns,
        node_set::{Member, NodeSet},
        work_hash,
    },
    labels,
    views::{DaemonSetView, Gates, PodView},
};
use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};
use serde_json::json;

use super::{act_on, observed, reasons};
use crate::{
    job::decide::{
        actions::{Actions, Decision},
        daemon_set::DaemonSetAction,
        decide,
        observation::{Observation, Source},
    },
    testing::fixtures::{DAEMON_SET_UID, PodBuilder, daemon_set, job, pod},
};

fn suspended() -> Job {
    let mut job = job();
    job.spec.suspend = Some(true);
    job
}

fn running(job: &Job) -> DaemonSetView {
    daemon_set().of(job).scheduled(2, 2).build()
}

fn leaving(job: &Job) -> DaemonSetView {
    daemon_set().of(job).scheduled(2, 2).deleted().build()
}

fn of(job: &Job, node: &str) -> PodBuilder {
    pod(node).work_hash(&work_hash::hash(&job.spec))
}

/// A pod of `job` whose DaemonSet is gone.
fn orphan(job: &Job, node: &str) -> PodView {
    let mut pod = Arc::unwrap_or_clone(of(job, node).owner("ds-0").build());
    let uid = job.metadata.uid.clone().unwrap_or_default();
    let annotations = pod.metadata.annotations.get_or_insert_default();
    annotations.insert(labels::ANNOTATION_JOB_UID.to_owned(), uid);
    pod
}

fn set(nodes: &[&str]) -> Option<NodeSet> {
    let mut set = NodeSet::default();
    nodes.iter().for_each(|node| set.insert(&format!("uid-of-{node}")));
    Some(set)
}

/// Decides, and stores the status.
fn look(job: &mut Job, daemon_set: Option<&DaemonSetView>, pods: &[Arc<PodView>]) -> Actions {
    let act = act_on(job, daemon_set, pods);
    job.status = Some(act.status.clone());
    act
}

fn events(act: &Actions) -> Vec<&str> {
    act.events.iter().map(|event| event.reason.as_str()).collect()
}

/// A Job that is suspended, with one node done and one failed before.
fn on_hold() -> Job {
    let mut job = suspended();
    let message = "the Job is suspended; its results stay".to_owned();
    let condition =
        |reason| conditions::condition(reason, message.clone(), None, Timestamp::UNIX_EPOCH);
    let mut failed_runs = FailedRuns::default();
    failed_runs.add(Member::from("uid-of-c"), Timestamp::UNIX_EPOCH, 1);
    job.status = Some(JobStatus {
        phase: Some(Phase::Suspended),
        work_hash: Some(work_hash::hash(&job.spec)),
        desired: 3,
        succeeded: 1,
        failed: 1,
        completed: Some("1/3".to_owned()),
        completed_nodes: set(&["a"]),
        failed_nodes: set(&["b"]),
        failed_runs: Some(failed_runs),
        nodes: vec![NodeStatus { state: NodeState::Failed, ..NodeStatus::default() }],
        duration: Some("1m".to_owned()),
        conditions: vec![condition(Reason::NodesFailed), condition(Reason::JobSuspended)],
        ..JobStatus::default()
    });
    job
}

#[test]
fn a_job_that_is_created_suspended_gets_no_daemon_set() {
    let mut job = suspended();
    job.spec.active_deadline_seconds = Some(60);
    assert_eq!(decide(&observed(&job, None, &[], Source::Caches)), Decision::ObserveLive);
    let act = look(&mut job, None, &[]);
    assert_eq!((&act.daemon_set, act.requeue_after), (&DaemonSetAction::Keep, None));
    assert_eq!((reasons(&act.status), events(&act)), (vec!["JobSuspended"], vec!["Suspended"]));
    assert_eq!((act.status.phase, act.status.start_time), (Some(Phase::Suspended), None));
    // The caches suffice from now on, and nothing changes.
    let Decision::Act(act) = decide(&observed(&job, None, &[], Source::Caches)) else {
        panic!("it is known");
    };
    assert_eq!((act.daemon_set, Some(act.status)), (DaemonSetAction::Keep, job.status));
}

#[test]
fn results_are_stored_before_their_pods_are_stopped() {
    let mut job = suspended();
    let pods = [of(&job, "a").done().build(), of(&job, "b").build()];
    let act = look(&mut job, Some(&running(&suspended())), &pods);
    assert_eq!((&act.daemon_set, events(&act)), (&DaemonSetAction::Keep, vec![]));
    assert_eq!(
        (reasons(&act.status), &act.status.completed_nodes),
        (vec!["PodsStopping"], &set(&["a"]))
    );

    let act = look(&mut job, Some(&running(&suspended())), &pods);
    assert_eq!(act.daemon_set, DaemonSetAction::Stop(DAEMON_SET_UID.to_owned()));
    assert_eq!((act.status.phase, act.status.active), (Some(Phase::Pending), 1));

    // One of them is on its way.
    let pods = [of(&job, "a").done().deleted().build(), of(&job, "b").build()];
    let act = look(&mut job, Some(&leaving(&suspended())), &pods);
    assert_eq!(
        (act.daemon_set, reasons(&act.status)),
        (DaemonSetAction::Keep, vec!["PodsStopping"])
    );
    let pods = [of(&job, "b").deleted().build()];
    let act = look(&mut job, Some(&leaving(&suspended())), &pods);
    assert_eq!((events(&act), reasons(&act.status)), (vec!["Suspended"], vec!["JobSuspended"]));
    assert_eq!((act.status.phase, act.status.active), (Some(Phase::Suspended), 0));
    assert_eq!((act.status.succeeded, act.status.completed_nodes), (1, set(&["a"])));
}

#[test]
fn suspended_is_only_believed_from_the_api_server() {
    let mut job = suspended();
    let pods = [of(&job, "a").deleted().build()];
    for daemon_set in [None, Some(leaving(&job))] {
        let observation = observed(&job, daemon_set.as_ref(), &pods, Source::Caches);
        assert_eq!(decide(&observation), Decision::ObserveLive);
    }
    look(&mut job, None, &[]);
    // A cache may still show the DaemonSet. The API server shows none that somebody has created since.
    let running = running(&job);
    let observation = observed(&job, Some(&running), &[], Source::Caches);
    assert_eq!(decide(&observation), Decision::ObserveLive);
    let act = look(&mut job, Some(&running), &[of(&suspended(), "a").build()]);
    assert_eq!(act.daemon_set, DaemonSetAction::Stop(DAEMON_SET_UID.to_owned()));
    assert_eq!(
        (reasons(&act.status), act.status.phase),
        (vec!["PodsStopping"], Some(Phase::Pending))
    );
}

#[test]
fn a_job_is_not_suspended_while_a_pod_without_a_daemon_set_stays() {
    let mut job = suspended();
    let staying = orphan(&job, "a");
    let act = look(&mut job, None, &[Arc::new(staying.clone())]);
    assert_eq!(reasons(&act.status), ["PodsStopping"]);
    assert_eq!(act.requeue_after, Some(Duration::from_secs(1)));
    let mut foreign = staying.clone();
    foreign.metadata.annotations = None;
    let mut going = staying;
    going.metadata.deletion_timestamp = Some(Time(Timestamp::UNIX_EPOCH));
    let act = look(&mut job, None, &[going, foreign].map(Arc::new));
    assert_eq!(reasons(&act.status), ["JobSuspended"]);
}

#[test]
fn work_that_ends_while_it_is_stopped_counts_and_a_stopped_container_has_not_failed() {
    let mut job = suspended();
    job.spec.backoff_limit_per_node = Some(0);
    let pods = [of(&job, "a").build(), of(&job, "b").build()];
    look(&mut job, Some(&running(&suspended())), &pods);
    let stopped = json!({
        "name": "job-container", "image": "", "imageID": "", "ready": false, "restartCount": 0,
        "state": {"terminated": {"exitCode": 143}},
    });
    let pods = [
        of(&job, "a").done().deleted().build(),
        of(&job, "b").container(stopped).deleted().build(),
    ];
    let status = look(&mut job, Some(&leaving(&suspended())), &pods).status;
    assert_eq!((status.completed_nodes, status.failed_nodes), (set(&["a"]), None));
    assert_eq!((status.succeeded, status.failed), (1, 0));
}

#[test]
fn nodes_at_work_hold_their_places_until_their_pods_are_gone() {
    let mut job = suspended();
    let started_nodes = set(&["a", "b"]);
    job.status = Some(JobStatus {
        work_hash: Some(work_hash::hash(&job.spec)),
        started_nodes: started_nodes.clone(),
        stopping_nodes: set(&["d"]),
        waiting: 1,
        ..JobStatus::default()
    });
    let mut waiting = Arc::unwrap_or_clone(of(&job, "c").build());
    waiting.spec.gates = Gates { turn: true, others: false };
    let pods = [of(&job, "a").build(), of(&job, "b").done().build(), Arc::new(waiting)];
    let status = look(&mut job, Some(&running(&suspended())), &pods).status;
    assert_eq!((status.started_nodes, status.stopping_nodes), (started_nodes, set(&["d"])));
    let status = look(&mut job, Some(&running(&suspended())), &pods).status;
    assert_eq!((status.started_nodes, status.stopping_nodes), (None, set(&["a", "b", "d"])));
    assert_eq!(status.waiting, 0);

    let going = [of(&job, "a").deleted().build()];
    let status = look(&mut job, Some(&leaving(&suspended())), &going).status;
    assert_eq!(
        (reasons(&status), &status.stopping_nodes),
        (vec!["JobSuspended"], &set(&["a", "b", "d"]))
    );
    assert_eq!(decide(&observed(&job, None, &[], Source::Caches)), Decision::ObserveLive);
    let act = look(&mut job, None, &[]);
    assert_eq!((act.status.stopping_nodes, act.requeue_after), (None, None));
}

#[test]
fn a_daemon_set_that_is_not_the_jobs_own_is_left_alone() {
    let mut earlier = suspended();
    earlier.metadata.uid = Some("earlier".to_owned());
    let foreign = daemon_set().build();
    for other in [foreign.clone(), daemon_set().of(&earlier).build()] {
        let mut job = suspended();
        let act = look(&mut job, Some(&other), &[of(&earlier, "a").build()]);
        assert_eq!(act.daemon_set, DaemonSetAction::Keep);
        assert_eq!(
            (act.status.phase, reasons(&act.status)),
            (Some(Phase::Suspended), vec!["JobSuspended"])
        );
    }
    // A conflict of names is one again when the Job needs its DaemonSet.
    let mut job = suspended();
    look(&mut job, Some(&foreign), &[]);
    job.spec.suspend = Some(false);
    look(&mut job, Some(&foreign), &[]);
    let act = look(&mut job, Some(&foreign), &[]);
    assert_eq!(reasons(&act.status), ["NameConflict", "JobResumed"]);
}

#[test]
fn a_suspended_job_with_an_invalid_spec_says_both_and_keeps_its_results() {
    let mut job = suspended();
    let valid = job.spec.clone();
    let pods = [of(&job, "a").done().build(), of(&job, "b").build()];
    look(&mut job, Some(&running(&suspended())), &pods);
    job.spec.image.clear();
    let act = look(&mut job, Some(&running(&suspended())), &pods);
    assert_eq!(act.daemon_set, DaemonSetAction::Stop(DAEMON_SET_UID.to_owned()));
    let status = look(&mut job, None, &[]).status;
    assert_eq!(
        (status.phase, reasons(&status)),
        (Some(Phase::Suspended), vec!["InvalidSpec", "JobSuspended"])
    );
    assert_eq!(status.completed_nodes, set(&["a"]));
    job.spec = valid;
    let status = look(&mut job, None, &[]).status;
    assert_eq!((reasons(&status), &status.completed_nodes), (vec!["JobSuspended"], &set(&["a"])));
    // Resumed while it is invalid: that is what holds it up now.
    job.spec.image.clear();
    job.spec.suspend = None;
    assert_eq!(events(&look(&mut job, None, &[])), ["InvalidSpec", "Resumed"]);
    let act = look(&mut job, None, &[]);
    assert_eq!((act.daemon_set, act.status.phase), (DaemonSetAction::Keep, Some(Phase::Failed)));
    assert_eq!(act.status.completed_nodes, set(&["a"]));
}

#[test]
fn a_complete_job_is_not_suspended() {
    let mut job = job();
    let pods = [of(&job, "a").done().build(), of(&job, "b").done().build()];
    let running = running(&job);
    look(&mut job, Some(&running), &pods);
    assert_eq!(job.status.as_ref().and_then(|status| status.phase), Some(Phase::Completed));
    job.spec.suspend = Some(true);
    let known = job.status.clone();
    let act = look(&mut job, None, &[]);
    assert_eq!((act.daemon_set, Some(act.status)), (DaemonSetAction::Keep, known));
}

#[test]
fn a_suspended_job_that_is_deleted_needs_nothing() {
    let mut job = on_hold();
    job.metadata.deletion_timestamp = Some(Time(Timestamp::UNIX_EPOCH));
    assert_eq!(decide(&observed(&job, None, &[], Source::Live)), Decision::Nothing);
}
