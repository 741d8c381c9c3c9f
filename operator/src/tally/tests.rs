use api::v1beta1::JobSpec;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::{
    fixtures::{
        kubelet::{Kubelet, Version, time},
        pod,
    },
    run::run,
};

const MODES: [CompletionMode; 2] = [CompletionMode::TerminationWord, CompletionMode::ExitCode];
const VERSIONS: [Version; 2] = [Version::V33, Version::V37];

fn spec(mode: CompletionMode, limit: i32) -> JobSpec {
    JobSpec { completion_mode: mode, backoff_limit_per_node: Some(limit), ..JobSpec::default() }
}

/// A pod whose container runs, of each mode, with each kubelet.
fn kubelets() -> impl Iterator<Item = (CompletionMode, Kubelet)> {
    let pairs = MODES.into_iter().flat_map(|mode| VERSIONS.map(|version| (mode, version)));
    pairs.map(|(mode, version)| {
        let mut kubelet = Kubelet::new(mode, version);
        kubelet.pass(20);
        (mode, kubelet)
    })
}

/// The operator, which looks at some of what is published.
struct Operator {
    mode: CompletionMode,
    limit: i32,
    seen: usize,
    has_failed: bool,
    is_done: bool,
}

impl Operator {
    fn new(mode: CompletionMode, limit: i32) -> Self {
        Self { mode, limit, seen: 0, has_failed: false, is_done: false }
    }

    /// Looks at everything that is new, at once and right before the next.
    fn look(&mut self, kubelet: &mut Kubelet) {
        while self.seen < kubelet.published.len() {
            let (at, view) = kubelet.published[self.seen].clone();
            let next = kubelet.published.get(self.seen + 1).map_or(kubelet.now, |(at, _)| *at);
            self.seen += 1;
            let mut view = (*view).clone();
            // What was recorded meanwhile is on later ones, too.
            view.status
                .conditions
                .retain(|condition| condition.type_ != names::POD_SANDBOX_CHANGED);
            for now in [at, next] {
                let mut view = view.clone();
                if let Some(recorded) = &kubelet.recorded {
                    view.status.conditions.push(k8s_openapi::api::core::v1::PodCondition {
                        type_: names::POD_SANDBOX_CHANGED.to_owned(),
                        message: Some(recorded.clone()),
                        ..Default::default()
                    });
                }
                let run = run(&spec(self.mode, self.limit), &view, time(now));
                self.has_failed |= run.has_failed;
                self.is_done |= run.is_done;
                if let Some(tally) = run.tally {
                    kubelet.recorded = Some(tally.tally.to_string());
                }
            }
        }
    }

    /// Looks at what there is now, and at nothing that was before.
    fn glance(&mut self, kubelet: &mut Kubelet) {
        self.seen = kubelet.published.len().saturating_sub(1);
        self.look(kubelet);
    }
}

/// The container crashes, and the kubelet starts it again, or waits with that.
fn crash(kubelet: &mut Kubelet) {
    kubelet.exit(1);
    kubelet.pass(1);
    kubelet.sync(0);
    kubelet.pass(1);
    kubelet.sync(0);
}

/// Whether the node has failed in the eyes of an operator that sees everything.
fn fails(mode: CompletionMode, limit: i32, mut kubelet: Kubelet) -> bool {
    kubelet.pass(20);
    let mut operator = Operator::new(mode, limit);
    operator.look(&mut kubelet);
    operator.has_failed
}

#[test]
fn run_that_is_killed_with_its_sandbox_has_not_failed() {
    for (mode, mut kubelet) in kubelets() {
        for _ in 0..3 {
            kubelet.stop_sandbox();
            kubelet.pass(1);
            kubelet.sync(0);
            kubelet.pass(1);
            kubelet.sync(0);
            kubelet.pass(20);
        }
        assert!(!fails(mode, 0, kubelet.clone()), "{mode:?} {kubelet:#?}");
        crash(&mut kubelet);
        assert!(!fails(mode, 1, kubelet.clone()), "{mode:?} {kubelet:#?}");
        assert!(fails(mode, 0, kubelet.clone()), "{mode:?} {kubelet:#?}");
    }
}

#[test]
fn run_that_the_kubelet_ends_for_its_sandbox_has_not_failed_and_is_not_done() {
    for code in [0, 1, 137, 143] {
        for (mode, mut kubelet) in kubelets() {
            kubelet.kill_sandbox();
            kubelet.pass(1);
            kubelet.sync(code);
            kubelet.pass(1);
            kubelet.sync(0);
            let mut operator = Operator::new(mode, 0);
            kubelet.pass(20);
            operator.look(&mut kubelet);
            assert!(!operator.has_failed && !operator.is_done, "{mode:?} {code} {kubelet:#?}");
        }
    }
}

#[test]
fn run_that_a_reboot_ended_has_not_failed_and_is_not_done() {
    for code in [None, Some(0), Some(1), Some(143)] {
        for (mode, mut kubelet) in kubelets() {
            kubelet.reboot(code, 30);
            kubelet.lacks_network = true;
            kubelet.sync(0);
            kubelet.pass(5);
            kubelet.sync(0);
            kubelet.lacks_network = false;
            kubelet.pass(5);
            kubelet.sync(0);
            kubelet.pass(1);
            kubelet.sync(0);
            let mut operator = Operator::new(mode, 0);
            kubelet.pass(20);
            operator.look(&mut kubelet);
            assert!(!operator.has_failed && !operator.is_done, "{mode:?} {code:?} {kubelet:#?}");
        }
    }
}

/// The kubelet looks once in a second, and may see the one end before the other.
#[test]
fn run_that_is_seen_to_end_before_its_sandbox_has_not_failed() {
    for (mode, mut kubelet) in kubelets() {
        kubelet.stop_sandbox_under_eyes();
        kubelet.pass(2);
        kubelet.sync(0);
        kubelet.pass(1);
        kubelet.sync(0);
        assert!(!fails(mode, 0, kubelet.clone()), "{mode:?} {kubelet:#?}");
    }
}

/// A node that goes down may end its containers before its kubelet.
#[test]
fn run_of_whose_end_a_kubelet_tells_last_has_not_failed_until_the_kubelet_goes_on() {
    for (mode, mut kubelet) in kubelets() {
        kubelet.exit(143);
        kubelet.tell_last();
        kubelet.pass(3_600);
        assert!(!fails(mode, 0, kubelet.clone()), "{mode:?} {kubelet:#?}");
        let mut rebooted = kubelet.clone();
        rebooted.reboot(None, 1);
        for _ in 0..2 {
            rebooted.sync(0);
            rebooted.pass(1);
        }
        assert!(!fails(mode, 0, rebooted.clone()), "{mode:?} {rebooted:#?}");
        for _ in 0..2 {
            kubelet.sync(0);
            kubelet.pass(1);
        }
        assert!(fails(mode, 0, kubelet.clone()), "{mode:?} {kubelet:#?}");
    }
}

#[test]
fn what_failed_before_its_sandbox_ended_stays_counted() {
    for (mode, mut kubelet) in kubelets() {
        crash(&mut kubelet);
        kubelet.back_off();
        crash(&mut kubelet);
        kubelet.stop_sandbox();
        kubelet.pass(1);
        kubelet.sync(0);
        kubelet.pass(1);
        kubelet.end_back_off();
        kubelet.sync(0);
        kubelet.pass(1);
        kubelet.sync(0);
        assert!(fails(mode, 1, kubelet.clone()), "{mode:?} {kubelet:#?}");
        assert!(!fails(mode, 2, kubelet.clone()), "{mode:?} {kubelet:#?}");
        // The kubelet may have begun to count anew.
        kubelet.pass(20);
        crash(&mut kubelet);
        kubelet.pass(20);
        assert!(fails(mode, 2, kubelet.clone()), "{mode:?} {kubelet:#?}");
        assert!(!fails(mode, 3, kubelet.clone()), "{mode:?} {kubelet:#?}");
    }
}

#[test]
fn nobody_looks_while_a_node_reboots_twice() {
    for code in [None, Some(143)] {
        for (mode, mut kubelet) in kubelets() {
            for _ in 0..2 {
                kubelet.reboot(code, 30);
                kubelet.sync(0);
                kubelet.pass(1);
                kubelet.sync(0);
                kubelet.pass(20);
            }
            let mut operator = Operator::new(mode, 0);
            operator.glance(&mut kubelet);
            assert!(!operator.has_failed, "{mode:?} {code:?} {kubelet:#?}");
            crash(&mut kubelet);
            kubelet.pass(20);
            operator.look(&mut kubelet);
            assert!(operator.has_failed, "{mode:?} {code:?} {kubelet:#?}");
        }
    }
}

#[test]
fn work_that_was_done_stays_done_while_the_kubelet_repeats_it() {
    for version in VERSIONS {
        let mode = CompletionMode::ExitCode;
        let mut kubelet = Kubelet::new(mode, version);
        kubelet.exit(0);
        kubelet.pass(1);
        kubelet.sync(0);
        kubelet.sync(0);
        let mut operator = Operator::new(mode, 0);
        operator.look(&mut kubelet);
        assert!(operator.is_done);
        kubelet.stop_sandbox();
        kubelet.sync(0);
        kubelet.pass(1);
        crash(&mut kubelet);
        kubelet.pass(20);
        let mut later = Operator::new(mode, 0);
        later.glance(&mut kubelet);
        assert!(later.is_done && !later.has_failed, "{kubelet:#?}");
    }
}

#[test]
fn nothing_is_recorded_of_a_pod_whose_sandbox_lasts() {
    for (mode, mut kubelet) in kubelets() {
        for _ in 0..3 {
            crash(&mut kubelet);
            kubelet.pass(15);
        }
        let mut operator = Operator::new(mode, 3);
        operator.look(&mut kubelet);
        assert_eq!(kubelet.recorded, None, "{mode:?} {kubelet:#?}");
        assert!(fails(mode, 2, kubelet));
    }
}

fn terminated_by(code: i32, reason: &str) -> Value {
    json!({
        "name": "job-container", "image": "", "imageID": "", "ready": false, "restartCount": 0,
        "state": {"terminated": {"exitCode": code, "reason": reason}},
    })
}

#[test]
fn eviction_is_a_failure_and_a_shutdown_of_the_node_is_none() {
    let word = CompletionMode::TerminationWord;
    for (reason, has_failed) in [("Evicted", true), ("Terminated", false)] {
        let pod = pod("a").failed(reason).sandbox(false, time(1_000));
        let pod = pod.container(terminated_by(137, "Error")).build();
        let run = run(&spec(word, 0), &pod, time(1_000));
        assert_eq!((run.has_failed, run.tally), (has_failed, None), "{reason}");
    }
}

#[test]
fn run_that_used_too_much_memory_has_failed() {
    let container = |reason| {
        let mut status = terminated_by(137, reason);
        status["state"]["terminated"]["finishedAt"] = json!(time(1_000).to_string());
        status
    };
    for (reason, has_failed) in [("OOMKilled", true), ("Error", false)] {
        let mut status = container(reason);
        status["lastState"] = status["state"].take();
        status["state"] = json!({"waiting": {"reason": "CrashLoopBackOff"}});
        let pod = pod("a").sandbox(true, time(1_001)).container(status).build();
        let run = run(&spec(CompletionMode::TerminationWord, 0), &pod, time(2_000));
        assert_eq!(run.has_failed, has_failed, "{reason}");
    }
}

#[test]
fn kubelet_that_says_nothing_of_sandboxes_counts_alone() {
    let pod = pod("a").container(terminated_by(137, "Error")).build();
    assert!(run(&spec(CompletionMode::TerminationWord, 0), &pod, time(1_000)).has_failed);
}

#[test]
fn tally_is_read_as_it_was_written() {
    let tally = Tally {
        failed: 2,
        restarts: 3,
        container: Some("containerd://abc".to_owned()),
        started: Some(time(1_000)),
    };
    let text = "failedRuns=2 restartCount=3 containerID=containerd://abc \
                startedAt=1970-01-01T00:16:40Z";
    assert_eq!(tally.to_string(), text);
    assert_eq!(Tally::parse(text), Some(tally));
    let without = Tally { failed: 0, restarts: 0, container: None, started: None };
    assert_eq!(Tally::parse(&without.to_string()), Some(without));
    for text in ["", "failedRuns=2", "failedRuns=x restartCount=1", "somebody else's words"] {
        assert_eq!(Tally::parse(text), None, "{text}");
    }
}

/// What happens to a pod.
#[derive(Clone, Copy, Debug)]
enum Event {
    /// The work fails.
    Fails(i32),
    StopSandbox,
    StopSandboxUnderEyes,
    /// What the kubelet ends for it does so with this code.
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

/// A kubelet that goes through this, and what is true of it.
struct World {
    kubelet: Kubelet,
    /// Runs that ended by themselves.
    failed: i32,
    /// Those of them that the kubelet told of while their sandbox was there.
    told: i32,
    /// Whether the last one that ended is among these.
    is_last_told: bool,
}

impl World {
    fn new(mode: CompletionMode, version: Version) -> Self {
        Self { kubelet: Kubelet::new(mode, version), failed: 0, told: 0, is_last_told: false }
    }

    fn happen(&mut self, event: Event) {
        let kubelet = &mut self.kubelet;
        match event {
            Event::Fails(code) if kubelet.is_running() => {
                kubelet.exit(code);
                self.failed += 1;
                // The kubelet comes first.
                self.is_last_told = kubelet.is_sandbox_ready();
                if self.is_last_told {
                    self.told += 1;
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
                if !kubelet.is_running() && std::mem::take(&mut self.is_last_told) {
                    self.told -= 1;
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

    /// Who sees everything counts what failed, and nothing else.
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
        let must_have = world.told > limit;
        prop_assert!(operator.has_failed || !must_have, "{} {:#?}", world.told, world.kubelet);
    }

    /// Who looks now and then takes no end of a sandbox for a failure.
    ///
    /// Failures can be overlooked, but not for ever.
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
