use api::job::{Job, JobSpec, JobStatus, work_hash};
use serde_json::{Value, json};

use super::*;
use crate::{
    job::decide::pods_by_node::completed_before,
    testing::fixtures::{self, PodBuilder},
};

fn crashed() -> Value {
    json!({
        "name": "job-container", "image": "", "imageID": "", "ready": false, "restartCount": 0,
        "state": {"terminated": {"exitCode": 1}},
    })
}

#[test]
fn each_node_with_a_pod_has_a_state_and_recorded_results_stay() {
    let mut job = fixtures::job();
    job.spec.backoff_limit_per_node = Some(0);
    let work_hash = work_hash::hash(&job.spec);
    let set = |node: &str| {
        let mut set = NodeSet::default();
        set.insert(&format!("uid-of-{node}"));
        Some(set)
    };
    let (completed_nodes, failed_nodes) = (set("was-done"), set("had-failed"));
    let hash = Some(work_hash.clone());
    let status =
        JobStatus { work_hash: hash, completed_nodes, failed_nodes, ..JobStatus::default() };
    job.status = Some(status);
    let pod = |node: &str| fixtures::pod(node).work_hash(&work_hash);
    let pods = [
        pod("done").done(),
        pod("failed").container(crashed()),
        pod("was-done").container(crashed()),
        pod("had-failed").done(),
        pod("lost"),
        pod("gone").done(),
    ];
    let mut nodes = ["done", "failed", "was-done", "had-failed"].map(fixtures::node).to_vec();
    nodes.push(fixtures::unreachable_node("lost"));
    let observation = Observation {
        pods: pods.map(PodBuilder::build).to_vec(),
        nodes: Arc::new(fixtures::nodes(nodes)),
        ..fixtures::observation(&job)
    };
    let states = |observation: &Observation<'_>| {
        let daemon_set = fixtures::daemon_set().build();
        let pods = pods_by_node(observation, &daemon_set, observation.now);
        let completed = completed_before(observation, &daemon_set);
        let work = node_work(observation, &pods, &completed);
        work.iter().map(|node| (node.name.to_owned(), node.state)).collect::<Vec<_>>()
    };
    let expected = |gone| {
        let states = [
            ("done", WorkState::Completed),
            ("failed", WorkState::Failed),
            ("was-done", WorkState::Completed),
            ("had-failed", WorkState::Failed),
            ("lost", WorkState::Active(NodeState::Unreachable)),
            ("gone", gone),
        ];
        states.map(|(name, state)| (name.to_owned(), state))
    };
    assert_eq!(states(&observation), expected(WorkState::Gone));
    let cached = Observation { source: Source::Caches, ..observation };
    assert_eq!(states(&cached), expected(WorkState::Completed), "the cache may be late");
}

#[test]
fn nodes_are_read_where_a_record_of_them_decides() {
    let hash = work_hash::hash(&JobSpec::default());
    let asks = |job: &Job, pod: PodBuilder| {
        let daemon_set = fixtures::daemon_set().work_hash(&hash).scheduled(1, 1).build();
        needs_live_nodes(&Observation {
            daemon_set: Some(Arc::new(daemon_set)),
            pods: vec![pod.work_hash(&hash).build()],
            nodes: Arc::new(fixtures::nodes([fixtures::node("a")])),
            ..fixtures::observation(job)
        })
    };
    let mut job = Job::new("runs-once", JobSpec::default());
    assert!(!asks(&job, fixtures::pod("a").done()), "pods alone say that it has ended");
    assert!(asks(&job, fixtures::pod("a")), "an earlier pod of the node may have been done");
    assert!(asks(&job, fixtures::pod("b").done()), "that node may be gone");
    job.spec.backoff_limit_per_node = Some(0);
    assert!(
        asks(&job, fixtures::pod("a").container(crashed())),
        "an earlier pod of the node may have been done: then it has not failed"
    );
    let mut failed_nodes = NodeSet::default();
    failed_nodes.insert("uid-of-a");
    let failed_nodes = Some(failed_nodes);
    job.status = Some(JobStatus { failed_nodes, ..JobStatus::default() });
    assert!(asks(&job, fixtures::pod("a").done()), "that node may be another one by now");
}
