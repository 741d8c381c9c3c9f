//! How long a node keeps its place when it is done, and windows.

use std::time::Duration;

use api::job::Window;
use serde_json::json;

use super::*;

/// Of a is done since second 100, and b waits.
fn done_at_100(seconds: i32) -> Scene {
    let mut scene = Scene::waiting(&["a", "b"]).parallelism(1).started(&["a"]).completed(&["a"]);
    scene.job.spec.min_ready_seconds = Some(seconds);
    scene.only("a", [pod("a").done_at(at(100))])
}

#[test]
fn a_done_node_keeps_its_place_for_min_ready_seconds() {
    let mut scene = done_at_100(60);
    scene.now = at(130);
    let act = scene.look();
    assert_eq!((started(&act), released(&act)), (&set(&["a"]), vec![]));
    assert_eq!(act.requeue_after, Some(Duration::from_secs(30)));
    let (reason, message) = why(&act).unwrap();
    assert_eq!(reason, Reason::MinReadySeconds);
    assert!(message.contains("60 s of spec.minReadySeconds"), "{message}");
    scene.now = at(160);
    assert_eq!(released(&scene.look()), ["b"]);
}

#[test]
fn a_lowered_min_ready_seconds_frees_the_place_at_once() {
    let mut scene = done_at_100(86_400);
    scene.now = at(130);
    assert_eq!(released(&scene.look()), [""; 0]);
    scene.job.spec.min_ready_seconds = Some(30);
    assert_eq!(released(&scene.look()), ["b"]);
    scene.job.spec.min_ready_seconds = None;
    assert_eq!(released(&scene.look()), ["b"]);
}

#[test]
fn a_node_that_is_not_ready_by_then_keeps_its_place() {
    let mut scene = done_at_100(60);
    scene.now = at(1000);
    for taint in ["not-ready", "unreachable"] {
        let taint = json!({"key": format!("node.kubernetes.io/{taint}"), "effect": "NoExecute"});
        let spec = serde_json::from_value(json!({"taints": [taint]})).unwrap();
        let tainted = Arc::new(NodeView::new(fixtures::node("a").metadata.clone(), spec));
        let act = scene.clone().node(tainted.clone()).look();
        assert_eq!((started(&act), released(&act)), (&set(&["a"]), vec![]));
        let mut without = scene.clone().node(tainted);
        without.job.spec.min_ready_seconds = None;
        assert_eq!(released(&without.look()), ["b"], "nobody asked for that");
    }
}

#[test]
fn a_node_whose_pod_is_gone_was_done_before_the_next_one_was_created() {
    let mut scene = done_at_100(60).only("a", [pod("a").gated().created(at(150))]);
    scene.now = at(170);
    assert_eq!(scene.look().requeue_after, Some(Duration::from_secs(40)));
    scene.now = at(210);
    assert_eq!(released(&scene.look()), ["b"]);
    let without_pod = scene.only("a", []);
    assert_eq!(released(&without_pod.look()), [""; 0], "the next one is about to come");
}

#[test]
fn the_job_ends_without_waiting_for_min_ready_seconds() {
    let mut scene = done_at_100(60).completed(&["a", "b"]).only("b", [pod("b").done_at(at(101))]);
    scene.now = at(102);
    assert_eq!(scene.look().status.phase, Some(api::job::Phase::Completed));
}

#[test]
fn in_exit_code_mode_a_node_is_done_when_its_container_ended() {
    let mut scene = done_at_100(60);
    scene.job.spec.completion_mode = CompletionMode::ExitCode;
    let hash = work_hash::hash(&scene.job.spec);
    let ended = json!({
        "name": "job-container", "image": "", "imageID": "", "ready": true, "restartCount": 0,
        "state": {"terminated": {"exitCode": 0, "finishedAt": at(100)}},
    });
    let done = pod("a").work_hash(&hash).init_container(ended);
    let scene = scene.status(|status| status.work_hash = Some(hash.clone()));
    let mut scene = scene.only("a", [done]).only("b", [pod("b").gated().work_hash(&hash)]);
    scene.now = at(150);
    assert_eq!(scene.look().requeue_after, Some(Duration::from_secs(10)));
    scene.now = at(160);
    assert_eq!(released(&scene.look()), ["b"]);
}

#[test]
fn nodes_start_only_while_a_window_is_open_and_nothing_is_stopped() {
    let mut scene =
        Scene::waiting(&["a", "b"]).parallelism(2).started(&["a"]).only("a", [pod("a")]);
    let schedule = "0 6 * * *".to_owned();
    scene.job.spec.windows = vec![Window { schedule, duration_seconds: 3600, time_zone: None }];
    scene.now = at(5 * 3600);
    let act = scene.look();
    assert_eq!((started(&act), released(&act)), (&set(&["a"]), vec![]));
    let message = "next window opens at 1970-01-01T06:00:00Z";
    assert_eq!(why(&act), Some((Reason::WindowClosed, message)));
    assert_eq!(act.requeue_after, Some(Duration::from_hours(1)));
    scene.now = at(6 * 3600);
    assert_eq!(released(&scene.look()), ["b"]);
    let full = scene.parallelism(1).look();
    assert_eq!(full.requeue_after, Some(Duration::from_hours(1)), "it closes then");
}
