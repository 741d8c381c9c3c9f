//! What the condition Waiting says.

use super::*;

#[test]
fn places_in_use_are_counted_and_failed_nodes_named() {
    let running = Scene::waiting(&["a", "b", "c"]).parallelism(2).started(&["a", "b"]);
    let running = running.only("a", [pod("a")]).only("b", [pod("b")]);
    let act = running.look();
    assert_eq!(why(&act), Some((Reason::PlacesInUse, "2 of 2 places in use")));
    let lowered = running.clone().parallelism(1).look();
    assert_eq!(why(&lowered), Some((Reason::PlacesInUse, "more places in use than 1")));
    let one = running.clone().only("b", [failed("b")]).look();
    let message = "2 of 2 places in use; node b failed and keeps its place: Error: no space";
    assert_eq!(why(&one), Some((Reason::PlacesInUse, message)));
    let both = running.only("b", [failed("b")]).only("a", [failed("a")]).look();
    let message = "2 of 2 places in use; nodes failed and keep their places: a, b";
    assert_eq!(why(&both), Some((Reason::PlacesInUse, message)));
}

#[test]
fn a_message_stays_when_only_the_explanation_changes() {
    let scene = Scene::waiting(&["a", "b"]).parallelism(1).started(&["a"]).only("a", [failed("a")]);
    let first = scene.look().status;
    let other = pod("a").container(json!({
        "name": "job-container", "image": "", "imageID": "", "ready": false, "restartCount": 2,
        "state": {"waiting": {"reason": "CrashLoopBackOff"}},
        "lastState": {"terminated": {"exitCode": 3, "reason": "Error", "message": "at 12:01"}},
    }));
    let mut later = scene.only("a", [other]);
    later.job.status = Some(first.clone());
    assert_eq!(later.look().status.conditions, first.conditions);
}

#[test]
fn zero_is_a_pause_and_says_so() {
    for scene in [Scene::waiting(&["a"]).parallelism(0), Scene::waiting(&["a"]).per_cent("0%")] {
        let act = scene.look();
        assert_eq!(why(&act), Some((Reason::Paused, "spec.parallelism is 0")));
        assert_eq!(act.status.phase, Some(api::job::Phase::Running));
    }
}

#[test]
fn a_refused_release_is_reported_and_keeps_no_more_than_its_place() {
    let mut scene = Scene::waiting(&["a", "b", "c"]).parallelism(2).started(&["a"]);
    scene.release_refusal = Some("pods may not start".to_owned());
    let act = scene.look();
    assert_eq!((started(&act), released(&act)), (&set(&["a", "b"]), vec!["a", "b"]));
    let message = "pods may not start";
    assert_eq!(why(&act), Some((Reason::ReleaseRefused, message)));
}

#[test]
fn unreachable_nodes_are_named_and_those_of_others_gates_not() {
    let scene = Scene::waiting(&["a", "b"]).node(fixtures::unreachable_node("b"));
    let act = scene.look();
    assert_eq!(released(&act), ["a"]);
    let message = "the nodes that wait are unreachable: b";
    assert_eq!(why(&act), Some((Reason::NodesUnreachable, message)));
    let mut foreign = (*pod("b").gated().build()).clone();
    foreign.spec.gates.others = true;
    let mut scene = Scene::waiting(&["a", "b"]).only("b", []);
    scene.pods.push(Arc::new(foreign));
    assert_eq!(why(&scene.look()).unwrap().0, Reason::OtherGates);
}

#[test]
fn the_condition_is_gone_when_nobody_waits() {
    let scene = Scene::waiting(&["a"]).parallelism(1).started(&["a"]).only("a", [pod("a")]);
    let known = conditions::condition(Reason::PlacesInUse, String::new(), Some(1), START);
    let act = scene.status(|status| status.conditions.push(known)).look();
    assert_eq!(why(&act), None);
}

#[test]
fn after_too_many_failures_those_at_work_finish_and_nobody_starts() {
    let mut scene = Scene::waiting(&["a", "b", "c"]).parallelism(3).started(&["a", "b"]);
    scene.job.spec.max_failed_nodes = Some(0);
    let mut scene = scene.only("a", [failed("a")]).only("b", [pod("b")]);
    let act = scene.look();
    assert_eq!((started(&act), released(&act)), (&set(&["a", "b"]), vec![]));
    let message =
        "more nodes failed than the 0 of spec.maxFailedNodes; those at work run to their end";
    assert_eq!(why(&act), Some((Reason::TooManyFailed, message)));
    // It has leave to start, and may have done so.
    let act = scene.clone().only("b", [pod("b").gated()]).look();
    assert_eq!(released(&act), ["b"]);
    scene = scene.only("b", [pod("b").done()]);
    let act = scene.look();
    let end = conditions::finished(&act.status.conditions).unwrap();
    assert_eq!(end.reason, "MaxFailedNodesExceeded");
    assert_eq!((act.status.succeeded, act.status.waiting), (1, 1));
    assert_eq!(why(&act), None);
}

#[test]
fn a_job_that_is_late_says_how_many_nodes_waited() {
    let mut scene = Scene::waiting(&["a", "b", "c"]).parallelism(1).started(&["a"]);
    scene = scene.only("a", [pod("a")]).status(|status| {
        status.start_time = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(START));
    });
    scene.job.spec.active_deadline_seconds = Some(60);
    scene.now = at(61);
    let act = scene.look();
    let end = conditions::finished(&act.status.conditions).unwrap();
    let message = "not done within the 60 s of spec.activeDeadlineSeconds; not done: a; waiting for \
                   their turn: 2 nodes";
    assert_eq!((&*end.reason, &*end.message), ("DeadlineExceeded", message));
    assert_eq!(act.status.nodes.len(), 1, "those that wait are counted, not listed");
    assert_eq!(started(&act), &set(&["a"]), "nobody starts any more");
}
