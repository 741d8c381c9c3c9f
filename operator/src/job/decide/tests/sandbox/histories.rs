//! Random histories of one pod.

use api::job::CompletionMode;
use proptest::prelude::*;

use super::{MODES, Operator, VERSIONS};
use crate::testing::kubelet::{Kubelet, Version};

/// An event of a pod.
#[derive(Clone, Copy, Debug)]
enum Event {
    /// The work fails.
    Fails(i32),
    StopSandbox,
    StopSandboxUnderEyes,
    /// The container that the kubelet ends for it exits with this code.
    KillSandbox(i32),
    Reboot(Option<i32>),
    BackOff,
    EndBackOff,
    Network(bool),
    Pass(i64),
    Sync,
    /// The operator looks, if it does not always.
    Look,
}

fn event(codes: &'static [i32]) -> impl Strategy<Value = Event> {
    let code = || prop::sample::select(codes);
    prop_oneof![
        3 => prop::sample::select(vec![1, 3]).prop_map(Event::Fails),
        1 => Just(Event::StopSandbox),
        1 => Just(Event::StopSandboxUnderEyes),
        1 => code().prop_map(Event::KillSandbox),
        1 => prop::option::of(code()).prop_map(Event::Reboot),
        1 => Just(Event::BackOff),
        2 => Just(Event::EndBackOff),
        1 => prop::bool::weighted(0.7).prop_map(Event::Network),
        2 => (0_i64..30).prop_map(Event::Pass),
        6 => Just(Event::Sync),
        2 => Just(Event::Look),
    ]
}

/// A kubelet that goes through these events, and the truth about it.
struct World {
    kubelet: Kubelet,
    /// Runs that ended by themselves.
    failed: i32,
    /// Those of them that the kubelet reported while their sandbox was there.
    reported: i32,
    /// Whether the last one that ended is among these.
    is_last_reported: bool,
}

impl World {
    fn new(mode: CompletionMode, version: Version) -> Self {
        Self {
            kubelet: Kubelet::new(mode, version),
            failed: 0,
            reported: 0,
            is_last_reported: false,
        }
    }

    fn happen(&mut self, event: Event) {
        let kubelet = &mut self.kubelet;
        match event {
            Event::Fails(code) if kubelet.is_running() => {
                kubelet.exit(code);
                self.failed += 1;
                // The kubelet comes first.
                self.is_last_reported = kubelet.is_sandbox_ready();
                if self.is_last_reported {
                    self.reported += 1;
                    kubelet.sync(code);
                }
            }
            Event::Fails(_) | Event::Look => {}
            Event::StopSandbox => kubelet.stop_sandbox(),
            Event::StopSandboxUnderEyes => {
                kubelet.stop_sandbox_under_eyes();
                kubelet.pass(1);
                kubelet.sync(137);
            }
            Event::KillSandbox(code) => {
                kubelet.kill_sandbox();
                kubelet.sync(code);
            }
            Event::Reboot(code) => {
                // A kubelet that starts does not know that it has waited before the next run: it looks like one that
                // ended with the node.
                if !kubelet.is_running() && std::mem::take(&mut self.is_last_reported) {
                    self.reported -= 1;
                }
                kubelet.reboot(code, 15);
                kubelet.sync(0);
            }
            Event::BackOff => kubelet.back_off(),
            Event::EndBackOff => kubelet.end_back_off(),
            Event::Network(is_there) => kubelet.lacks_network = !is_there,
            Event::Pass(seconds) => kubelet.pass(seconds),
            Event::Sync => {
                kubelet.pass(1);
                kubelet.sync(137);
            }
        }
    }
}

fn mode() -> impl Strategy<Value = CompletionMode> {
    prop::sample::select(MODES.to_vec())
}

fn version() -> impl Strategy<Value = Version> {
    prop::sample::select(VERSIONS.to_vec())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, ..ProptestConfig::default() })]

    /// An operator that sees everything counts each failure, and nothing else.
    #[test]
    fn who_sees_everything_counts_what_failed(
        mode in mode(),
        version in version(),
        limit in 0..4_i32,
        events in prop::collection::vec(event(&[0, 1, 137, 143]), 0..30),
    ) {
        let mut world = World::new(mode, version);
        let mut operator = Operator::new(mode, limit);
        for event in events {
            world.happen(event);
            operator.look(&mut world.kubelet);
            prop_assert!(!operator.is_done, "nothing is done: {:#?}", world.kubelet);
            let may_have = world.failed > limit;
            prop_assert!(!operator.has_failed || may_have, "{} {:#?}", world.failed, world.kubelet);
        }
        world.kubelet.pass(20);
        operator.look(&mut world.kubelet);
        world.kubelet.sync(137);
        world.kubelet.pass(20);
        operator.look(&mut world.kubelet);
        let must_have = world.reported > limit;
        prop_assert!(operator.has_failed || !must_have, "{} {:#?}", world.reported, world.kubelet);
    }

    /// An operator that looks now and then takes no end of a sandbox for a failure.
    ///
    /// It may overlook failures, but not for ever.
    #[test]
    fn who_looks_now_and_then_fails_no_node_that_has_not_failed(
        mode in mode(),
        version in version(),
        events in prop::collection::vec(event(&[137, 143]), 0..30),
    ) {
        let mut world = World::new(mode, version);
        let mut operator = Operator::new(mode, 0);
        for event in events {
            world.happen(event);
            if matches!(event, Event::Look) {
                operator.glance(&mut world.kubelet);
                prop_assert!(!operator.is_done, "nothing is done: {:#?}", world.kubelet);
                let is_so = !operator.has_failed || world.failed > 0;
                prop_assert!(is_so, "it has not failed: {:#?}", world.kubelet);
            }
        }
        world.happen(Event::Network(true));
        for _ in 0..3 {
            world.happen(Event::EndBackOff);
            world.happen(Event::Sync);
            world.happen(Event::Pass(20));
            world.happen(Event::Fails(1));
            world.happen(Event::Pass(20));
            operator.glance(&mut world.kubelet);
        }
        prop_assert!(operator.has_failed, "it never fails: {:#?}", world.kubelet);
    }
}
