//! Every history of two or three nodes and two leaders, up to a number of events.
//!
//! The events are those of [`World::choices`]: each process looks with each of its caches late or not, ends between
//! any two writes or loses an answer, sends releases that land whenever they like, and starts anew; the DaemonSet
//! controller, kubelets, users and strangers do their part whenever they like. What random histories find by luck
//! a search finds for certain, up to its depth. `SEARCH_DEPTH=2 cargo test exhaustive` goes two events deeper.
//!
//! The search is our own, some sixty lines: it remembers decisions, takes the two leaders for alike, and knows
//! versions by their order, so that it sees each state once. The crate `stateright` would add a web server and six
//! more crates for the same loop.

use crate::testing::{
    search::{Extent, search},
    world::{Event, Kinds, Left, Limit, Look, Rollout, World},
};

/// Events by which every search goes deeper.
const DEPTH: &str = "SEARCH_DEPTH";

/// A look of the first process, whose caches have caught up.
pub(super) fn look() -> Event {
    Event::Rollout(Rollout::Look(Look { fresh: Kinds::ALL, ..Look::default() }))
}

/// The fields of a Job with so many places.
pub(super) fn places(number: u8) -> Rollout {
    Rollout::Parallelism(Some(Limit::Nodes(number)))
}

/// A world whose pods wait for the first turn.
pub(super) fn waiting(nodes: u32, fields: &[Rollout]) -> World {
    let mut world = World::of_turns(nodes, fields).remembering();
    for event in [look(), Event::Sync, Event::Sync] {
        world.happen(&event);
    }
    for process in 0..2 {
        world.happen(&Event::Rollout(Rollout::CatchUp(process, Kinds::ALL)));
    }
    world
}

fn explore(world: &World, left: &Left, depth: usize) -> Extent {
    let deeper = std::env::var(DEPTH).ok().and_then(|depth| depth.parse().ok()).unwrap_or(0);
    match search(world, left, depth + deeper) {
        Ok(extent) => {
            println!("{extent:?}");
            extent
        }
        Err(found) => panic!("{found}"),
    }
}

#[test]
fn two_nodes_and_one_place_whatever_two_leaders_do() {
    let left = Left { cuts: 1, late: 1, restarts: 1, ..Left::default() };
    explore(&waiting(2, &[places(1)]), &left, 6);
}

#[test]
fn three_nodes_and_one_place_whatever_two_leaders_do() {
    let left = Left { late: 1, ..Left::default() };
    explore(&waiting(3, &[places(1)]), &left, 6);
}

#[test]
fn pods_that_somebody_deletes_let_no_node_start_twice() {
    let left = Left { late: 1, deletions: 1, ..Left::default() };
    explore(&waiting(2, &[places(1)]), &left, 6);
}

#[test]
fn a_pod_that_is_done_and_gone_counts_for_its_node_and_its_work_alone() {
    let mut world = waiting(2, &[places(1)]);
    for event in [look(), Event::Rollout(Rollout::Bind(0))] {
        world.happen(&event);
    }
    let edits = [Event::Edit(1), Event::NodeReplaced(0), Event::NodeRecreated(0), Event::Recreate];
    for event in edits {
        let left = Left { deletions: 1, restarts: 1, script: vec![event], ..Left::default() };
        explore(&world, &left, 5);
    }
}

#[test]
fn an_edit_of_the_work_keeps_the_places_of_what_runs() {
    let left = Left { late: 1, script: vec![Event::Edit(1)], ..Left::default() };
    explore(&waiting(2, &[places(1)]), &left, 6);
}

#[test]
fn suspension_and_resumption_at_any_time_start_no_node_too_many() {
    let suspend = |is_set| Event::Rollout(Rollout::Suspend(is_set));
    let left = Left { late: 1, script: vec![suspend(true), suspend(false)], ..Left::default() };
    explore(&waiting(2, &[places(1)]), &left, 6);
}

#[test]
fn a_daemon_set_that_somebody_deletes_loses_no_place() {
    let script = vec![Event::StrangerDeletes { orphans: false }];
    let left = Left { late: 1, script, ..Left::default() };
    explore(&waiting(2, &[places(1)]), &left, 6);
}

#[test]
fn a_lower_limit_starts_no_more_nodes() {
    let script = vec![Event::Rollout(places(1))];
    let left = Left { late: 1, script, ..Left::default() };
    explore(&waiting(3, &[places(2)]), &left, 6);
}

#[test]
fn a_node_that_is_replaced_under_its_name_is_another_one_whatever_caches_show() {
    let mut world = waiting(2, &[places(1)]);
    for event in [look(), Event::Rollout(Rollout::Bind(0)), Event::PodDone(0)] {
        world.happen(&event);
    }
    for process in 0..2 {
        world.happen(&Event::Rollout(Rollout::CatchUp(process, Kinds::ALL)));
    }
    for event in [Event::NodeReplaced(0), Event::NodeRecreated(0)] {
        let left = Left { late: 1, script: vec![event], ..Left::default() };
        explore(&world, &left, 5);
    }
}

#[test]
fn nodes_that_leave_or_are_lost_free_no_place_too_early() {
    for event in [Event::NodeLeaves(0), Event::Rollout(Rollout::NodeUnreachable(0))] {
        let left = Left { late: 1, script: vec![event], ..Left::default() };
        explore(&waiting(2, &[places(1)]), &left, 5);
    }
}

#[test]
fn a_canary_holds_the_rest_whatever_two_leaders_do() {
    let fields = [places(2), Rollout::Order(true)];
    let left =
        Left { late: 1, script: vec![Event::Rollout(Rollout::Order(false))], ..Left::default() };
    explore(&waiting(3, &fields), &left, 5);
}

#[test]
fn time_alone_frees_places_and_closes_windows() {
    let fields = [places(1), Rollout::MinReady(Some(9)), Rollout::Windows(true)];
    let script = vec![Event::TimePasses(10), Event::TimePasses(10)];
    let left = Left { late: 1, script, ..Left::default() };
    explore(&waiting(2, &fields), &left, 6);
}
