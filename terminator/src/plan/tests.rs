use proptest::prelude::*;

use super::*;

const LIMITS: Limits = Limits { followers: 2, retry: Duration::from_secs(10) };

fn target(uid: &str, run: &str) -> Target {
    Target::of_run(uid, run)
}

fn over(uid: &str, run: &str) -> Target {
    Target { is_over: true, ..target(uid, run) }
}

/// The first run of this pod is followed for the first time.
fn start(uid: &str) -> Step {
    first(target(uid, "1"))
}

fn first(target: Target) -> Step {
    Step::Start { target, is_first: true }
}

fn again(target: Target) -> Step {
    Step::Start { target, is_first: false }
}

fn open<const N: usize>(plan: &mut Plan, uids: [&str; N], now: Instant) {
    for uid in uids {
        plan.opened(uid, now);
    }
}

fn stop(uid: &str) -> Step {
    Step::Stop(uid.into())
}

#[test]
fn each_log_is_opened_once() {
    let now = Instant::now();
    let mut plan = Plan::new(LIMITS);
    plan.wants(target("a", "1"));
    plan.wants(target("a", "1"));
    assert_eq!(plan.next(now), [start("a")]);
    plan.wants(target("a", "1"));
    assert_eq!(plan.next(now), []);
}

#[test]
fn who_records_a_word_is_not_stopped_by_the_event_of_it_but_by_the_end_of_the_pod() {
    let now = Instant::now();
    let mut plan = Plan::new(LIMITS);
    plan.wants(target("a", "1"));
    plan.wants(target("b", "1"));
    assert_eq!(plan.next(now), [start("a"), start("b")]);
    open(&mut plan, ["a", "b"], now);
    plan.found("a");
    assert_eq!(plan.done("a"), None);
    assert_eq!(plan.done("b"), Some(stop("b")), "another terminator has found the word");
    assert_eq!(plan.remove("a"), Some(stop("a")));
    assert_eq!(plan.done("a"), None);
}

#[test]
fn a_settled_pod_is_not_read_again() {
    let now = Instant::now();
    let mut plan = Plan::new(LIMITS);
    plan.wants(target("a", "1"));
    assert_eq!(plan.next(now), [start("a")]);
    plan.ended("a", Outcome::Settled, now);
    // An event from before the condition was written, late.
    plan.wants(target("a", "1"));
    plan.wants(target("a", "2"));
    assert_eq!(plan.next(now + Duration::from_secs(99)), []);
}

#[test]
fn a_log_that_broke_is_opened_again_after_growing_waits() {
    let mut now = Instant::now();
    let mut plan = Plan::new(LIMITS);
    plan.wants(target("a", "1"));
    assert_eq!(plan.next(now), [start("a")]);
    for wait in [500, 1000, 2000, 4000, 8000, 10_000, 10_000] {
        plan.ended("a", Outcome::Broken, now);
        let until = now + Duration::from_millis(wait);
        assert_eq!(plan.wake_at(), Some(until));
        assert_eq!(plan.next(until - Duration::from_millis(1)), []);
        assert_eq!(plan.next(until), [start("a")]);
        now = until;
    }
}

#[test]
fn a_silent_log_is_opened_again_as_one_that_was_followed_all_the_time() {
    let now = Instant::now();
    let mut plan = Plan::new(LIMITS);
    plan.wants(target("a", "1"));
    assert_eq!(plan.next(now), [start("a")]);
    plan.begun("a");
    plan.ended("a", Outcome::Silent, now);
    assert_eq!(plan.next(now + FIRST_RETRY), [again(target("a", "1"))]);
}

#[test]
fn a_log_that_breaks_after_a_long_time_is_opened_again_soon() {
    let mut now = Instant::now();
    let mut plan = Plan::new(LIMITS);
    plan.wants(target("a", "1"));
    for _ in 0..5 {
        assert_eq!(plan.next(now), [start("a")]);
        open(&mut plan, ["a"], now);
        now += LIMITS.retry * 2;
        plan.ended("a", Outcome::Broken, now);
        now += FIRST_RETRY;
    }
}

#[test]
fn a_log_that_takes_long_not_to_be_opened_is_tried_ever_less() {
    let mut now = Instant::now();
    let mut plan = Plan::new(LIMITS);
    plan.wants(target("a", "1"));
    let mut rests = Vec::new();
    for _ in 0..6 {
        assert_eq!(plan.next(now), [start("a")]);
        now += LIMITS.retry * 6;
        plan.ended("a", Outcome::Broken, now);
        let until = plan.wake_at().unwrap();
        rests.push((until - now).as_millis());
        now = until;
    }
    assert_eq!(rests, [500, 1000, 2000, 4000, 8000, 10_000]);
}

#[test]
fn the_log_of_a_run_that_was_over_is_read_once_and_the_next_run_at_once() {
    let now = Instant::now();
    let mut plan = Plan::new(LIMITS);
    plan.wants(over("a", "1"));
    assert_eq!(plan.next(now), [first(over("a", "1"))]);
    plan.ended("a", Outcome::Ended, now);
    plan.wants(over("a", "1"));
    assert_eq!((plan.next(now + LIMITS.retry), plan.wake_at()), (vec![], None));
    plan.wants(target("a", "2"));
    assert_eq!(plan.next(now), [first(target("a", "2"))]);
}

#[test]
fn the_log_of_a_run_that_was_taken_for_over_is_read_again_when_it_goes_on() {
    let now = Instant::now();
    // Its status was late: it was being started, and what was read was the log of the run before.
    let mut plan = Plan::new(LIMITS);
    plan.wants(over("a", "1"));
    assert_eq!(plan.next(now), [first(over("a", "1"))]);
    plan.begun("a");
    plan.ended("a", Outcome::Ended, now);
    plan.wants(target("a", "1"));
    assert_eq!(plan.next(now), [again(target("a", "1"))]);
    // The same, but that was known before its end.
    let mut plan = Plan::new(LIMITS);
    plan.wants(over("a", "1"));
    assert_eq!(plan.next(now), [first(over("a", "1"))]);
    plan.begun("a");
    plan.wants(target("a", "1"));
    plan.ended("a", Outcome::Ended, now);
    assert_eq!(plan.next(now + FIRST_RETRY), [again(target("a", "1"))]);
}

#[test]
fn a_run_that_ended_while_it_was_followed_is_read_to_its_end_again() {
    let now = Instant::now();
    let mut plan = Plan::new(LIMITS);
    plan.wants(target("a", "1"));
    assert_eq!(plan.next(now), [start("a")]);
    plan.begun("a");
    plan.ended("a", Outcome::Ended, now);
    plan.wants(over("a", "1"));
    assert_eq!(plan.next(now + FIRST_RETRY), [again(over("a", "1"))]);
}

#[test]
fn a_restart_that_was_seen_before_the_end_of_the_old_log_is_followed_at_once() {
    let now = Instant::now();
    let mut plan = Plan::new(LIMITS);
    plan.wants(target("a", "1"));
    assert_eq!(plan.next(now), [start("a")]);
    plan.wants(target("a", "2"));
    plan.ended("a", Outcome::Ended, now);
    assert_eq!(plan.next(now), [first(target("a", "2"))]);
}

#[test]
fn while_others_wait_the_oldest_follower_gives_way_after_its_slice() {
    let now = Instant::now();
    let mut plan = Plan::new(LIMITS);
    for uid in ["a", "b", "c"] {
        plan.wants(target(uid, "1"));
    }
    assert_eq!(plan.next(now), [start("a"), start("b")]);
    open(&mut plan, ["a", "b"], now);
    assert_eq!(plan.wake_at(), Some(now + SHORT_SLICE));
    assert_eq!(plan.next(now + SHORT_SLICE), [stop("a"), start("c")]);
    assert_eq!(plan.wake_at(), Some(now + SLICE), "a was followed before");
    // There was no time to find out whether the log of a has its beginning.
    plan.begun("b");
    assert_eq!(plan.next(now + SLICE), [stop("b"), start("a")]);
    plan.begun("a");
    plan.begun("c");
    open(&mut plan, ["a", "c"], now + SLICE);
    let steps = [stop("a"), again(target("b", "1")), stop("c"), again(target("a", "1"))];
    assert_eq!(plan.next(now + SLICE * 2), steps);
}

#[test]
fn a_log_of_which_not_all_has_come_gets_more_time_and_ever_more_of_it() {
    let mut now = Instant::now();
    let mut plan = Plan::new(Limits { followers: 1, ..LIMITS });
    for uid in ["a", "b"] {
        plan.wants(target(uid, "1"));
    }
    assert_eq!(plan.next(now), [start("a")]);
    let mut slice = SHORT_SLICE;
    for doublings in [0, 1, 2, 3, 4, 4] {
        open(&mut plan, ["a"], now);
        plan.begun("a");
        plan.behind("a");
        let over = now + slice + CATCH_UP * 2_u32.pow(doublings);
        assert_eq!(
            (plan.wake_at(), plan.next(over - Duration::from_millis(1))),
            (Some(over), vec![])
        );
        assert_eq!(plan.next(over)[0], stop("a"));
        open(&mut plan, ["b"], over);
        slice = SLICE;
        now = over + slice;
        // What has been rotated meanwhile was not read.
        assert_eq!(plan.next(now), [stop("b"), start("a")]);
    }
    open(&mut plan, ["a"], now);
    plan.behind("a");
    plan.begun("a");
    now += SLICE * 2;
    assert_eq!(plan.next(now), []);
    plan.caught_up("a");
    assert_eq!(plan.next(now)[0], stop("a"), "its slice is over");
    open(&mut plan, ["b"], now);
    now += SLICE;
    assert_eq!(plan.next(now), [stop("b"), again(target("a", "1"))]);
    open(&mut plan, ["a"], now);
    plan.behind("a");
    assert_eq!(plan.wake_at(), Some(now + SLICE + CATCH_UP), "it was quick last time");
}

#[test]
fn a_log_that_is_being_opened_keeps_its_slot_however_long_that_takes() {
    let now = Instant::now();
    let mut plan = Plan::new(LIMITS);
    for uid in ["a", "b", "c"] {
        plan.wants(target(uid, "1"));
    }
    assert_eq!(plan.next(now), [start("a"), start("b")]);
    assert_eq!((plan.next(now + SLICE * 9), plan.wake_at()), (vec![], None));
    open(&mut plan, ["b"], now + SLICE * 9);
    assert_eq!(plan.next(now + SLICE * 10), [stop("b"), start("c")]);
}

#[test]
fn a_word_that_is_being_recorded_takes_no_slot() {
    let now = Instant::now();
    let mut plan = Plan::new(LIMITS);
    for uid in ["a", "b", "c"] {
        plan.wants(target(uid, "1"));
    }
    assert_eq!(plan.next(now), [start("a"), start("b")]);
    open(&mut plan, ["a"], now);
    plan.found("a");
    assert_eq!(plan.next(now), [start("c")]);
    plan.ended("a", Outcome::Settled, now);
    assert_eq!(plan.next(now + SLICE), []);
    plan.found("b");
    assert_eq!(plan.remove("b"), Some(stop("b")), "the recording of a pod that is gone ends");
}

#[test]
fn logs_that_were_never_followed_come_first_and_wait_for_short_slices_only() {
    let mut now = Instant::now();
    let mut plan = Plan::new(LIMITS);
    for uid in ["a", "b", "c", "d"] {
        plan.wants(target(uid, "1"));
    }
    assert_eq!(plan.next(now), [start("a"), start("b")]);
    open(&mut plan, ["a", "b"], now);
    now += SHORT_SLICE;
    assert_eq!(plan.next(now), [stop("a"), start("c"), stop("b"), start("d")]);
    open(&mut plan, ["c", "d"], now);
    plan.wants(target("e", "1"));
    now += SHORT_SLICE;
    let next = plan.next(now);
    assert_eq!(next[1], start("e"), "before a and b, which have waited for longer: {next:?}");
    assert_eq!(next.len(), 2);
}

#[test]
fn without_others_waiting_a_log_is_followed_for_ever() {
    let now = Instant::now();
    let mut plan = Plan::new(LIMITS);
    plan.wants(target("a", "1"));
    assert_eq!(plan.next(now), [start("a")]);
    assert_eq!(plan.wake_at(), None);
    assert_eq!(plan.next(now + SLICE * 1000), []);
}

#[test]
fn a_pod_that_a_list_does_not_hold_is_stopped() {
    let now = Instant::now();
    let mut plan = Plan::new(LIMITS);
    plan.wants(target("a", "1"));
    plan.wants(target("b", "1"));
    assert_eq!(plan.next(now).len(), 2);
    plan.list_begins();
    plan.wants(target("b", "1"));
    assert_eq!(plan.list_ends(), [stop("a")]);
    assert_eq!(plan.next(now), []);
}

#[test]
fn a_pod_that_is_gone_is_stopped_and_a_late_end_of_its_log_is_ignored() {
    let now = Instant::now();
    let mut plan = Plan::new(LIMITS);
    plan.wants(target("a", "1"));
    assert_eq!(plan.next(now), [start("a")]);
    assert_eq!(plan.remove("a"), Some(stop("a")));
    plan.ended("a", Outcome::Broken, now);
    assert_eq!((plan.next(now + LIMITS.retry), plan.wake_at()), (vec![], None));
    assert_eq!(plan.remove("a"), None);
}

/// Something that happens to a plan.
#[derive(Clone, Debug)]
enum Event {
    Wants { pod: usize, run: u8, is_over: bool },
    Remove { pod: usize },
    Ended { pod: usize, outcome: Outcome },
    Opened { pod: usize },
    Behind { pod: usize },
    CaughtUp { pod: usize },
    Found { pod: usize },
    Relist { pods: Vec<usize> },
    Pass { millis: u64 },
}

const PODS: usize = 6;

fn event() -> impl Strategy<Value = Event> {
    let outcome = prop::sample::select(vec![Outcome::Ended, Outcome::Silent, Outcome::Broken]);
    prop_oneof![
        4 => (0..PODS, 0_u8..3, any::<bool>()).prop_map(|(pod, run, is_over)| Event::Wants { pod, run, is_over }),
        1 => (0..PODS).prop_map(|pod| Event::Remove { pod }),
        4 => (0..PODS, outcome).prop_map(|(pod, outcome)| Event::Ended { pod, outcome }),
        4 => (0..PODS).prop_map(|pod| Event::Opened { pod }),
        2 => (0..PODS).prop_map(|pod| Event::Behind { pod }),
        1 => (0..PODS).prop_map(|pod| Event::CaughtUp { pod }),
        2 => (0..PODS).prop_map(|pod| Event::Found { pod }),
        1 => prop::collection::vec(0..PODS, 0..PODS).prop_map(|pods| Event::Relist { pods }),
        2 => (0_u64..20_000).prop_map(|millis| Event::Pass { millis }),
    ]
}

/// The followers that the steps of a plan leave running, and whether each still reads.
#[derive(Default)]
struct Followers(HashMap<Uid, bool>);

impl Followers {
    fn carry_out(&mut self, steps: Vec<Step>) {
        for step in steps {
            match step {
                Step::Start { target, .. } => {
                    assert_eq!(self.0.insert(target.uid, true), None, "started twice");
                }
                Step::Stop(uid) => {
                    assert!(self.0.remove(&uid).is_some(), "stopped without having been started");
                }
            }
            let reading = self.0.values().filter(|reads| **reads).count();
            assert!(reading <= LIMITS.followers, "more followers than slots");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4096, ..ProptestConfig::default() })]

    /// Whatever happened before: no more followers than slots, none started or stopped twice, and
    /// every log of a running container is followed within the turns that its place in the queue,
    /// and the wait after a failure, allow.
    #[test]
    fn every_log_gets_its_turn(events in prop::collection::vec(event(), 0..60)) {
        let mut now = Instant::now();
        let mut plan = Plan::new(LIMITS);
        let mut followers = Followers::default();
        let mut wanted: HashSet<usize> = HashSet::new();
        let mut opened: HashSet<usize> = HashSet::new();
        for event in events {
            match event {
                Event::Wants { pod, run, is_over } => {
                    let target = Target { is_over, ..target(&pod.to_string(), &run.to_string()) };
                    plan.wants(target);
                    wanted.insert(pod);
                }
                Event::Remove { pod } => {
                    followers.carry_out(plan.remove(&pod.to_string()).into_iter().collect());
                    wanted.remove(&pod);
                }
                Event::Ended { pod, outcome } => {
                    if followers.0.remove(pod.to_string().as_str()).is_some() {
                        plan.ended(&pod.to_string(), outcome, now);
                    }
                }
                // Only of what runs: the loop passes on no news of what was stopped.
                Event::Opened { pod } => {
                    if followers.0.get(pod.to_string().as_str()) == Some(&true) {
                        plan.opened(&pod.to_string(), now);
                        opened.insert(pod);
                    }
                }
                Event::Behind { pod } if opened.contains(&pod) => plan.behind(&pod.to_string()),
                Event::CaughtUp { pod } if opened.contains(&pod) => plan.caught_up(&pod.to_string()),
                Event::Behind { .. } | Event::CaughtUp { .. } => {}
                Event::Found { pod } => {
                    if let Some(reads) = followers.0.get_mut(pod.to_string().as_str()) {
                        *reads = false;
                        plan.found(&pod.to_string());
                    }
                }
                Event::Relist { pods } => {
                    plan.list_begins();
                    for pod in &pods {
                        plan.wants(target(&pod.to_string(), "r"));
                    }
                    followers.carry_out(plan.list_ends());
                    wanted = pods.into_iter().collect();
                }
                Event::Pass { millis } => now += Duration::from_millis(millis),
            }
            followers.carry_out(plan.next(now));
            opened.retain(|pod| followers.0.get(pod.to_string().as_str()) == Some(&true));
            let counts = plan.counts();
            let reading = followers.0.values().filter(|reads| **reads).count();
            prop_assert_eq!(counts.opening + counts.open, reading);
            let queued = plan.pods.values().filter(|entry| entry.state == State::Queued).count();
            prop_assert_eq!(plan.counts().queued, queued);
        }
        // From now on every container runs for good, and no log breaks.
        for pod in &wanted {
            plan.wants(target(&pod.to_string(), "last"));
        }
        let mut followed: HashSet<Uid> = followers.0.keys().cloned().collect();
        for _ in 0..2 * PODS {
            for uid in followers.0.keys() {
                plan.opened(uid, now);
            }
            now += (SLICE + CATCH_UP * 2_u32.pow(DOUBLINGS)).max(LIMITS.retry);
            let steps = plan.next(now);
            followed.extend(steps.iter().filter_map(|step| match step {
                Step::Start { target, .. } => Some(Arc::clone(&target.uid)),
                Step::Stop(_) => None,
            }));
            followers.carry_out(steps);
        }
        for pod in wanted {
            prop_assert!(followed.contains(pod.to_string().as_str()), "{} starves: {:?}", pod, plan);
        }
    }
}
