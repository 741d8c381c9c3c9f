//! Which nodes start.

use serde_json::json;

use super::*;

#[test]
fn as_many_nodes_start_as_there_are_places_by_name() {
    let scene = Scene::waiting(&["d", "b", "a", "c"]).parallelism(2);
    let act = scene.look();
    assert_eq!((started(&act), released(&act)), (&set(&["a", "b"]), vec!["a", "b"]));
    assert_eq!((act.status.active, act.status.waiting, act.status.succeeded), (0, 4, 0));
    assert_eq!(act.releases[0].uid, "pod-of-a");
}

#[test]
fn without_a_limit_all_start_that_wait() {
    let act = Scene::waiting(&["a", "b", "c"]).completed(&["b"]).look();
    assert_eq!((started(&act), released(&act)), (&set(&["a", "c"]), vec!["a", "c"]));
    assert_eq!((act.status.waiting, act.status.succeeded), (2, 1));
    assert_eq!(why(&act), None);
}

#[test]
fn per_cent_are_of_the_wanted_nodes_and_rounded_up() {
    let names: Vec<_> = (0..11).map(|node| format!("n{node:02}")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let started_at = |per_cent: &str| {
        let act = Scene::waiting(&names).per_cent(per_cent).look();
        started(&act).len()
    };
    assert_eq!(["0%", "1%", "9%", "10%", "50%", "100%"].map(started_at), [0, 1, 1, 2, 6, 11]);
}

#[test]
fn per_cent_of_a_number_that_is_not_known_yet_are_none() {
    let mut scene = Scene::waiting(&["a", "b"]).per_cent("50%").cached();
    scene.generation = 2;
    assert_eq!(started(&scene.look()).len(), 0);
}

#[test]
fn a_node_that_is_done_makes_room_in_the_same_write() {
    let scene = Scene::waiting(&["a", "b"]).parallelism(1).started(&["a"]);
    let act = scene.only("a", [pod("a").done()]).look();
    assert_eq!(act.status.completed_nodes, Some(set(&["a"])));
    assert_eq!((started(&act), released(&act)), (&set(&["b"]), vec!["b"]));
}

#[test]
fn a_pod_whose_release_was_lost_is_released_again() {
    let act = Scene::waiting(&["a", "b"]).parallelism(1).started(&["b"]).look();
    assert_eq!((started(&act), released(&act)), (&set(&["b"]), vec!["b"]));
}

#[test]
fn nobody_starts_who_is_done_failed_or_cannot() {
    let nodes = ["done", "failed", "foreign", "leaving", "lost", "other", "unknown"];
    let scene = Scene::waiting(&nodes)
        .completed(&["done"])
        .failed(&["failed"])
        .only("leaving", [pod("leaving").gated().deleted()])
        .only("other", [earlier("other").gated()])
        .node(fixtures::unreachable_node("lost"))
        .without_node("unknown");
    let mut foreign = (*pod("foreign").gated().build()).clone();
    foreign.spec.gates.others = true;
    let mut scene = scene.only("foreign", []);
    scene.pods.push(Arc::new(foreign));
    let act = scene.look();
    assert_eq!((started(&act), released(&act)), (&set(&[]), vec![]));
}

#[test]
fn nobody_starts_from_a_daemon_set_that_somebody_has_edited() {
    let mut scene = Scene::waiting(&["a", "b"]).parallelism(2).started(&["b"]);
    scene.generation = 2;
    let act = scene.look();
    assert_eq!(started(&act), &set(&["b"]));
    assert_eq!(why(&act).unwrap().0, Reason::DaemonSetDiffers);
}

fn pools(order: &[&str]) -> Value {
    order.iter().map(|pool| json!({"matchLabels": {"pool": pool}})).collect()
}

/// A node with this label.
fn in_pool(name: &str, pool: &str) -> Arc<NodeView> {
    let mut node = (*fixtures::node(name)).clone();
    node.metadata.labels = Some([("pool".to_owned(), pool.to_owned())].into());
    Arc::new(node)
}

#[test]
fn a_group_starts_when_the_one_before_is_through() {
    let scene = Scene::waiting(&["a", "b", "c"])
        .order(pools(&["canary", "main"]))
        .node(in_pool("c", "canary"))
        .node(in_pool("b", "main"));
    let act = scene.look();
    assert_eq!(released(&act), ["c"]);
    let message = "spec.order[0] comes first, and is not through";
    assert_eq!(why(&act), Some((Reason::OrderWaits, message)));

    let scene = scene.started(&["c"]).only("c", [pod("c").done()]);
    let act = scene.look();
    assert_eq!((started(&act), released(&act)), (&set(&["b"]), vec!["b"]));

    let act = scene.started(&["b"]).completed(&["c"]).only("b", [pod("b").done()]).look();
    assert_eq!(released(&act), ["a"], "those that match none come last");
}

#[test]
fn a_failed_canary_holds_the_rest_unless_failures_are_tolerated() {
    let scene = Scene::waiting(&["a", "b"])
        .order(pools(&["canary"]))
        .node(in_pool("a", "canary"))
        .started(&["a"])
        .only("a", [failed("a")]);
    let act = scene.look();
    assert_eq!(released(&act), [""; 0]);
    let message = "spec.order[0] comes first, and is not through; failed: a";
    assert_eq!(why(&act), Some((Reason::OrderWaits, message)));
    let mut tolerant = scene;
    tolerant.job.spec.max_failed_nodes = Some(1);
    assert_eq!(released(&tolerant.look()), ["b"]);
}

#[test]
fn a_later_group_waits_for_wanted_nodes_without_pods_and_labels() {
    let mut scene = Scene::waiting(&["b"]).order(pools(&["canary"])).node(in_pool("b", "main"));
    assert_eq!(released(&scene.look()), ["b"]);
    scene.has_labels = false;
    let act = scene.look();
    assert_eq!((released(&act), why(&act).unwrap().0), (vec![], Reason::LabelsUnknown));
    scene.has_labels = true;
    scene.wanted = 2;
    let act = scene.look();
    assert_eq!(released(&act), [""; 0], "the other node may be a canary");
    let message = "some nodes that may come first hold no pod yet";
    assert_eq!(why(&act), Some((Reason::OrderWaits, message)));
    assert_eq!(released(&scene.node(in_pool("b", "canary")).look()), ["b"], "nobody comes before");
}

#[test]
fn a_node_of_a_group_that_is_not_known_holds_later_ones() {
    let scene = Scene::waiting(&["a", "b"])
        .order(pools(&["canary"]))
        .node(in_pool("b", "main"))
        .without_node("a")
        .cached();
    assert_eq!(scene.decide(), Decision::ObserveLive, "that node may be gone");
    let mut gone = scene;
    gone.source = Source::Live;
    gone.wanted = 1;
    assert_eq!(released(&gone.look()), ["b"]);
}

#[test]
fn a_node_that_joins_an_earlier_group_comes_next() {
    let scene = Scene::waiting(&["a", "b", "c"])
        .parallelism(1)
        .order(pools(&["canary"]))
        .node(in_pool("c", "canary"))
        .started(&["a"])
        .only("a", [pod("a").done()]);
    assert_eq!(released(&scene.look()), ["c"]);
}
