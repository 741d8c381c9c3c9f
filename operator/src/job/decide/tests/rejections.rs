//! Pods that their kubelets give up, and that the DaemonSet controller replaces.

use std::{sync::Arc, time::Duration};

use api::{
    job::{CompletionMode, Job, JobStatus, NodeState, work_hash},
    views::PodView,
};
use k8s_openapi::jiff::Timestamp;
use serde_json::json;

use super::{act_on, observed, reasons};
use crate::{
    job::decide::{
        actions::{Actions, Decision},
        decide,
        observation::{Observation, Source},
        progress::StuckPod,
        status::{Write, when_to_write},
    },
    testing::fixtures::{PodBuilder, daemon_set, job, node, nodes, pod},
};

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

/// The pod on the node `a` that was created then.
fn created(job: &Job, second: i64) -> PodBuilder {
    pod("a")
        .identity(&format!("uid-{second}"), "1")
        .created(at(second))
        .work_hash(&work_hash::hash(&job.spec))
}

/// Acts on a pod, and keeps the status as the API server would.
fn act(job: &mut Job, pod: Arc<PodView>) -> Actions {
    let daemon_set = daemon_set().of(job).scheduled(1, 1).build();
    let actions = act_on(job, Some(&daemon_set), &[pod]);
    job.status = Some(actions.status.clone());
    actions
}

#[test]
fn rejections_count_once_each_though_each_takes_its_pod_along() {
    let mut job = job();
    job.spec.backoff_limit_per_node = Some(1);
    let first = || created(&job_of_rejections(), 1_000).failed("SysctlForbidden").build();
    let status = act(&mut job, first()).status;
    assert_eq!((status.failed, status.nodes[0].state), (0, NodeState::Pending));
    assert_eq!(status.nodes[0].reason.as_deref(), Some("SysctlForbidden"));
    // It is looked at again, also by an operator that has just started.
    assert_eq!(act(&mut job, first()).status, status);
    // The next pod has nothing to say yet.
    let next = created(&job, 1_002).build();
    let pending = act(&mut job, next).status;
    assert_eq!(pending.nodes[0].reason.as_deref(), Some("SysctlForbidden"));
    assert_eq!(pending.failed_runs, status.failed_runs);
    // A cache that lags shows the first one once more.
    assert_eq!(act(&mut job, first()).status.failed_runs, status.failed_runs);
    let next = created(&job, 1_002).failed("SysctlForbidden").build();
    let status = act(&mut job, next).status;
    assert_eq!(reasons(&status), ["NodesFailed"]);
    assert_eq!(status.nodes[0].reason.as_deref(), Some("SysctlForbidden"));
    assert_eq!((status.failed, status.failed_runs), (1, None));
}

#[test]
fn a_rejected_pod_counts_though_it_has_gone_before_anybody_looked() {
    let mut job = job_of_rejections();
    let look = |job: &mut Job, gone: &[i64], next: i64| {
        let daemon_set = daemon_set().of(job).scheduled(1, 1).build();
        let pods = [created(job, next).build()];
        let rejected = |second: &i64| created(job, *second).failed("SysctlForbidden").build();
        let gone = gone.iter().map(rejected).collect();
        let seen = observed(job, Some(&daemon_set), &pods, Source::Live);
        let Decision::Act(actions) = decide(&Observation { gone, ..seen }) else {
            panic!("it acts")
        };
        job.status = Some(actions.status.clone());
        *actions
    };
    let first = look(&mut job, &[1_000], 1_002);
    assert!(first.is_urgent);
    assert_eq!((first.status.failed, first.status.nodes[0].state), (0, NodeState::Pending));
    assert_eq!(first.status.nodes[0].reason.as_deref(), Some("SysctlForbidden"));
    // It is known for a while, and counts once.
    assert_eq!(look(&mut job, &[1_000], 1_002).status, first.status);
    // Other work never counts.
    let mut other = job.clone();
    other.spec.args = vec!["other".to_owned()];
    let of_first = Observation {
        gone: vec![created(&job, 1_004).failed("OutOfcpu").build()],
        ..observed(
            &other,
            Some(&daemon_set().of(&other).scheduled(1, 1).build()),
            &[],
            Source::Live,
        )
    };
    let Decision::Act(actions) = decide(&of_first) else { panic!("it acts") };
    assert_eq!(actions.status.failed_runs, None);
    look(&mut job, &[1_002], 1_004);
    let ended = look(&mut job, &[1_002], 1_004).status;
    assert_eq!((reasons(&ended), ended.failed), (vec!["NodesFailed"], 1));
    assert_eq!(ended.nodes[0].reason.as_deref(), Some("SysctlForbidden"));
}

fn job_of_rejections() -> Job {
    let mut job = job();
    job.spec.backoff_limit_per_node = Some(1);
    job
}

#[test]
fn a_rejection_is_written_at_once_for_its_pod_is_about_to_go() {
    let mut job = job_of_rejections();
    let before = {
        let pod = created(&job, 1_000).build();
        act(&mut job, pod).status
    };
    let rejected = created(&job, 1_000).failed("OutOfcpu").build();
    let after = act(&mut job, rejected).status;
    let write = when_to_write(Some(&before), &after, Some(Duration::ZERO), at(1_001));
    assert_eq!(write, Write::Now);
}

#[test]
fn a_node_that_is_done_after_rejections_is_done_and_other_work_counts_anew() {
    let mut job = job_of_rejections();
    let rejected = created(&job, 1_000).failed("UnexpectedAdmissionError").build();
    assert!(act(&mut job, rejected).status.failed_runs.is_some());
    let done = created(&job, 1_002).done().build();
    let status = act(&mut job.clone(), done).status;
    assert_eq!((reasons(&status), &status.failed_runs), (vec!["Completed"], &None));
    job.spec.args = vec!["other".to_owned()];
    let status = act(&mut job.clone(), created(&job, 1_004).build()).status;
    assert_eq!(status.failed_runs, None);
    let rejected = created(&job, 1_004).failed("UnexpectedAdmissionError").build();
    assert_eq!(act(&mut job, rejected).status.failed, 0);
}

#[test]
fn a_failed_node_shows_its_failed_run_whatever_its_kubelet_does_next() {
    let mut job = job_of_rejections();
    job.spec.completion_mode = CompletionMode::ExitCode;
    job.spec.backoff_limit_per_node = Some(0);
    let container = |restarts, state, last| {
        json!({
            "name": "job-container", "image": "", "imageID": "", "ready": false,
            "restartCount": restarts, "state": state, "lastState": last,
        })
    };
    let failed = || json!({"terminated": {"exitCode": 3, "reason": "Error", "message": "no disk"}});
    let completed = json!({"terminated": {"exitCode": 0, "reason": "Completed"}});
    // Another node keeps the Job running.
    let daemon_set = daemon_set().of(&job).scheduled(2, 2).build();
    let other = pod("b").work_hash(&work_hash::hash(&job.spec)).build();
    let on_a = |job: &Job, status| created(job, 1_000).init_container(status).build();
    let pods = [on_a(&job, container(0, failed(), json!({}))), Arc::clone(&other)];
    let before = act_on(&job, Some(&daemon_set), &pods).status;
    assert_eq!((before.nodes[0].state, before.nodes[0].exit_code), (NodeState::Failed, Some(3)));
    job.status = Some(before.clone());
    let pods = [on_a(&job, container(1, completed, failed())), other];
    let after = act_on(&job, Some(&daemon_set), &pods).status;
    assert_eq!(after.nodes[0], before.nodes[0]);
    job.status = Some(JobStatus { nodes: Vec::new(), ..after });
    let node = act_on(&job, Some(&daemon_set), &pods).status.nodes[0].clone();
    assert_eq!((node.state, node.exit_code), (NodeState::Failed, None), "{node:?}");
    assert!(node.message.unwrap().contains("before it succeeded"));
}

#[test]
fn events_of_a_pod_are_asked_for_when_it_has_been_starting_for_ten_seconds() {
    let job = job();
    let daemon_set = daemon_set().of(&job).scheduled(1, 1).build();
    let pods = [created(&job, 1_000).build()];
    let look = |second| {
        let now = at(second);
        let seen = Observation { now, ..observed(&job, Some(&daemon_set), &pods, Source::Live) };
        let Decision::Act(actions) = decide(&seen) else { panic!("it acts") };
        (actions.stuck_pods, actions.requeue_after)
    };
    assert_eq!(look(1_003), (vec![], Some(Duration::from_secs(7))));
    let stuck = StuckPod { node: "a".to_owned(), uid: "uid-1000".to_owned() };
    assert_eq!(look(1_010), (vec![stuck], Some(Duration::from_secs(30))));
}

#[test]
fn the_output_of_the_first_twenty_failed_nodes_stays_in_the_status() {
    let mut job = job_of_rejections();
    job.spec.completion_mode = CompletionMode::ExitCode;
    job.spec.backoff_limit_per_node = Some(0);
    let status = |state, last| {
        json!({
            "name": "job-container", "image": "", "imageID": "", "ready": false, "restartCount": 0,
            "state": state, "lastState": last,
        })
    };
    let failed = json!({"terminated": {"exitCode": 3, "message": "line 1\nline 2\n"}});
    let daemon_set = daemon_set().of(&job).scheduled(31, 31).build();
    let on = |job: &Job, node: u32, status| {
        let pod = pod(&format!("n{node:02}")).work_hash(&work_hash::hash(&job.spec));
        pod.init_container(status).build()
    };
    let mut pods: Vec<_> =
        (0..30).map(|node| on(&job, node, status(failed.clone(), json!({})))).collect();
    pods.push(on(&job, 30, status(json!({"running": {}}), json!({}))));
    let outputs = |status: &JobStatus| {
        let with = status.nodes.iter().filter(|node| node.output.is_some());
        with.map(|node| node.name.clone()).collect::<Vec<_>>()
    };
    let names: Vec<_> = (0..31).map(|node| format!("n{node:02}")).collect();
    let nodes = Arc::new(nodes(names.iter().map(|name| node(name))));
    let look = |job: &Job, pods: &[Arc<PodView>]| {
        let seen = observed(job, Some(&daemon_set), pods, Source::Live);
        let Decision::Act(actions) = decide(&Observation { nodes: Arc::clone(&nodes), ..seen })
        else {
            panic!("it acts")
        };
        actions.status
    };
    let before = look(&job, &pods);
    let first: Vec<_> = (0..20).map(|node| format!("n{node:02}")).collect();
    assert_eq!((before.failed, outputs(&before)), (30, first.clone()));
    assert_eq!(before.nodes[0].output.as_deref(), Some("line 1\nline 2"));
    // The kubelet runs it again: what it writes then is not what has failed the node.
    job.status = Some(before);
    pods[0] = on(&job, 0, status(json!({"running": {}}), failed));
    let after = look(&job, &pods);
    assert_eq!(outputs(&after), first);
}
