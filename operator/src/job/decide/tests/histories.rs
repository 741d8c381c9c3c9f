//! Random histories of a cluster.
//!
//! In all of them a Job is never finished early, always finished in the end, and never loses a recorded result.
//!
//! The [`World`] is the truth. The operator sees it through caches that lag, each on its own, and
//! through live reads between which the world goes on. It keeps nothing between two of its steps, so
//! that each of them is also a restart.

use proptest::{prelude::*, test_runner::TestCaseError};

use crate::testing::world::{Event, Lags, World};

fn world_event() -> impl Strategy<Value = Event> {
    let index = || 0_usize..8;
    let deadline = prop::sample::select(vec![None, Some(5), Some(20)]);
    let limit = prop::sample::select(vec![None, Some(0), Some(1)]);
    prop_oneof![
        2 => Just(Event::NodeJoins),
        1 => index().prop_map(Event::NodeLeaves),
        1 => index().prop_map(Event::NodeRecreated),
        1 => index().prop_map(Event::NodeReplaced),
        8 => Just(Event::Sync),
        8 => index().prop_map(Event::PodDone),
        1 => index().prop_map(Event::PodFails),
        2 => index().prop_map(Event::SandboxEnds),
        3 => index().prop_map(Event::SandboxStarts),
        1 => index().prop_map(Event::PodDeleted),
        2 => Just(Event::PodsGone),
        1 => Just(Event::PodsCollected),
        1 => (0_u8..3).prop_map(Event::Edit),
        1 => limit.prop_map(Event::EditLimit),
        1 => deadline.prop_map(Event::EditDeadline),
        2 => (1_i64..14).prop_map(Event::TimePasses),
        1 => Just(Event::Recreate),
        2 => Just(Event::Collect),
        1 => (0_u8..3).prop_map(Event::StrangerEdits),
        1 => Just(Event::StrangerSelectsNone),
        1 => index().prop_map(Event::StrangerRollsBack),
        1 => any::<bool>().prop_map(|orphans| Event::StrangerDeletes { orphans }),
        1 => index().prop_map(Event::NodeSelected),
        1 => Just(Event::OperatorRestarts),
    ]
}

fn event() -> impl Strategy<Value = Event> {
    let lag = || prop_oneof![3 => Just(0_usize), 1 => 0_usize..12];
    let lags = (lag(), lag(), lag(), lag()).prop_map(|(job, daemon_set, pods, nodes)| Lags {
        job,
        daemon_set,
        pods,
        nodes,
    });
    let between = prop::collection::vec(world_event(), 0..3);
    prop_oneof![
        4 => world_event(),
        3 => (lags, between).prop_map(|(lags, between)| Event::Reconcile(lags, between)),
        1 => lag().prop_map(Event::Terminate),
    ]
}

fn verify(nodes: u32, events: &[Event]) -> Result<(), TestCaseError> {
    let mut world = World::new(nodes);
    for event in events {
        world.happen(event);
    }
    world.settle();
    prop_assert!(world.violations().is_empty(), "{:?}", world.violations());
    prop_assert!(world.is_over(), "it never ends: {:#?}", world);
    Ok(())
}

// 100,000 histories, by two threads at the same time.
proptest! {
    #![proptest_config(ProptestConfig { cases: 50_000, ..ProptestConfig::default() })]

    #[test]
    fn never_early_always_in_the_end_and_never_taken_back_on_one_or_two_nodes(
        nodes in 1_u32..3,
        events in prop::collection::vec(event(), 0..60),
    ) {
        verify(nodes, &events)?;
    }

    #[test]
    fn never_early_always_in_the_end_and_never_taken_back_on_two_or_three_nodes(
        nodes in 2_u32..4,
        events in prop::collection::vec(event(), 0..60),
    ) {
        verify(nodes, &events)?;
    }
}

/// The shortest one that ended a Job early before the operator compared generations.
#[test]
fn work_that_a_stranger_put_into_the_template_ends_no_job() {
    let reconcile = || Event::Reconcile(Lags::default(), Vec::new());
    for edit in [Event::StrangerEdits(1), Event::StrangerSelectsNone] {
        let mut world = World::new(1);
        [reconcile(), edit].iter().for_each(|event| world.happen(event));
        world.settle();
        assert!(world.is_over(), "it never ends: {world:#?}");
    }
}

/// Too rare by chance: it takes three events while the cache of nodes lags.
#[test]
fn a_pod_whose_node_is_gone_stands_for_no_lost_one_though_the_cache_knows_that_node() {
    let reconcile = |nodes| Event::Reconcile(Lags { nodes, ..Lags::default() }, Vec::new());
    let mut world = World::new(3);
    for event in [
        reconcile(0),
        Event::Sync,
        Event::Sync,
        Event::PodDone(1),
        Event::PodDone(2),
        Event::NodeLeaves(2),
        Event::Sync,
        Event::PodDeleted(0),
        Event::PodsGone,
        reconcile(4),
    ] {
        world.happen(&event);
    }
    world.settle();
    assert!(world.is_over(), "it never ends: {world:#?}");
}
