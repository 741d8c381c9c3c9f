//! Each check of the world finds the fault that it is there for.
//!
//! The search gives the shortest history by which the fault shows; the operator without it passes the same search.

use super::exhaustive::{look, places, waiting};
use crate::testing::{
    search::search,
    world::{Check, Event, Fault, Kinds, Left, Look, Rollout, World},
};

/// Where to look for a fault.
struct Case {
    fault: Fault,
    check: Check,
    world: World,
    left: Left,
    depth: usize,
}

fn assert_found(case: Case) {
    let Case { fault, check, world, left, depth } = case;
    if let Err(found) = search(&world, &left, depth) {
        panic!("without a fault: {found}");
    }
    let found = search(&world.with(fault), &left, depth);
    let found = found.expect_err("a fault that no check finds");
    assert_eq!(found.broken.0, check, "{found}");
}

fn case(fault: Fault, check: Check) -> Case {
    Case { fault, check, world: waiting(2, &[places(1)]), left: Left::default(), depth: 4 }
}

/// The caches of this process catch up.
fn caught_up(process: usize) -> Event {
    Event::Rollout(Rollout::CatchUp(process, Kinds::ALL))
}

/// The watch of pods of this process begins anew with a list.
fn gap(process: usize) -> Event {
    Event::Rollout(Rollout::Gap(process))
}

/// A look of the first process, whose releases are on their way.
fn late_look() -> Event {
    let look = Look { are_late: true, fresh: Kinds::ALL, ..Look::default() };
    Event::Rollout(Rollout::Look(look))
}

/// A pod that was released starts.
fn bound(index: usize) -> Event {
    Event::Rollout(Rollout::Bind(index))
}

#[test]
fn an_operator_that_skips_the_ledger_is_found() {
    assert_found(case(Fault::SkipsLedger, Check::WriteAhead));
}

#[test]
fn an_operator_that_counts_pods_in_place_of_the_ledger_is_found() {
    let left = Left { late: 1, ..Left::default() };
    assert_found(Case { left, ..case(Fault::CountsPods, Check::Shrinkage) });
}

#[test]
fn an_operator_that_releases_before_it_writes_is_found() {
    assert_found(case(Fault::ReleasesFirst, Check::WriteAhead));
}

#[test]
fn an_operator_that_takes_its_cache_for_what_is_stored_is_found() {
    let mut world = waiting(2, &[places(1)]);
    // The second process sees that the first node has started, and no more of the Job.
    for event in [look(), caught_up(1), bound(0), Event::PodDone(0), late_look()] {
        world.happen(&event);
    }
    for event in [Event::PodDeleted(0), Event::PodsGone, gap(1), Event::Sync] {
        world.happen(&event);
    }
    assert_found(Case { world, ..case(Fault::TrustsItsCache, Check::WriteAhead) });
}

#[test]
fn an_operator_that_writes_over_newer_statuses_is_found() {
    assert_found(case(Fault::WritesAnyVersion, Check::Shrinkage));
}

#[test]
fn an_operator_that_drops_nodes_by_what_caches_show_is_found() {
    let mut world = waiting(2, &[places(1)]);
    for event in [look(), Event::PodDeleted(0), Event::PodsGone, caught_up(1), Event::Sync, look()]
    {
        world.happen(&event);
    }
    assert_found(Case { world, ..case(Fault::DropsFromCaches, Check::Shrinkage) });
}

#[test]
fn an_operator_that_repeats_releases_by_what_caches_show_is_found() {
    let mut world = waiting(2, &[places(1)]);
    // The second process never sees that the first node is done, and neither that it is another one by now.
    for event in [look(), bound(0), caught_up(1), Event::PodDone(0), caught_up(0)] {
        world.happen(&event);
    }
    for event in [Event::NodeReplaced(0), gap(1), Event::Sync] {
        world.happen(&event);
    }
    assert_found(Case { world, ..case(Fault::RepeatsFromCaches, Check::Limit) });
}

#[test]
fn an_operator_that_forgets_min_ready_seconds_is_found() {
    let world = waiting(2, &[places(1), Rollout::MinReady(Some(9))]);
    assert_found(Case { world, ..case(Fault::ForgetsMinReady, Check::Shrinkage) });
}

#[test]
fn an_operator_that_ignores_windows_is_found() {
    let mut world = waiting(2, &[places(1), Rollout::Windows(true)]);
    world.happen(&Event::TimePasses(30));
    assert_found(Case { world, ..case(Fault::IgnoresWindows, Check::Windows) });
}

#[test]
fn an_operator_that_ignores_the_order_is_found() {
    let world = waiting(2, &[places(2), Rollout::Order(true)]);
    assert_found(Case { world, ..case(Fault::IgnoresOrder, Check::Order) });
}

#[test]
fn an_operator_that_ignores_suspension_is_found() {
    let left = Left { script: vec![Event::Rollout(Rollout::Suspend(true))], ..Left::default() };
    assert_found(Case { left, ..case(Fault::IgnoresSuspension, Check::Suspended) });
}

#[test]
fn an_operator_that_ignores_too_many_failures_is_found() {
    let mut world = waiting(3, &[places(2)]);
    for event in [Event::EditLimit(Some(0)), look(), bound(0), bound(1), Event::PodFails(0)] {
        world.happen(&event);
    }
    for event in [Event::TimePasses(20), Event::PodDone(1)] {
        world.happen(&event);
    }
    assert_found(Case { world, ..case(Fault::IgnoresFailures, Check::Failures) });
}

#[test]
fn an_operator_that_starts_lost_nodes_is_found() {
    let mut world = waiting(2, &[places(1)]);
    world.happen(&Event::Rollout(Rollout::NodeUnreachable(0)));
    assert_found(Case { world, ..case(Fault::IgnoresTaints, Check::Growth) });
}

#[test]
fn an_operator_that_forgets_what_is_stopping_is_found() {
    let left = Left { script: vec![Event::Edit(1)], ..Left::default() };
    assert_found(Case { left, ..case(Fault::ForgetsStopping, Check::Shrinkage) });
}

#[test]
fn an_operator_whose_pods_do_not_wait_is_found() {
    let world = World::of_turns(2, &[places(1)]);
    assert_found(Case { world, ..case(Fault::ForgetsGate, Check::WriteAhead) });
}

#[test]
fn an_operator_that_forgets_pods_that_are_gone_is_found() {
    let mut world = waiting(2, &[places(1)]);
    for event in [look(), bound(0)] {
        world.happen(&event);
    }
    let left = Left { deletions: 1, ..Left::default() };
    assert_found(Case { world, left, ..case(Fault::ForgetsGone, Check::Kept) });
}

#[test]
fn an_operator_that_releases_by_name_is_found() {
    let mut world = waiting(2, &[places(1)]);
    for event in [late_look(), look(), bound(0), Event::PodDone(0), look(), Event::PodDeleted(0)] {
        world.happen(&event);
    }
    assert_found(Case { world, ..case(Fault::ReleasesByNode, Check::Once) });
}

#[test]
fn an_operator_that_never_repeats_a_release_hangs() {
    let never_sent = Look { cut: Some(1), fresh: Kinds::ALL, ..Look::default() };
    let ends = |mut world: World| {
        world.happen(&Event::Rollout(Rollout::Look(never_sent.clone())));
        world.finish_rollout();
        world.is_through()
    };
    assert!(ends(waiting(2, &[places(1)])));
    assert!(!ends(waiting(2, &[places(1)]).with(Fault::ReleasesOnce)));
}
