//! Random histories.

use std::{collections::HashMap, sync::Arc};

use proptest::prelude::*;

use super::*;

/// An event of the scheduler's surroundings.
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

/// The followers that the steps leave running, and whether each still reads.
#[derive(Default)]
struct Followers(HashMap<Uid, bool>);

impl Followers {
    fn carry_out(&mut self, steps: Vec<Step>) {
        for step in steps {
            match step {
                Step::Start { log, .. } => {
                    assert_eq!(self.0.insert(log.uid, true), None, "started twice");
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

    /// There are never more followers than slots, and none is started or stopped twice.
    ///
    /// Every log of a running container is followed as soon as its place in the queue, and the wait after a
    /// failure, allow.
    #[test]
    fn every_log_gets_its_turn(events in prop::collection::vec(event(), 0..60)) {
        let mut now = Instant::now();
        let mut scheduler = FollowScheduler::new(LIMITS);
        let mut followers = Followers::default();
        let mut wanted: HashSet<usize> = HashSet::new();
        let mut opened: HashSet<usize> = HashSet::new();
        for event in events {
            match event {
                Event::Wants { pod, run, is_over } => {
                    let log = PodLog { is_over, ..log(&pod.to_string(), &run.to_string()) };
                    scheduler.upsert(log);
                    wanted.insert(pod);
                }
                Event::Remove { pod } => {
                    followers.carry_out(scheduler.remove(&pod.to_string()).into_iter().collect());
                    wanted.remove(&pod);
                }
                Event::Ended { pod, outcome } => {
                    if followers.0.remove(pod.to_string().as_str()).is_some() {
                        scheduler.ended(&pod.to_string(), outcome, now);
                    }
                }
                // Only of running followers: the loop drops events of those that were stopped.
                Event::Opened { pod } => {
                    if followers.0.get(pod.to_string().as_str()) == Some(&true) {
                        scheduler.opened(&pod.to_string(), now);
                        opened.insert(pod);
                    }
                }
                Event::Behind { pod } if opened.contains(&pod) => scheduler.behind(&pod.to_string()),
                Event::CaughtUp { pod } if opened.contains(&pod) => scheduler.caught_up(&pod.to_string()),
                Event::Behind { .. } | Event::CaughtUp { .. } => {}
                Event::Found { pod } => {
                    if let Some(reads) = followers.0.get_mut(pod.to_string().as_str()) {
                        *reads = false;
                        scheduler.word_found(&pod.to_string());
                    }
                }
                Event::Relist { pods } => {
                    for pod in &pods {
                        scheduler.upsert(log(&pod.to_string(), "r"));
                    }
                    let uids = pods.iter().map(|pod| pod.to_string().into()).collect();
                    followers.carry_out(scheduler.retain(&uids));
                    wanted = pods.into_iter().collect();
                }
                Event::Pass { millis } => now += Duration::from_millis(millis),
            }
            followers.carry_out(scheduler.next(now));
            opened.retain(|pod| followers.0.get(pod.to_string().as_str()) == Some(&true));
            let counts = scheduler.counts();
            let reading = followers.0.values().filter(|reads| **reads).count();
            prop_assert_eq!(counts.opening + counts.open, reading);
            let queued = scheduler.logs.values().filter(|entry| entry.state == State::Queued).count();
            prop_assert_eq!(scheduler.counts().queued, queued);
        }
        // From now on every container runs for good, and no log breaks.
        for pod in &wanted {
            scheduler.upsert(log(&pod.to_string(), "last"));
        }
        let mut followed: HashSet<Uid> = followers.0.keys().cloned().collect();
        for _ in 0..2 * PODS {
            for uid in followers.0.keys() {
                scheduler.opened(uid, now);
            }
            now += (SLICE + CATCH_UP * 2_u32.pow(DOUBLINGS)).max(LIMITS.retry);
            let steps = scheduler.next(now);
            followed.extend(steps.iter().filter_map(|step| match step {
                Step::Start { log, .. } => Some(Arc::clone(&log.uid)),
                Step::Stop(_) => None,
            }));
            followers.carry_out(steps);
        }
        for pod in wanted {
            prop_assert!(followed.contains(pod.to_string().as_str()), "{} starves: {:?}", pod, scheduler);
        }
    }
}
