//! Failed nodes.

use std::{sync::Arc, time::Duration};

use api::{
    job::{
        Job, NodeState, Phase,
        conditions::{self, FAILED},
        work_hash,
    },
    views::PodView,
};
use k8s_openapi::jiff::Timestamp;
use serde_json::json;

use super::{act_on, observed, reasons};
use crate::{
    job::decide::{
        actions::Decision,
        decide,
        observation::{Observation, Source},
    },
    testing::fixtures::{daemon_set, job, pod},
};

/// A pod on `node` for the work of `job` whose container has crashed once.
fn crashed(job: &Job, node: &str) -> Arc<PodView> {
    pod(node)
        .work_hash(&work_hash::hash(&job.spec))
        .container(json!({
            "name": "job-container", "image": "", "imageID": "", "ready": false, "restartCount": 0,
            "state": {"terminated": {"exitCode": 3, "reason": "Error"}},
        }))
        .build()
}

#[test]
fn one_failed_node_too_many_ends_the_job_at_once() {
    let mut job = job();
    job.spec.backoff_limit_per_node = Some(0);
    let daemon_set = daemon_set().of(&job).scheduled(3, 3).build();
    let pods = [crashed(&job, "a"), crashed(&job, "b"), pod("c").build()];
    for (limit, expected) in
        [(None, vec![]), (Some(2), vec![]), (Some(1), vec!["MaxFailedNodesExceeded"])]
    {
        job.spec.max_failed_nodes = limit;
        let act = act_on(&job, Some(&daemon_set), &pods);
        assert_eq!(reasons(&act.status), expected, "{limit:?}");
        assert_eq!((act.status.failed, act.status.active), (2, 1));
    }
    let act = act_on(&job, Some(&daemon_set), &pods);
    assert_eq!(
        act.status.conditions[0].message,
        "2 nodes failed, more than the 1 of spec.maxFailedNodes: a, b"
    );
    assert_eq!(act.status.phase, Some(Phase::Failed));
    assert_eq!(act.status.completion_time, None);
}

#[test]
fn an_image_that_is_never_pulled_is_explained_and_never_a_failed_run() {
    let mut job = job();
    job.spec.backoff_limit_per_node = Some(0);
    let daemon_set = daemon_set().of(&job).scheduled(1, 1).build();
    for reason in ["ErrImagePull", "ImagePullBackOff", "CreateContainerConfigError"] {
        let waiting = json!({"waiting": {"reason": reason, "message": "no such thing"}});
        let pod = pod("a").work_hash(&work_hash::hash(&job.spec)).container(json!({
            "name": "job-container", "image": "", "imageID": "", "ready": false, "restartCount": 0,
            "state": waiting,
        }));
        let status = act_on(&job, Some(&daemon_set), &[pod.build()]).status;
        assert_eq!((status.failed, status.active, reasons(&status)), (0, 1, vec![]));
        let node = &status.nodes[0];
        assert_eq!(node.message, Some(format!("{reason}: no such thing")));
        assert_eq!((node.state, node.restarts), (NodeState::Pending, 0));
    }
}

#[test]
fn a_job_whose_failed_nodes_have_all_left_says_that_they_failed() {
    let mut job = job();
    job.spec.backoff_limit_per_node = Some(0);
    let scheduled = |job: &Job, nodes| daemon_set().of(job).scheduled(nodes, nodes).build();
    // Another node, which leaves as well, keeps the Job running.
    let pods = [crashed(&job, "a"), pod("b").build()];
    let status = act_on(&job, Some(&scheduled(&job, 2)), &pods).status;
    assert_eq!((status.failed, reasons(&status)), (1, vec![]));
    job.status = Some(status);
    let status = act_on(&job, Some(&scheduled(&job, 0)), &[]).status;
    assert_eq!((status.phase, reasons(&status)), (Some(Phase::Failed), vec!["NodesFailed"]));
    let failed = conditions::find_true(&status.conditions, FAILED).unwrap();
    assert_eq!(failed.message, "done on no node, and all nodes that failed are gone");
}

#[test]
fn any_failed_node_fails_the_job_when_all_have_ended() {
    let mut job = job();
    job.spec.backoff_limit_per_node = Some(0);
    let daemon_set = daemon_set().of(&job).scheduled(2, 2).build();
    let pods = [crashed(&job, "a"), pod("b").done().work_hash(&work_hash::hash(&job.spec)).build()];
    for limit in [None, Some(1)] {
        job.spec.max_failed_nodes = limit;
        let act = act_on(&job, Some(&daemon_set), &pods);
        assert_eq!(reasons(&act.status), ["NodesFailed"]);
        assert_eq!(act.status.conditions[0].message, "done on 1 of 2 nodes, failed on: a");
    }
}

#[test]
fn a_node_that_failed_just_now_is_looked_at_again_when_its_last_word_should_be_known() {
    let mut job = job();
    job.spec.backoff_limit_per_node = Some(0);
    let daemon_set = daemon_set().of(&job).scheduled(1, 1).build();
    let ended = json!({"exitCode": 1, "finishedAt": "1970-01-01T00:00:00Z"});
    let container = json!({
        "name": "job-container", "image": "", "imageID": "", "ready": false, "restartCount": 0,
        "state": {"terminated": ended},
    });
    let pod = || pod("a").work_hash(&work_hash::hash(&job.spec)).container(container.clone());
    let act = act_on(&job, Some(&daemon_set), &[pod().build()]);
    assert_eq!(act.requeue_after, Some(Duration::from_secs(10)));
    assert_eq!((act.status.phase, act.status.failed), (Some(Phase::Running), 0));
    let act = act_on(&job, Some(&daemon_set), &[pod().done().build()]);
    assert_eq!(reasons(&act.status), ["Completed"]);
    let pods = [pod().build()];
    let now = Timestamp::UNIX_EPOCH + Duration::from_secs(10);
    let late = Observation { now, ..observed(&job, Some(&daemon_set), &pods, Source::Live) };
    let Decision::Act(act) = decide(&late) else { panic!("it has failed") };
    assert_eq!(reasons(&act.status), ["NodesFailed"]);
}
