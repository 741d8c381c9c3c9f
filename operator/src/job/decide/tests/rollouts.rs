//! Random histories of Jobs whose nodes take turns, and of Jobs that are suspended.
//!
//! Two processes look at the Job, each with caches of its own that lag, and each takes itself for the leader. They
//! end between any two writes, lose answers, and their releases land late or never.

use proptest::{prelude::*, test_runner::RngSeed};

use crate::testing::world::{Event, Kinds, Limit, Look, Rollout, World};

fn field() -> impl Strategy<Value = Rollout> {
    let limits = [None, Some(Limit::Nodes(0)), Some(Limit::Nodes(1)), Some(Limit::Nodes(2))];
    let limits = limits.into_iter().chain([Some(Limit::PerCent(34))]).collect::<Vec<_>>();
    prop_oneof![
        3 => prop::sample::select(limits).prop_map(Rollout::Parallelism),
        2 => prop::sample::select(vec![None, Some(0), Some(9)]).prop_map(Rollout::MinReady),
        1 => any::<bool>().prop_map(Rollout::Order),
        1 => any::<bool>().prop_map(Rollout::Windows),
        1 => any::<bool>().prop_map(Rollout::Suspend),
        1 => any::<bool>().prop_map(Rollout::Never),
    ]
}

fn world_event() -> impl Strategy<Value = Event> {
    let index = || 0_usize..6;
    let limit = prop::sample::select(vec![None, Some(0), Some(1)]);
    let objects = prop_oneof![
        1 => Just(Event::NodeJoins),
        1 => index().prop_map(Event::NodeLeaves),
        1 => index().prop_map(Event::NodeRecreated),
        1 => index().prop_map(Event::NodeReplaced),
        10 => Just(Event::Sync),
        8 => index().prop_map(Event::PodDone),
        1 => index().prop_map(Event::PodFails),
        2 => index().prop_map(Event::PodDeleted),
        3 => Just(Event::PodsGone),
        1 => Just(Event::PodsCollected),
        3 => (1_i64..14).prop_map(Event::TimePasses),
        1 => index().prop_map(Event::NodeSelected),
    ];
    let users = prop_oneof![
        2 => (0_u8..3).prop_map(Event::Edit),
        2 => limit.prop_map(Event::EditLimit),
        1 => Just(Event::Recreate),
        2 => Just(Event::Collect),
        1 => (0_u8..3).prop_map(Event::StrangerEdits),
        1 => Just(Event::StrangerSelectsNone),
        1 => index().prop_map(Event::StrangerRollsBack),
        1 => any::<bool>().prop_map(|orphans| Event::StrangerDeletes { orphans }),
        1 => (0_usize..2).prop_map(Event::Terminate),
    ];
    let rollouts = prop_oneof![
        6 => index().prop_map(Rollout::Bind),
        4 => index().prop_map(Rollout::Lands),
        1 => index().prop_map(Rollout::ByHand),
        1 => any::<bool>().prop_map(Rollout::StrangerGates),
        1 => index().prop_map(Rollout::NodeUnreachable),
        1 => (0_usize..2).prop_map(Rollout::Gap),
        1 => (0_usize..2).prop_map(Rollout::Restart),
        2 => (0_usize..2, kinds()).prop_map(|(process, kinds)| Rollout::CatchUp(process, kinds)),
        3 => field(),
    ];
    prop_oneof![
        8 => objects,
        2 => users,
        5 => rollouts.prop_map(Event::Rollout),
    ]
}

/// The caches that catch up: most often all of them.
fn kinds() -> impl Strategy<Value = Kinds> {
    let catches_up = || prop::bool::weighted(0.7);
    (catches_up(), catches_up(), catches_up(), catches_up())
        .prop_map(|(job, daemon_set, pods, nodes)| Kinds { job, daemon_set, pods, nodes })
}

fn look() -> impl Strategy<Value = Event> {
    let process = prop::bool::weighted(0.3).prop_map(usize::from);
    let cut = prop_oneof![6 => Just(None), 1 => (1_usize..5).prop_map(Some)];
    let seldom = || prop::bool::weighted(0.2);
    let between = prop::collection::vec(world_event(), 0..2);
    let how = (cut, any::<bool>(), seldom(), seldom(), seldom());
    (process, kinds(), how, between).prop_map(|(process, fresh, how, between)| {
        let (cut, lives_on, are_late, puts_off, forgets) = how;
        let look = Look { process, fresh, cut, lives_on, are_late, puts_off, forgets, between };
        Event::Rollout(Rollout::Look(look))
    })
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        5 => world_event(),
        3 => look(),
    ]
}

/// The same histories each time; `PROPTEST_CASES=100000 cargo test rollouts` runs others, as many as it says.
fn config() -> ProptestConfig {
    let asked = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok());
    let rng_seed = asked.map_or(RngSeed::Fixed(22), |_: u32| RngSeed::Random);
    ProptestConfig { cases: asked.unwrap_or(5_000), rng_seed, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn never_more_than_the_limit_never_twice_and_always_in_the_end(
        nodes in 1_u32..5,
        fields in prop::collection::vec(field(), 1..4),
        events in prop::collection::vec(event(), 0..60),
    ) {
        let mut world = World::of_turns(nodes, &fields);
        for event in &events {
            world.happen(event);
            prop_assert!(world.violations().is_empty(), "{:?}", world.violations());
        }
        world.finish_rollout();
        prop_assert!(world.violations().is_empty(), "{:?}", world.violations());
        prop_assert!(world.is_through(), "it never ends: {:#?}", world);
    }
}
