//! Decides what to do about a Lease: pure functions.

use std::time::{Duration, Instant};

use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::MicroTime,
    jiff::Timestamp,
};

/// Time for which a claim holds that is not renewed.
pub(super) const DURATION: Duration = Duration::from_secs(10);

/// Time before the end of a claim at which its holder stops writing.
///
/// The last write that it sends has this time to arrive.
const MARGIN: Duration = Duration::from_secs(2);

/// A lease, and the time at which it was observed.
#[derive(Clone, Debug)]
pub(super) struct Observed {
    /// The lease as it was read.
    pub(super) lease: Lease,
    /// When this version of it was first read.
    ///
    /// No other machine's clock is trusted: a holder has its full time from the observation of its last
    /// renewal.
    pub(super) since: Instant,
}

/// The next step of a candidate.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Step {
    /// Claim the lease, or renew the claim: replace the observed lease by this.
    Claim(LeaseSpec),
    /// Wait, for another candidate holds it.
    Wait,
}

/// Returns the next step of `candidate`.
///
/// A lease that was not observed does not exist.
pub(super) fn step(
    observed: Option<&Observed>,
    candidate: &str,
    now: Instant,
    time: Timestamp,
) -> Step {
    let spec = observed.and_then(|observed| observed.lease.spec.as_ref());
    let holder = spec.and_then(|spec| spec.holder_identity.as_deref()).unwrap_or_default();
    let transitions = spec.and_then(|spec| spec.lease_transitions).unwrap_or_default();
    let (acquired, transitions) = if holder == candidate {
        (spec.and_then(|spec| spec.acquire_time.clone()), transitions)
    } else if holder.is_empty() || observed.is_some_and(|observed| has_expired(observed, now)) {
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

/// Returns the time until which the holder of a claim sent at `sent` may write.
pub(super) fn valid_until(sent: Instant) -> Instant {
    sent + DURATION - MARGIN
}

/// Returns the spec by which `candidate` releases the lease, if it holds it.
pub(super) fn released(lease: &Lease, candidate: &str) -> Option<LeaseSpec> {
    let spec = lease.spec.as_ref()?;
    (spec.holder_identity.as_deref() == Some(candidate)).then(|| LeaseSpec {
        // The same as client-go writes.
        holder_identity: Some(String::new()),
        lease_duration_seconds: Some(1),
        ..spec.clone()
    })
}

fn has_expired(observed: &Observed, now: Instant) -> bool {
    let seconds = observed.lease.spec.as_ref().and_then(|spec| spec.lease_duration_seconds);
    let duration = seconds.and_then(|seconds| u64::try_from(seconds).ok()).map(Duration::from_secs);
    observed.since + duration.unwrap_or(DURATION) <= now
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn observed(spec: LeaseSpec, since: Instant) -> Observed {
        Observed { lease: Lease { spec: Some(spec), ..Lease::default() }, since }
    }

    fn claimed(observed: Option<&Observed>, candidate: &str, now: Instant) -> LeaseSpec {
        match step(observed, candidate, now, Timestamp::UNIX_EPOCH) {
            Step::Claim(spec) => spec,
            Step::Wait => panic!("{candidate} waits: {observed:?}"),
        }
    }

    #[test]
    fn a_lease_that_nobody_holds_is_claimed_at_once() {
        let now = Instant::now();
        let first = claimed(None, "a", now);
        assert_eq!(first.holder_identity.as_deref(), Some("a"));
        assert_eq!(first.lease_transitions, Some(0));
        let lease = observed(first, now).lease;
        let released = released(&lease, "a").unwrap();
        assert_eq!(super::released(&lease, "b"), None);
        let next = claimed(Some(&observed(released, now)), "b", now);
        assert_eq!(next.lease_transitions, Some(1));
    }

    #[test]
    fn a_claim_is_renewed_by_its_holder_and_waited_for_by_others() {
        let now = Instant::now();
        let held = observed(claimed(None, "a", now), now);
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
        assert_eq!(step(Some(&observed(spec, now)), "b", now, Timestamp::MAX), Step::Wait);
    }

    proptest! {
        /// Two candidates never may write both.
        ///
        /// Their claims arrive at any later time or never, perhaps without an answer.
        #[test]
        fn there_are_never_two_writers(
            actions in prop::collection::vec((0_usize..2, pause(), action()), 0..200),
        ) {
            let start = Instant::now();
            let mut clock = start;
            let mut stored: Stored = None;
            let mut known: [Option<(u32, Observed)>; 2] = [None, None];
            let mut sent: [Option<(Instant, Option<u32>, LeaseSpec)>; 2] = [None, None];
            let mut valid = [start; 2];
            for (who, pause, action) in actions {
                clock += Duration::from_millis(pause);
                let candidate = ["a", "b"][who];
                let version = |stored: &Stored| stored.as_ref().map(|(version, _)| *version);
                let known_version = known[who].as_ref().map(|(version, _)| *version);
                match action {
                    Action::Read if known_version != version(&stored) => {
                        known[who] = stored.clone().map(|(version, spec)| (version, observed(spec, clock)));
                    }
                    Action::Read => {}
                    Action::Send => {
                        let known = known[who].as_ref().map(|(_, observed)| observed);
                        if let Step::Claim(spec) = step(known, candidate, clock, Timestamp::UNIX_EPOCH) {
                            sent[who] = Some((clock, known_version, spec));
                        }
                    }
                    Action::Arrive { is_answered } => {
                        let Some((sent, of, spec)) = sent[who].take() else { continue };
                        if of == version(&stored) {
                            let version = of.map_or(0, |version| version + 1);
                            stored = Some((version, spec.clone()));
                            if is_answered {
                                known[who] = Some((version, observed(spec, clock)));
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
    enum Action {
        Read,
        Send,
        Arrive { is_answered: bool },
    }

    /// Milliseconds: little happens between actions, or a claim may just run out.
    fn pause() -> impl Strategy<Value = u64> {
        prop_oneof![4 => 0_u64..500, 1 => 9_000_u64..11_000]
    }

    fn action() -> impl Strategy<Value = Action> {
        prop_oneof![
            Just(Action::Read),
            Just(Action::Send),
            any::<bool>().prop_map(|is_answered| Action::Arrive { is_answered }),
        ]
    }
}
