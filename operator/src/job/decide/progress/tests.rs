use std::sync::Arc;

use api::{
    job::{CompletionMode, Job, JobSpec, JobStatus, NodeState, work_hash},
    views::PodView,
};
use k8s_openapi::{
    apimachinery::pkg::apis::meta::v1::Time,
    jiff::{SignedDuration, Timestamp},
};
use serde_json::json;

use super::*;
use crate::{
    job::decide::{
        observation::{Nodes, Source},
        worst_nodes::MAX_NODES,
    },
    testing::fixtures::{PodBuilder, daemon_set, node, nodes, observation, pod, unreachable_node},
};

fn spec() -> JobSpec {
    JobSpec { image: "busybox".into(), ..JobSpec::default() }
}

fn hash() -> String {
    work_hash::hash(&spec())
}

fn ds(desired: i32, current: i32) -> DaemonSetView {
    daemon_set().work_hash(&hash()).scheduled(desired, current).build()
}

fn pods<const N: usize>(pods: [PodBuilder; N]) -> Vec<Arc<PodView>> {
    pods.into_iter().map(PodBuilder::build).collect()
}

/// The progress of a Job whose status has recorded `known`.
///
/// The runs of these tests have no time of their end.
fn progress(
    spec: &JobSpec,
    known: &JobStatus,
    daemon_set: &DaemonSetView,
    pods: &[Arc<PodView>],
    nodes: &Nodes,
    source: Source,
) -> Progress {
    let work_hash = Some(work_hash::hash(spec));
    let status = Some(JobStatus { work_hash, ..known.clone() });
    let job = Job { spec: spec.clone(), status, ..Job::default() };
    let (pods, nodes) = (pods.to_vec(), Arc::new(nodes.clone()));
    let observation = Observation { pods, nodes, source, ..observation(&job) };
    super::progress(&observation, daemon_set, Gating::None)
}

fn of(daemon_set: &DaemonSetView, pods: &[Arc<PodView>]) -> Progress {
    progress(
        &spec(),
        &JobStatus::default(),
        daemon_set,
        pods,
        &nodes([node("a"), node("b"), node("c")]),
        Source::Live,
    )
}

fn crashed() -> serde_json::Value {
    json!({
        "name": "job-container", "image": "", "imageID": "", "ready": false, "restartCount": 0,
        "state": {"terminated": {"exitCode": 3, "reason": "Error"}},
    })
}

fn mine(name: &str) -> PodBuilder {
    pod(name).work_hash(&hash())
}

#[test]
fn all_wanted_nodes_done_is_the_end() {
    let progress = of(&ds(2, 2), &pods([mine("a").done(), mine("b").done()]));
    assert_eq!((progress.desired, progress.active, progress.succeeded), (2, 0, 2));
    assert!(progress.has_ended);
}

#[test]
fn as_many_done_as_wanted_is_not_the_end_while_a_node_with_a_pod_is_not_done() {
    let progress = of(&ds(2, 2), &pods([mine("a").done(), mine("b").done(), mine("c")]));
    assert_eq!((progress.active, progress.has_ended), (1, false));
}

#[test]
fn a_daemon_set_that_is_not_caught_up_is_not_at_its_end() {
    let pods = pods([mine("a").done()]);
    let caught_up = || daemon_set().work_hash(&hash()).scheduled(1, 1);
    let behind = [
        caught_up().scheduled(1, 0),
        caught_up().scheduled(2, 2),
        caught_up().observed_generation(None),
        caught_up().observed_generation(Some(0)),
        caught_up().work_hash("w0"),
    ];
    for daemon_set in behind {
        let daemon_set = daemon_set.build();
        assert!(!of(&daemon_set, &pods).has_ended, "{daemon_set:?}");
    }
    assert!(of(&caught_up().build(), &pods).has_ended);
}

/// A later taint keeps new pods off a node, and leaves the one that is there.
#[test]
fn a_node_that_would_get_no_pod_now_is_waited_for_and_holds_nothing_up() {
    let kept = daemon_set().work_hash(&hash()).scheduled(1, 1).misscheduled(1).build();
    assert!(!of(&kept, &pods([mine("a").done(), mine("b")])).has_ended);
    assert!(!of(&kept, &pods([mine("a").done()])).has_ended, "the status is of another time");
    assert!(of(&kept, &pods([mine("a").done(), mine("b").done()])).has_ended);
}

/// A pod stays for a minute when its node is gone.
#[test]
fn a_pod_whose_node_is_gone_stands_for_no_node_that_is_wanted() {
    let nodes = nodes([node("a"), node("b")]);
    let progress = |last, source| {
        let pods = pods([mine("b").done(), last]);
        progress(&spec(), &JobStatus::default(), &ds(2, 2), &pods, &nodes, source)
    };
    let early = progress(mine("c").done(), Source::Live);
    assert_eq!((early.succeeded, early.has_ended), (1, false), "a is wanted, and its pod is gone");
    assert!(!progress(mine("c").container(crashed()), Source::Live).has_ended);
    assert!(progress(mine("a").done(), Source::Live).has_ended);
    assert!(progress(mine("c").done(), Source::Caches).has_ended, "the node may be new");
}

#[test]
fn pods_of_another_daemon_set_of_the_same_name_do_not_count() {
    let progress = of(&ds(1, 1), &pods([mine("a").done().owner("an-earlier-uid")]));
    assert_eq!((progress.succeeded, progress.has_ended), (0, false));
}

#[test]
fn results_of_other_work_do_not_count() {
    let progress = of(&ds(1, 1), &pods([mine("a").done().work_hash("w0")]));
    assert_eq!((progress.succeeded, progress.active, progress.has_ended), (0, 1, false));
}

#[test]
fn a_node_whose_done_pod_is_being_replaced_stays_done() {
    let progress = of(&ds(1, 1), &pods([mine("a").done().deleted(), mine("a")]));
    assert_eq!((progress.succeeded, progress.active, progress.has_ended), (1, 0, true));
}

#[test]
fn a_pod_that_is_bound_to_no_node_is_waited_for() {
    let progress = of(&ds(1, 1), &pods([mine("a").done(), mine("").done()]));
    assert_eq!((progress.active, progress.has_ended), (1, false));
}

#[test]
fn a_node_that_was_done_stays_done_when_its_pod_is_replaced_or_gone() {
    let first = of(&ds(2, 2), &pods([mine("a").done(), mine("b")]));
    let known = JobStatus { completed_nodes: Some(first.completed_nodes), ..JobStatus::default() };
    let nodes = nodes([node("a"), node("b")]);
    let replaced =
        progress(&spec(), &known, &ds(2, 2), &pods([mine("a"), mine("b")]), &nodes, Source::Live);
    assert_eq!((replaced.succeeded, replaced.active), (1, 1));
    let gone = progress(&spec(), &known, &ds(2, 1), &pods([mine("b")]), &nodes, Source::Live);
    assert_eq!((gone.succeeded, gone.active, gone.has_ended), (1, 1, false));
}

#[test]
fn a_node_that_was_done_and_holds_no_pod_does_not_stand_for_one_that_is_wanted() {
    let mut known = JobStatus::default();
    known
        .completed_nodes
        .get_or_insert_default()
        .insert(node("c").metadata.uid.as_deref().unwrap());
    let nodes = nodes([node("a"), node("b"), node("c")]);
    let progress =
        progress(&spec(), &known, &ds(2, 2), &pods([mine("a").done()]), &nodes, Source::Live);
    assert!(!progress.has_ended, "b is wanted and its pod is gone");
}

#[test]
fn a_node_that_was_recreated_under_its_name_is_not_done() {
    let first = of(&ds(1, 1), &pods([mine("a").done()]));
    let known = JobStatus { completed_nodes: Some(first.completed_nodes), ..JobStatus::default() };
    let mut recreated = (*node("a")).clone();
    recreated.metadata.uid = Some("another".into());
    let nodes = nodes([Arc::new(recreated)]);
    let progress = progress(&spec(), &known, &ds(1, 1), &pods([mine("a")]), &nodes, Source::Live);
    assert_eq!((progress.succeeded, progress.active, progress.has_ended), (0, 1, false));
}

#[test]
fn what_a_pod_has_come_to_that_is_older_than_its_node_is_not_recorded() {
    let time = |second| Timestamp::UNIX_EPOCH + SignedDuration::from_secs(second);
    let pods = |created| {
        pods([
            mine("a").done().created(time(created)),
            mine("b").container(crashed()).created(time(created)),
        ])
    };
    let node = |name| {
        let mut node = (*node(name)).clone();
        node.metadata.creation_timestamp = Some(Time(time(2)));
        Arc::new(node)
    };
    let of = |pods: &[Arc<PodView>]| {
        let nodes = nodes([node("a"), node("b")]);
        let spec = JobSpec { backoff_limit_per_node: Some(0), ..spec() };
        progress(&spec, &JobStatus::default(), &ds(2, 2), pods, &nodes, Source::Live)
    };
    let older = of(&pods(1));
    assert_eq!((older.succeeded, older.failed, older.has_ended), (1, 1, true));
    assert!(older.completed_nodes.is_empty() && older.failed_nodes.is_empty());
    let own = of(&pods(2));
    assert!(own.completed_nodes.contains("uid-of-a") && own.failed_nodes.contains("uid-of-b"));
}

#[test]
fn a_failed_node_is_not_waited_for_and_stays_failed() {
    let spec = JobSpec { backoff_limit_per_node: Some(0), ..spec() };
    let nodes = nodes([node("a"), node("b")]);
    let crash = pods([mine("a").done(), mine("b").container(crashed())]);
    let first = progress(&spec, &JobStatus::default(), &ds(2, 2), &crash, &nodes, Source::Live);
    assert_eq!((first.succeeded, first.failed, first.active, first.has_ended), (1, 1, 0, true));
    assert_eq!((first.nodes[0].name.as_str(), first.nodes[0].state), ("b", NodeState::Failed));
    assert_eq!(first.nodes[0].exit_code, Some(3));

    let known = JobStatus { failed_nodes: Some(first.failed_nodes), ..JobStatus::default() };
    let later = progress(
        &spec,
        &known,
        &ds(2, 2),
        &pods([mine("a").done(), mine("b").done()]),
        &nodes,
        Source::Live,
    );
    assert_eq!((later.succeeded, later.failed), (1, 1));
}

#[test]
fn what_is_known_of_runs_is_recorded_where_work_goes_on() {
    let killed = || {
        let mut status = crashed();
        status["state"]["terminated"]["exitCode"] = json!(137);
        status
    };
    let gone = |pod: PodBuilder| pod.container(killed()).sandbox(false, Timestamp::UNIX_EPOCH);
    let pods = pods([
        gone(mine("a").identity("uid-a", "1")),
        gone(mine("b")).done(),
        gone(mine("c")).deleted(),
    ]);
    let recorded = of(&ds(3, 3), &pods).tallies;
    let tallies: Vec<_> =
        recorded.iter().map(|it| (it.uid.as_str(), it.tally.to_string())).collect();
    let since = "startedAt=1970-01-01T00:00:00Z";
    assert_eq!(tallies, [("uid-a", format!("failedRuns=0 restartCount=0 {since}"))]);
}

#[test]
fn what_was_done_before_it_failed_stays_done() {
    let spec = JobSpec {
        completion_mode: CompletionMode::ExitCode,
        backoff_limit_per_node: Some(0),
        ..spec()
    };
    let hash = work_hash::hash(&spec);
    let container = |code: i32| {
        json!({
            "name": "job-container", "image": "", "imageID": "", "ready": false, "restartCount": 0,
            "state": {"terminated": {"exitCode": code, "reason": "Error"}},
        })
    };
    let daemon_set = daemon_set().work_hash(&hash).scheduled(1, 1).build();
    let done = [pod("a").work_hash(&hash).init_container(container(0)).build()];
    let first = progress(
        &spec,
        &JobStatus::default(),
        &daemon_set,
        &done,
        &nodes([node("a")]),
        Source::Live,
    );
    assert!(first.has_ended && first.succeeded == 1);
    // The sandbox was created again, so the init container ran again, and failed.
    let known = JobStatus { completed_nodes: Some(first.completed_nodes), ..JobStatus::default() };
    let rerun = [pod("a").work_hash(&hash).init_container(container(1)).build()];
    let later = progress(&spec, &known, &daemon_set, &rerun, &nodes([node("a")]), Source::Live);
    assert_eq!((later.succeeded, later.failed), (1, 0));
}

#[test]
fn an_unreachable_node_is_waited_for_and_named_as_such() {
    let nodes = nodes([unreachable_node("a"), unreachable_node("b"), node("c")]);
    let running = json!({
        "name": "job-container", "image": "", "imageID": "", "ready": false, "restartCount": 0,
        "state": {"running": {}},
    });
    let pods = pods([
        mine("a").container(running.clone()),
        mine("b").done(),
        mine("c").container(running),
    ]);
    let progress = progress(&spec(), &JobStatus::default(), &ds(3, 3), &pods, &nodes, Source::Live);
    let states: Vec<_> =
        progress.nodes.iter().map(|node| (node.name.as_str(), node.state)).collect();
    assert_eq!(states, [("a", NodeState::Unreachable), ("c", NodeState::Running)]);
    assert!(!progress.has_ended);
}

#[test]
fn unfinished_nodes_are_listed_with_failed_ones_first() {
    let spec = JobSpec { backoff_limit_per_node: Some(0), ..spec() };
    let status = |state: serde_json::Value| {
        json!({
            "name": "job-container", "image": "", "imageID": "", "ready": false, "restartCount": 0,
            "state": state,
        })
    };
    let crashed = status(json!({"terminated": {"exitCode": 1}}));
    let running = status(json!({"running": {}}));
    let pods = pods([mine("a").container(running), mine("b"), mine("c").container(crashed)]);
    let progress =
        progress(&spec, &JobStatus::default(), &ds(3, 3), &pods, &Nodes::new(), Source::Caches);
    let listed: Vec<_> =
        progress.nodes.iter().map(|node| (node.name.as_str(), node.state)).collect();
    let expected = [("c", NodeState::Failed), ("b", NodeState::Pending), ("a", NodeState::Running)];
    assert_eq!(listed, expected);
}

#[test]
fn of_many_unfinished_nodes_the_first_ones_are_listed_and_all_are_counted() {
    let spec = JobSpec { backoff_limit_per_node: Some(0), ..spec() };
    let names: Vec<_> = (0..250).map(|number| format!("node-{number:03}")).collect();
    let failed = "node-249";
    let pods: Vec<_> = names
        .iter()
        .map(|name| if name == failed { mine(name).container(crashed()) } else { mine(name) })
        .map(PodBuilder::build)
        .collect();
    let progress =
        progress(&spec, &JobStatus::default(), &ds(250, 250), &pods, &Nodes::new(), Source::Caches);
    assert_eq!((progress.unfinished, progress.active, progress.failed), (250, 249, 1));
    let listed: Vec<_> = progress.nodes.iter().map(|node| node.name.as_str()).collect();
    let others = names.iter().map(String::as_str).take(MAX_NODES - 1);
    assert_eq!(listed, [failed].into_iter().chain(others).collect::<Vec<_>>());
}
