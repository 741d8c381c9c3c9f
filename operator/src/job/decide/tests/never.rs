//! `spec.completionPolicy: Never`.

use std::sync::Arc;

use api::{
    job::{
        CompletionPolicy, Job, JobStatus, Phase,
        conditions::{self, READY, Reason},
        node_set::NodeSet,
        work_hash,
    },
    views::{DaemonSetView, PodView},
};
use k8s_openapi::jiff::Timestamp;
use serde_json::json;

use super::{act_on, observed};
use crate::{
    job::decide::{
        actions::{Actions, Decision},
        daemon_set::DaemonSetAction,
        decide, nodes,
        observation::Source,
    },
    testing::fixtures::{PodBuilder, daemon_set, job, pod},
};

fn never() -> Job {
    let mut job = job();
    job.spec.completion_policy = CompletionPolicy::Never;
    job
}

fn wanting(job: &Job, nodes: i32) -> DaemonSetView {
    daemon_set().of(job).scheduled(nodes, nodes).build()
}

fn of(job: &Job, node: &str) -> PodBuilder {
    pod(node).work_hash(&work_hash::hash(&job.spec))
}

fn crashed(job: &Job, node: &str) -> Arc<PodView> {
    let container = json!({
        "name": "job-container", "image": "", "imageID": "", "ready": false, "restartCount": 0,
        "state": {"terminated": {"exitCode": 1}},
    });
    of(job, node).container(container).build()
}

/// Decides, and stores the status.
fn look(job: &mut Job, daemon_set: Option<&DaemonSetView>, pods: &[Arc<PodView>]) -> Actions {
    let act = act_on(job, daemon_set, pods);
    job.status = Some(act.status.clone());
    act
}

/// Reason of the condition Ready, and whether that is true.
fn ready(status: &JobStatus) -> (Reason, bool) {
    let condition = conditions::find(&status.conditions, READY).unwrap();
    (Reason::of(condition).unwrap(), condition.status == "True")
}

#[test]
fn a_job_that_never_completes_is_ready_while_every_wanted_node_is_done() {
    let mut job = never();
    let act = look(&mut job, None, &[]);
    assert_eq!(ready(&act.status), (Reason::NodesNotDone, false));
    let pods = [of(&job, "a").done().build(), of(&job, "b").build()];
    let act = look(&mut job, Some(&wanting(&never(), 2)), &pods);
    assert_eq!(ready(&act.status), (Reason::NodesNotDone, false));

    let pods = [of(&job, "a").done().build(), of(&job, "b").done().build()];
    let two = wanting(&job, 2);
    assert_eq!(decide(&observed(&job, Some(&two), &pods, Source::Caches)), Decision::ObserveLive);
    let act = look(&mut job, Some(&two), &pods);
    assert_eq!(
        (ready(&act.status), act.daemon_set),
        ((Reason::AllNodesDone, true), DaemonSetAction::Keep)
    );
    assert_eq!((act.status.phase, act.status.completion_time), (Some(Phase::Running), None));
    assert_eq!(act.status.completed.as_deref(), Some("2/2"));
    assert!(conditions::finished(&act.status.conditions).is_none());
    // It is known now, so caches suffice.
    let Decision::Act(act) = decide(&observed(&job, Some(&two), &pods, Source::Caches)) else {
        panic!("it is ready");
    };
    assert_eq!(Some(act.status), job.status);

    let joined = [&pods[..], &[of(&job, "c").build()]].concat();
    let three = wanting(&job, 3);
    let Decision::Act(act) = decide(&observed(&job, Some(&three), &joined, Source::Caches)) else {
        panic!("a node that is not done needs no proof");
    };
    assert_eq!(ready(&act.status), (Reason::NodesNotDone, false));
}

#[test]
fn failed_nodes_do_not_end_it_unless_they_are_more_than_it_tolerates() {
    let mut job = never();
    job.spec.backoff_limit_per_node = Some(0);
    let pods = [of(&job, "a").done().build(), crashed(&job, "b")];
    let act = look(&mut job, Some(&wanting(&never(), 2)), &pods);
    assert_eq!((act.status.phase, act.status.failed), (Some(Phase::Running), 1));
    assert_eq!(ready(&act.status), (Reason::NodesNotDone, false));
    let message = &conditions::find(&act.status.conditions, READY).unwrap().message;
    assert_eq!(message, "failed on: b");

    job.spec.max_failed_nodes = Some(0);
    let act = look(&mut job, Some(&wanting(&never(), 2)), &pods);
    assert_eq!(act.status.phase, Some(Phase::Failed));
    assert_eq!(ready(&act.status), (Reason::NotRunning, false));
}

#[test]
fn without_a_node_it_is_ready_for_a_reason_of_its_own_and_waits() {
    let mut job = never();
    let act = look(&mut job, Some(&wanting(&never(), 0)), &[]);
    assert_eq!(ready(&act.status), (Reason::NoNodesWanted, true));
    assert!(conditions::finished(&act.status.conditions).is_none());
}

#[test]
fn it_is_not_ready_while_it_is_suspended_or_its_spec_is_invalid() {
    let mut job = never();
    let pods = [of(&job, "a").done().build()];
    let one = wanting(&job, 1);
    look(&mut job, Some(&one), &pods);
    job.spec.suspend = Some(true);
    assert_eq!(ready(&look(&mut job, Some(&one), &pods).status), (Reason::NotRunning, false));
    assert_eq!(ready(&look(&mut job, None, &[]).status), (Reason::NotRunning, false));
    job.spec.suspend = None;
    assert_eq!(ready(&look(&mut job, None, &[]).status), (Reason::NodesNotDone, false));
    let image = std::mem::take(&mut job.spec.image);
    assert_eq!(ready(&look(&mut job, None, &[]).status), (Reason::NotRunning, false));
    job.spec.image = image;
    assert_eq!(ready(&look(&mut job, None, &[]).status), (Reason::NodesNotDone, false));
    assert_eq!(ready(&look(&mut job, Some(&one), &pods).status), (Reason::AllNodesDone, true));
}

#[test]
fn a_job_that_is_complete_goes_on_when_it_is_never_to_complete_and_ends_otherwise() {
    for failing in [false, true] {
        let mut job = never();
        job.spec.completion_policy = CompletionPolicy::Always;
        job.spec.backoff_limit_per_node = Some(0);
        let second = if failing { crashed(&job, "b") } else { of(&job, "b").done().build() };
        let pods = [of(&job, "a").done().build(), second];
        let two = wanting(&job, 2);
        let act = look(&mut job, Some(&two), &pods);
        assert!(conditions::finished(&act.status.conditions).is_some());
        assert!(conditions::find(&act.status.conditions, READY).is_none());

        job.spec.completion_policy = CompletionPolicy::Never;
        let act = look(&mut job, None, &[]);
        assert!(matches!(act.daemon_set, DaemonSetAction::Create(_)), "{:?}", act.daemon_set);
        assert!(conditions::finished(&act.status.conditions).is_none());
        assert_eq!((act.status.completion_time, act.status.duration), (None, None));
        assert!(act.status.completed_nodes.is_some());

        job.spec.completion_policy = CompletionPolicy::Always;
        let act = look(&mut job, Some(&two), &pods);
        assert!(conditions::finished(&act.status.conditions).is_some());
        assert!(conditions::find(&act.status.conditions, READY).is_none());
    }
}

#[test]
fn results_of_nodes_that_are_gone_are_dropped_when_they_are_many() {
    let mut job = never();
    let set = |nodes: std::ops::Range<i32>| {
        let mut set = NodeSet::default();
        set.insert("uid-of-a");
        nodes.for_each(|node| set.insert(&format!("gone-{node}")));
        Some(set)
    };
    let one = wanting(&job, 1);
    let pods = [of(&job, "a").build()];
    // There are four nodes.
    for (gone, is_dropped) in [(0..7, false), (0..8, true)] {
        job.status = Some(JobStatus {
            work_hash: Some(work_hash::hash(&job.spec)),
            completed_nodes: set(gone.clone()),
            conditions: vec![conditions::condition(
                Reason::AllNodesDone,
                String::new(),
                None,
                Timestamp::UNIX_EPOCH,
            )],
            ..JobStatus::default()
        });
        let cached = observed(&job, Some(&one), &pods, Source::Caches);
        assert_eq!(decide(&cached) == Decision::ObserveLive, is_dropped);
        let live = observed(&job, Some(&one), &pods, Source::Live);
        assert!(nodes::needs_live_nodes(&live) || !is_dropped);
        let kept = if is_dropped { set(0..0) } else { set(gone) };
        assert_eq!(act_on(&job, Some(&one), &pods).status.completed_nodes, kept);
    }
    job.spec.completion_policy = CompletionPolicy::Always;
    let kept = act_on(&job, Some(&one), &pods).status.completed_nodes;
    assert_eq!(kept, set(0..8), "only a Job that stays for ever needs that");
}
