//! Which nodes hold a place, and how long.

use super::*;
use crate::job::decide::daemon_set::DaemonSetAction;

#[test]
fn a_node_at_work_keeps_its_place_whatever_becomes_of_the_limit() {
    let scene = Scene::waiting(&["a", "b", "c"]).started(&["a", "b"]);
    let scene = scene.only("a", [pod("a")]).only("b", [pod("b")]);
    for parallelism in [0, 1, 2] {
        let act = scene.clone().parallelism(parallelism).look();
        assert_eq!((started(&act), released(&act)), (&set(&["a", "b"]), vec![]));
        assert_eq!((act.status.active, act.status.waiting), (2, 1));
    }
    let act = scene.parallelism(3).look();
    assert_eq!(released(&act), ["c"]);
}

#[test]
fn a_failed_node_keeps_its_place_whatever_becomes_of_its_pod() {
    let scene = Scene::waiting(&["a", "b"]).parallelism(1).started(&["a"]);
    let act = scene.clone().only("a", [failed("a")]).look();
    assert_eq!((started(&act), released(&act)), (&set(&["a"]), vec![]));
    let scene = scene.failed(&["a"]);
    for pods in [vec![], vec![pod("a").gated()], vec![failed("a").deleted()]] {
        let act = scene.clone().only("a", pods).look();
        assert_eq!((started(&act), released(&act)), (&set(&["a"]), vec![]));
    }
}

#[test]
fn a_node_is_gone_when_it_is_wanted_no_more_and_only_live_observations_say_so() {
    let mut scene = Scene::waiting(&["a", "b", "c"]).parallelism(1).started(&["a"]).only("a", []);
    scene.wanted = 2;
    let act = scene.look();
    assert_eq!((started(&act), released(&act)), (&set(&["b"]), vec!["b"]));
    let scene = scene.cached();
    assert_eq!(scene.decide(), Decision::ObserveLive);
    let act = scene.parallelism(0).look();
    assert_eq!(started(&act), &set(&["a"]), "nobody waits for the place");
}

#[test]
fn a_node_whose_pod_is_about_to_come_back_is_not_gone() {
    let act = Scene::waiting(&["a", "b"]).parallelism(1).started(&["a"]).only("a", []).look();
    assert_eq!((started(&act), released(&act)), (&set(&["a"]), vec![]));
}

#[test]
fn a_node_that_is_deleted_leaves_and_its_pod_counts_while_it_runs() {
    let scene = Scene::waiting(&["a", "b"]).parallelism(1).started(&["a"]).without_node("a");
    let running = scene.clone().only("a", [pod("a")]);
    let act = running.look();
    assert_eq!((started(&act), released(&act)), (&set(&[]), vec![]));
    assert_eq!(released(&scene.only("a", []).look()), ["b"]);
}

/// A release that was sent before the operator was killed may still arrive.
#[test]
fn a_deleted_node_keeps_its_place_while_a_late_release_could_reach_its_pod() {
    let scene = Scene::waiting(&["b"]).parallelism(1).started(&["a"]);
    let mut on_gone = scene.clone().pod(pod("a").gated());
    on_gone.wanted = 2;
    let act = on_gone.look();
    assert_eq!((started(&act), released(&act)), (&set(&["a"]), vec![]));

    let recreated = scene.pod(pod("a").gated().created(at(5)));
    let mut recreated = recreated.node(node_of("a", 10));
    recreated.wanted = 2;
    recreated.now = at(60);
    let act = recreated.look();
    assert_eq!((started(&act), released(&act)), (&set(&["a"]), vec![]));
    assert_eq!(act.requeue_after.map(|after| after.as_secs()), Some(70), "two minutes of age");
    recreated.now = at(130);
    let act = recreated.look();
    assert_eq!(released(&act), ["a"], "as another node");
    assert!(!started(&act).contains("uid-of-a"));
}

/// A node of this name was there before second 10, and another one was started since.
fn replaced(pod: PodBuilder) -> (Scene, NodeSet) {
    let mut started_nodes = NodeSet::default();
    started_nodes.insert("uid-of-a-of-10");
    let mut scene = Scene::waiting(&["b"]).node(node_of("a", 10)).parallelism(1).pod(pod);
    scene.wanted = 2;
    let scene = scene.status(|status| status.started_nodes = Some(started_nodes.clone()));
    (scene, started_nodes)
}

#[test]
fn the_result_of_a_pod_that_waited_counts_for_the_node_that_it_was_bound_to() {
    let (scene, node) = replaced(pod("a").created(at(5)).scheduled_at(at(12)).done());
    for scene in [scene.clone(), scene.cached()] {
        let act = scene.look();
        assert_eq!((act.status.completed_nodes.as_ref(), released(&act)), (Some(&node), vec!["b"]));
    }
}

/// A new leader whose cache of pods lags sees a pod that is long gone beside the node that came since.
#[test]
fn the_result_of_a_pod_that_an_earlier_node_ran_counts_for_no_later_one() {
    let (scene, _) = replaced(pod("a").created(at(5)).scheduled_at(at(7)).done());
    assert_eq!(scene.clone().cached().decide(), Decision::ObserveLive);
    let act = scene.look();
    assert_eq!((act.status.completed_nodes.as_ref(), released(&act)), (None, vec!["b"]));
}

#[test]
fn what_others_have_released_counts() {
    let act = Scene::waiting(&["a", "b", "c"]).parallelism(2).only("c", [pod("c")]).look();
    assert_eq!((started(&act), released(&act)), (&set(&["a"]), vec!["a"]));
    let act = Scene::waiting(&["a", "b", "c"]).parallelism(1).only("c", [pod("c").done()]).look();
    assert_eq!(released(&act), ["a"], "it is done");
}

#[test]
fn pods_of_earlier_work_and_daemon_sets_hold_places_while_they_are_there() {
    let scene = Scene::waiting(&["a", "b", "c", "d"]).parallelism(3);
    let scene = scene.only("c", [earlier("c").deleted()]);
    let of_another = pod("d").owner("ds-0").of_job("job-1").deleted();
    let scene = scene.pod(of_another);
    let act = scene.look();
    assert_eq!(released(&act), ["a"]);
    let of_another_job = pod("d").owner("ds-0").of_job("job-0").deleted();
    let act = scene.only("d", [pod("d").gated(), of_another_job]).look();
    assert_eq!(released(&act), ["a", "b"]);
}

#[test]
fn changed_work_moves_what_was_started_to_what_stops() {
    let mut scene = Scene::waiting(&["a", "b", "c"]).parallelism(1);
    scene = scene.started(&["a"]).stopping(&["b"]).only("a", [pod("a")]);
    scene.job.spec.args = vec!["again".to_owned()];
    let mut daemon_set = fixtures::daemon_set().of(&scene.job).scheduled(3, 3);
    daemon_set =
        daemon_set.work_hash(scene.job.status.as_ref().unwrap().work_hash.as_ref().unwrap());
    let observation = Observation {
        daemon_set: Some(Arc::new(daemon_set.gated().build())),
        pods: scene.pods.clone(),
        ..fixtures::observation(&scene.job)
    };
    let Decision::Act(act) = decide(&observation) else {
        panic!("the work has changed");
    };
    let uid = fixtures::DAEMON_SET_UID.to_owned();
    assert_eq!(act.daemon_set, DaemonSetAction::Update(uid, Gating::Turn));
    assert_eq!((started(&act), stopping(&act)), (&set(&[]), set(&["a", "b"])));
    assert_eq!(released(&act), [""; 0]);
}

#[test]
fn a_stopping_node_leaves_when_no_earlier_pod_is_on_it() {
    let scene = Scene::waiting(&["a", "b", "c"]).parallelism(1).stopping(&["a"]);
    let busy = scene.clone().only("a", [earlier("a").deleted()]);
    let act = busy.look();
    assert_eq!((stopping(&act), released(&act)), (set(&["a"]), vec![]));
    // Caches may show a DaemonSet that somebody has deleted since.
    assert_eq!(scene.clone().cached().decide(), Decision::ObserveLive);
    let act = scene.look();
    assert_eq!((stopping(&act), released(&act)), (set(&[]), vec!["a"]));
    let mut without = scene.only("a", []);
    assert_eq!(without.clone().cached().decide(), Decision::ObserveLive);
    let act = without.look();
    assert_eq!((stopping(&act), released(&act)), (set(&[]), vec!["b"]));
    without.generation = 2;
    assert_eq!(stopping(&without.look()), set(&["a"]), "an earlier pod may be created yet");
}

#[test]
fn a_completed_node_runs_no_more_whatever_becomes_of_its_pod() {
    let scene = Scene::waiting(&["a", "b"]).completed(&["a"]);
    for ledger in [&[][..], &["a"]] {
        let act = scene.clone().started(ledger).look();
        assert_eq!((started(&act), released(&act)), (&set(&["b"]), vec!["b"]));
        assert_eq!((act.status.succeeded, act.status.waiting), (1, 1));
    }
    let act = scene.only("b", [pod("b").done()]).look();
    assert_eq!(act.status.phase, Some(api::job::Phase::Completed));
}
