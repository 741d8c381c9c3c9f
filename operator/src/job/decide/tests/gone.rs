//! Pods that were done, and that are gone before anybody has looked at them.

use std::sync::Arc;

use api::{
    job::{CompletionMode, Job, JobStatus, NodeState, node_set::NodeSet, work_hash},
    views::{NodeSpecView, NodeView, PodView},
};
use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};
use serde_json::json;

use super::{observed, reasons};
use crate::{
    job::decide::{
        actions::{Actions, Decision},
        decide,
        observation::{Observation, Source},
    },
    testing::fixtures::{PodBuilder, daemon_set, job, node, nodes, pod},
};

const MODES: [CompletionMode; 2] = [CompletionMode::TerminationWord, CompletionMode::ExitCode];

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

/// A Job of two nodes, of which `b` works.
fn job_of(mode: CompletionMode) -> Job {
    let mut job = job();
    job.spec.completion_mode = mode;
    job
}

/// A pod of the work of `job`.
fn own(job: &Job, node: &str) -> PodBuilder {
    pod(node).identity(node, "1").created(at(1_000)).work_hash(&work_hash::hash(&job.spec))
}

/// The pod on the node `a`, which is done.
fn done(job: &Job) -> PodBuilder {
    match job.spec.completion_mode {
        CompletionMode::TerminationWord => own(job, "a").done(),
        CompletionMode::ExitCode => own(job, "a").init_container(json!({
            "name": "job-container", "image": "", "imageID": "", "ready": true, "restartCount": 0,
            "state": {"terminated": {"exitCode": 0}}, "lastState": {},
        })),
    }
}

fn look(job: &Job, gone: PodBuilder, change: impl FnOnce(&mut Observation<'_>)) -> Actions {
    let daemon_set = daemon_set().of(job).scheduled(2, 2).build();
    let pods = ["a", "b"].map(|node| own(job, node).identity("next", "2").build());
    let mut observation = observed(job, Some(&daemon_set), &pods, Source::Live);
    observation.gone = vec![gone.build()];
    change(&mut observation);
    match decide(&observation) {
        Decision::Act(actions) => *actions,
        other => panic!("{other:?}"),
    }
}

/// The nodes that are done by the status.
fn completed(status: &JobStatus) -> Vec<&'static str> {
    let is_done = |node: &&str| {
        let completed = status.completed_nodes.as_ref();
        completed.is_some_and(|nodes| nodes.contains(&format!("uid-of-{node}")))
    };
    ["a", "b"].into_iter().filter(is_done).collect()
}

#[test]
fn a_done_pod_that_is_gone_before_a_look_counts_once_and_is_written_at_once() {
    for mode in MODES {
        let mut job = job_of(mode);
        let first = look(&job, done(&job), |_| ());
        assert_eq!((completed(&first.status), first.status.succeeded), (vec!["a"], 1));
        assert!(first.is_urgent, "its pod is gone");
        assert_eq!(first.status.active, 1);
        job.status = Some(first.status.clone());
        let second = look(&job, done(&job), |_| ());
        assert_eq!((&second.status, second.is_urgent), (&first.status, false));
        // The next pod is not there yet.
        let without = look(&job, done(&job), |seen| drop(seen.pods.remove(0)));
        assert_eq!(without.status.succeeded, 1);
    }
}

#[test]
fn a_pod_that_is_gone_counts_by_the_mode_of_its_job() {
    let [by_word, by_code] = MODES.map(job_of);
    for (job, other) in [(&by_word, &by_code), (&by_code, &by_word)] {
        let gone = done(other).work_hash(&work_hash::hash(&job.spec));
        assert_eq!(completed(&look(job, gone, |_| ()).status), [""; 0]);
    }
}

#[test]
fn a_pod_that_is_gone_counts_for_nothing_if_it_is_of_anything_else() {
    let job = job_of(CompletionMode::TerminationWord);
    let nothing = |what: &str, gone: PodBuilder| {
        let status = look(&job, gone, |_| ()).status;
        assert_eq!((completed(&status), status.succeeded), (vec![], 0), "{what}");
    };
    nothing("not done", own(&job, "a"));
    nothing("an earlier DaemonSet, or another Job's", done(&job).owner("ds-0"));
    nothing("other work", done(&job).work_hash("w0"));
    nothing("a stranger's template", done(&job).template(2, "h2"));
    let elsewhere = pod("x").work_hash(&work_hash::hash(&job.spec)).done();
    nothing("a node that is gone", elsewhere);
}

#[test]
fn work_that_was_changed_and_changed_back_runs_again() {
    let job = job_of(CompletionMode::TerminationWord);
    let gone = || done(&job).template(1, "h1");
    let rewritten = |seen: &mut Observation<'_>| {
        let applied = seen.applied.as_mut().unwrap();
        (applied.template_generations, applied.revision) = (vec![3], Some("h1".into()));
    };
    assert_eq!(completed(&look(&job, gone(), rewritten).status), [""; 0]);
    // While the pod is there it counts: nobody has replaced it.
    let there = |seen: &mut Observation<'_>| {
        rewritten(seen);
        seen.pods = std::mem::take(&mut seen.gone);
    };
    assert_eq!(completed(&look(&job, gone(), there).status), ["a"]);
    // An edit of a stranger that was put back is no change of the work.
    let put_back = |seen: &mut Observation<'_>| {
        seen.applied.as_mut().unwrap().template_generations = vec![1, 3];
    };
    assert_eq!(completed(&look(&job, gone(), put_back).status), ["a"]);
}

#[test]
fn a_pod_that_is_gone_counts_for_the_node_that_it_was_bound_to_alone() {
    let job = job_of(CompletionMode::TerminationWord);
    let of_age = |seconds| {
        let mut metadata = node("a").metadata.clone();
        metadata.creation_timestamp = Some(Time(at(seconds)));
        let replaced = Arc::new(NodeView::new(metadata, NodeSpecView::default()));
        move |seen: &mut Observation<'_>| seen.nodes = Arc::new(nodes([replaced, node("b")]))
    };
    let bound = || done(&job).scheduled_at(at(1_010));
    assert_eq!(completed(&look(&job, bound(), of_age(1_011)).status), [""; 0]);
    assert_eq!(completed(&look(&job, bound(), of_age(1_010)).status), ["a"]);
    // It may have waited for its turn longer than the node is there.
    assert_eq!(completed(&look(&job, bound(), of_age(1_005)).status), ["a"]);
}

#[test]
fn the_first_result_of_a_node_stays_whatever_pods_are_gone() {
    let mut job = job_of(CompletionMode::ExitCode);
    job.spec.backoff_limit_per_node = Some(0);
    let failed = |job: &Job| {
        own(job, "a").init_container(json!({
            "name": "job-container", "image": "", "imageID": "", "ready": false, "restartCount": 0,
            "state": {"terminated": {"exitCode": 3}}, "lastState": {},
        }))
    };
    // The pod that was done came first.
    let pods: Vec<Arc<PodView>> = vec![failed(&job).build(), own(&job, "b").build()];
    let status = look(&job, done(&job), |seen| seen.pods.clone_from(&pods)).status;
    assert_eq!((completed(&status), status.failed), (vec!["a"], 0));
    let mut failed_nodes = NodeSet::default();
    failed_nodes.insert("uid-of-a");
    job.status = Some(JobStatus {
        work_hash: Some(work_hash::hash(&job.spec)),
        failed_nodes: Some(failed_nodes),
        ..JobStatus::default()
    });
    let status = look(&job, done(&job), |_| ()).status;
    assert_eq!((completed(&status), status.failed), (vec![], 1));
    assert_eq!(status.nodes[0].state, NodeState::Failed);
}

#[test]
fn pods_that_are_gone_end_a_job_by_a_live_look_alone() {
    let job = job_of(CompletionMode::TerminationWord);
    let both = |source| {
        let job = &job;
        move |seen: &mut Observation<'_>| {
            seen.gone.push(own(job, "b").done().build());
            seen.source = source;
        }
    };
    let status = look(&job, done(&job), both(Source::Live)).status;
    assert_eq!((reasons(&status), completed(&status)), (vec!["Completed"], vec!["a", "b"]));
    let daemon_set = daemon_set().of(&job).scheduled(2, 2).build();
    let pods = ["a", "b"].map(|node| own(&job, node).identity("next", "2").build());
    let mut cached = observed(&job, Some(&daemon_set), &pods, Source::Caches);
    cached.gone = vec![done(&job).build(), own(&job, "b").done().build()];
    assert_eq!(decide(&cached), Decision::ObserveLive);
}

#[test]
fn a_pod_that_is_gone_counts_though_its_job_is_suspended_before_the_look() {
    for mode in MODES {
        let mut job = job_of(mode);
        job.spec.suspend = Some(true);
        let status = look(&job, done(&job), |_| ()).status;
        assert_eq!((completed(&status), status.succeeded), (vec!["a"], 1));
    }
}
