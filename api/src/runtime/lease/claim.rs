//! What to do about a Lease: pure functions over what was seen of it.

use std::time::{Duration, Instant};

use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::MicroTime,
    jiff::Timestamp,
};

/// For how long a claim holds that is not renewed.
pub(super) const DURATION: Duration = Duration::from_secs(10);

/// How long before others may take the lease its holder stops writing: what it sends last has this
/// time to arrive.
const MARGIN: Duration = Duration::from_secs(2);

/// A lease, and since when it is known to be so.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    /// What was read.
    pub(super) lease: Lease,
    /// When this version of it was first read. No other machine's clock is trusted: a holder has its
    /// full time from when its last renewal was seen.
    pub(super) since: Instant,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Step {
    /// Claim the lease, or renew the claim: write this in place of what was seen.
    Claim(LeaseSpec),
    /// Another one holds it.
    Wait,
}

/// What `candidate` does about a lease of which this was seen, or that does not exist.
pub(super) fn step(seen: Option<&Seen>, candidate: &str, now: Instant, time: Timestamp) -> Step {
    let spec = seen.and_then(|seen| seen.lease.spec.as_ref());
    let holder = spec.and_then(|spec| spec.holder_identity.as_deref()).unwrap_or_default();
    let transitions = spec.and_then(|spec| spec.lease_transitions).unwrap_or_default();
    let (acquired, transitions) = if holder == candidate {
        (spec.and_then(|spec| spec.acquire_time.clone()), transitions)
    } else if holder.is_empty() || seen.is_some_and(|seen| has_expired(seen, now)) {
        (None, transitions + i32::from(spec.is_some()))
    } else {
        return Step::Wait;
    };
    Step::Claim(LeaseSpec {
        holder_identity: Some(candidate.to_owned()),
        lease_duration_seconds: i32::try_from(DURATION.as_secs()).ok(),
        acquire_time: acquired.or(Some(MicroTime(time))),
        renew_time: Some(MicroTime(time)),
        lease_transitions: Some(transitions),
        ..LeaseSpec::default()
    })
}

/// Until when who sent a claim at `sent`, which was accepted, may write.
pub(super) fn valid_until(sent: Instant) -> Instant {
    sent + DURATION - MARGIN
}

/// What `candidate` writes when it needs the lease no more, if it holds it.
pub(super) fn released(lease: &Lease, candidate: &str) -> Option<LeaseSpec> {
    let spec = lease.spec.as_ref()?;
    (spec.holder_identity.as_deref() == Some(candidate)).then(|| LeaseSpec {
        // As client-go does.
        holder_identity: Some(String::new()),
        lease_duration_seconds: Some(1),
        ..spec.clone()
    })
}

fn has_expired(seen: &Seen, now: Instant) -> bool {
    let seconds = seen.lease.spec.as_ref().and_then(|spec| spec.lease_duration_seconds);
    let duration = seconds.and_then(|seconds| u64::try_from(seconds).ok()).map(Duration::from_secs);
    seen.since + duration.unwrap_or(DURATION) <= now
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn seen(spec: LeaseSpec, since: Instant) -> Seen {
        Seen { lease: Lease { spec: Some(spec), ..Lease::default() }, since }
    }

    fn claimed(seen: Option<&Seen>, candidate: &str, now: Instant) -> LeaseSpec {
        match step(seen, candidate, now, Timestamp::UNIX_EPOCH) {
            Step::Claim(spec) => spec,
            Step::Wait => panic!("{candidate} waits: {seen:?}"),
        }
    }

    #[test]
    fn a_lease_that_nobody_holds_is_claimed_at_once() {
        let now = Instant::now();
        let first = claimed(None, "a", now);
        assert_eq!(first.holder_identity.as_deref(), Some("a"));
        assert_eq!(first.lease_transitions, Some(0));
        let lease = seen(first, now).lease;
        let released = released(&lease, "a").unwrap();
        assert_eq!(super::released(&lease, "b"), None);
        let next = claimed(Some(&seen(released, now)), "b", now);
        assert_eq!(next.lease_transitions, Some(1));
    }

    #[test]
    fn a_claim_is_renewed_by_its_holder_and_waited_for_by_others() {
        let now = Instant::now();
        let held = seen(claimed(None, "a", now), now);
        let renewed = claimed(Some(&held), "a", now + DURATION / 2);
        assert_eq!(renewed.lease_transitions, Some(0));
        let almost = now + DURATION - Duration::from_millis(1);
        assert_eq!(step(Some(&held), "b", almost, Timestamp::UNIX_EPOCH), Step::Wait);
        assert_eq!(claimed(Some(&held), "b", now + DURATION).lease_transitions, Some(1));
    }

    #[test]
    fn the_clock_of_the_holder_does_not_matter() {
        let now = Instant::now();
        let mut spec = claimed(None, "a", now);
        spec.renew_time = Some(MicroTime(Timestamp::MIN));
        assert_eq!(step(Some(&seen(spec, now)), "b", now, Timestamp::MAX), Step::Wait);
    }

    proptest! {
        /// Two candidates look, and send claims that arrive at any later time or never, and of which
        /// they may not hear: they never may write both.
        #[test]
        fn there_are_never_two_writers(
            turns in prop::collection::vec((0_usize..2, pause(), turn()), 0..200),
        ) {
            let start = Instant::now();
            let mut clock = start;
            let mut stored: Stored = None;
            let mut known: [Option<(u32, Seen)>; 2] = [None, None];
            let mut sent: [Option<(Instant, Option<u32>, LeaseSpec)>; 2] = [None, None];
            let mut valid = [start; 2];
            for (who, pause, turn) in turns {
                clock += Duration::from_millis(pause);
                let candidate = ["a", "b"][who];
                let version = |stored: &Stored| stored.as_ref().map(|(version, _)| *version);
                let known_version = known[who].as_ref().map(|(version, _)| *version);
                match turn {
                    Turn::Look if known_version != version(&stored) => {
                        known[who] = stored.clone().map(|(version, spec)| (version, seen(spec, clock)));
                    }
                    Turn::Look => {}
                    Turn::Send => {
                        let seen = known[who].as_ref().map(|(_, seen)| seen);
                        if let Step::Claim(spec) = step(seen, candidate, clock, Timestamp::UNIX_EPOCH) {
                            sent[who] = Some((clock, known_version, spec));
                        }
                    }
                    Turn::Arrive { is_heard_of } => {
                        let Some((sent, of, spec)) = sent[who].take() else { continue };
                        if of == version(&stored) {
                            let version = of.map_or(0, |version| version + 1);
                            stored = Some((version, spec.clone()));
                            if is_heard_of {
                                known[who] = Some((version, seen(spec, clock)));
                                valid[who] = valid_until(sent);
                            }
                        }
                    }
                }
                prop_assert!(valid[0] <= clock || valid[1] <= clock);
            }
        }
    }

    /// A lease as it is stored, with its version.
    type Stored = Option<(u32, LeaseSpec)>;

    #[derive(Clone, Debug)]
    enum Turn {
        Look,
        Send,
        Arrive { is_heard_of: bool },
    }

    /// Milliseconds: little happens between turns, or a claim may just run out.
    fn pause() -> impl Strategy<Value = u64> {
        prop_oneof![4 => 0_u64..500, 1 => 9_000_u64..11_000]
    }

    fn turn() -> impl Strategy<Value = Turn> {
        prop_oneof![
            Just(Turn::Look),
            Just(Turn::Send),
            any::<bool>().prop_map(|is_heard_of| Turn::Arrive { is_heard_of }),
        ]
    }
}
