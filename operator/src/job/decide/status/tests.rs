use api::job::{Job, work_hash};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::*;
use crate::job::decide::worst_nodes::MAX_NODES;

const NOW: Timestamp = Timestamp::UNIX_EPOCH;

fn status(succeeded: i32) -> JobStatus {
    JobStatus { phase: Some(Phase::Running), succeeded, ..JobStatus::default() }
}

#[test]
fn an_unchanged_status_is_not_written() {
    assert_eq!(when_to_write(Some(&status(1)), &status(1), None, NOW), Write::Never);
}

#[test]
fn progress_is_written_at_most_once_a_second() {
    let ago = |millis| Some(Duration::from_millis(millis));
    let write = |since_last| when_to_write(Some(&status(1)), &status(2), since_last, NOW);
    assert_eq!(write(ago(300)), Write::After(Duration::from_millis(700)));
    assert_eq!(write(ago(1000)), Write::Now);
    assert_eq!(write(None), Write::Now);
}

#[test]
fn progress_of_a_job_that_runs_for_long_is_written_less_often() {
    let wait = |seconds: i64| {
        let start_time = Timestamp::from_second(-seconds).ok().map(Time);
        let next = JobStatus { start_time, ..status(2) };
        when_to_write(Some(&status(1)), &next, Some(Duration::ZERO), NOW)
    };
    let after = |seconds| Write::After(Duration::from_secs(seconds));
    assert_eq!([10, 60, 3600].map(wait), [after(1), after(3), after(5)]);
}

#[test]
fn a_changed_phase_is_written_at_once() {
    let done = JobStatus { phase: Some(Phase::Completed), ..status(3) };
    assert_eq!(when_to_write(Some(&status(2)), &done, Some(Duration::ZERO), NOW), Write::Now);
    assert_eq!(when_to_write(None, &done, Some(Duration::ZERO), NOW), Write::Now);
}

#[test]
fn conditions_of_others_are_neither_taken_over_nor_a_change() {
    let others = conditions::condition(Reason::InvalidSpec, String::new(), None, NOW);
    let others = Condition { type_: "Audited".to_owned(), ..others };
    let hash = Some(work_hash::hash(&Job::default().spec));
    let status = JobStatus { conditions: vec![others], work_hash: hash, ..status(1) };
    let job = Job { status: Some(status.clone()), ..Job::default() };
    assert_eq!(base(&JobView::new(&job), NOW).conditions, []);
    let next = JobStatus { conditions: Vec::new(), ..status.clone() };
    assert_eq!(when_to_write(Some(&status), &next, None, NOW), Write::Never);
}

#[test]
fn a_job_that_nobody_has_looked_at_is_written_to_at_once() {
    let never = JobStatus { observed_generation: Some(-1), ..JobStatus::default() };
    let job = Job { status: Some(never.clone()), ..Job::new("j", api::job::JobSpec::default()) };
    let job = JobView::new(&job);
    for next in [base(&job, NOW), kept(&job, NOW)] {
        assert!(next.start_time.is_some() && next.observed_generation == job.metadata.generation);
        let next = running(next, Progress::default());
        let write = when_to_write(Some(&never), &next, Some(Duration::ZERO), NOW);
        assert_eq!(write, Write::Now);
    }
}

#[test]
fn the_status_of_other_work_is_not_built_on() {
    let other = JobStatus { work_hash: Some("other".into()), ..status(3) };
    let job = Job { status: Some(other), ..Job::default() };
    let base = base(&JobView::new(&job), NOW);
    assert_eq!((base.succeeded, base.phase), (0, None));
    assert_eq!(base.work_hash, Some(work_hash::hash(&job.spec)));
}

#[test]
fn the_status_of_five_thousand_nodes_is_far_from_the_limit_of_etcd() {
    let mut progress = Progress { desired: 10_000, ..Progress::default() };
    for node in 0..5000 {
        let name = format!("ip-10-0-{node}.eu-central-1.compute.internal");
        progress.completed_nodes.insert(&name);
        let message = Some("x".repeat(256));
        let reason = Some("CreateContainerConfigError".to_owned());
        let node = api::job::NodeStatus { name, reason, message, ..Default::default() };
        progress.nodes.push(node);
    }
    progress.nodes.truncate(MAX_NODES);
    let status = running(JobStatus::default(), progress);
    let size = serde_json::to_string(&status).unwrap().len();
    assert!(size < 100_000, "{size} bytes of the 1.5 MiB that etcd takes");
}

#[test]
fn durations_read_as_kubectls() {
    let format = |seconds| format_duration(Duration::from_secs(seconds));
    assert_eq!([7, 72, 7260].map(format), ["7s", "1m12s", "2h1m"]);
}

fn nodes(names: &[&str]) -> Option<NodeSet> {
    let mut set = NodeSet::default();
    names.iter().for_each(|name| set.insert(*name));
    Some(set)
}

#[test]
fn nodes_that_start_or_stop_are_written_at_once_and_those_that_leave_later() {
    let write = |current: JobStatus, next: JobStatus| {
        when_to_write(Some(&current), &next, Some(Duration::ZERO), NOW)
    };
    let started = |names| JobStatus { started_nodes: nodes(names), ..status(1) };
    let stopping = |names| JobStatus { stopping_nodes: nodes(names), ..status(1) };
    assert_eq!(write(started(&["a"]), started(&["a", "b"])), Write::Now);
    assert_eq!(write(started(&["a", "b"]), started(&["b", "c"])), Write::Now);
    assert_eq!(write(status(1), started(&[])), Write::Now, "they take turns from now on");
    assert_eq!(write(status(1), stopping(&["a"])), Write::Now);
    let later = Write::After(SHORTEST_INTERVAL);
    assert_eq!(write(started(&["a", "b"]), started(&["a"])), later);
    assert_eq!(write(stopping(&["a"]), status(1)), later);
}

#[test]
fn places_of_other_work_are_kept_until_that_has_stopped() {
    let other = JobStatus {
        work_hash: Some("other".into()),
        started_nodes: nodes(&["a"]),
        stopping_nodes: nodes(&["b"]),
        ..status(3)
    };
    let job = Job { status: Some(other), ..Job::default() };
    let base = base(&JobView::new(&job), NOW);
    assert_eq!((&base.started_nodes, &base.stopping_nodes), (&None, &nodes(&["a", "b"])));
    let without = gated(base.clone(), Gating::None);
    assert_eq!((without.started_nodes, without.stopping_nodes), (None, nodes(&["a", "b"])));
    assert_eq!(gated(base, Gating::Turn).started_nodes, nodes(&[]));
    let started = JobStatus { started_nodes: nodes(&["a"]), ..JobStatus::default() };
    let without = gated(started, Gating::None);
    assert_eq!((without.started_nodes, without.stopping_nodes), (None, nodes(&["a"])));
}

#[test]
fn nodes_that_wait_for_their_turn_have_begun() {
    let waiting = Progress { desired: 2, waiting: 2, ..Progress::default() };
    let status = running(JobStatus::default(), waiting);
    assert_eq!((status.phase, status.waiting), (Some(Phase::Running), 2));
}
