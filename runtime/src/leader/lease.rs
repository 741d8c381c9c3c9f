//! The Lease by which replicas elect their leader.

use std::{
    convert::Infallible,
    future::Future,
    time::{Duration, Instant},
};

use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    jiff::Timestamp,
};
use kube::{
    Api, Client,
    api::{ObjectMeta, PostParams},
};
use tokio::sync::watch;
use tracing::{debug, info, warn};

use super::claim::{self, Observed, Step};
use crate::{
    client::{ShortError, is_conflict, is_gone},
    http::Health,
};

/// Interval at which a claim is renewed.
const RENEW: Duration = Duration::from_secs(2);

/// Interval between attempts to claim the lease.
const RETRY: Duration = Duration::from_secs(1);

/// Limit for a call: within the duration of a claim, three renewals may fail.
const CALL_TIMEOUT: Duration = Duration::from_secs(2);

/// The state of this replica in the election.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum LeaderState {
    /// Not known yet.
    Unknown,
    /// Another replica leads.
    Standby,
    /// This replica leads, and may write until this time.
    Leading(Instant),
}

impl LeaderState {
    /// Returns whether this replica may write now.
    #[must_use]
    pub fn may_write(&self) -> bool {
        matches!(self, Self::Leading(until) if Instant::now() < *until)
    }
}

/// A replica that takes part in an election.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// Namespace of the lease.
    pub namespace: String,
    /// Name of the lease.
    pub lease: String,
    /// Name of the pod, which identifies the replica.
    ///
    /// A container that is restarted in it continues the claim of the one before.
    pub identity: String,
}

/// The election of a leader, as one replica takes part in it.
pub struct Election {
    leases: Api<Lease>,
    candidate: Candidate,
    state: watch::Sender<LeaderState>,
}

impl Election {
    /// Makes an election that waits for [`campaign`](Self::campaign).
    ///
    /// `client` must not be fenced by it.
    #[must_use]
    pub fn new(client: Client, candidate: Candidate) -> Self {
        Self {
            leases: Api::namespaced(client, &candidate.namespace),
            candidate,
            state: watch::Sender::new(LeaderState::Unknown),
        }
    }

    /// Subscribes to the state of this replica.
    #[must_use]
    pub fn state(&self) -> watch::Receiver<LeaderState> {
        self.state.subscribe()
    }

    /// Claims the lease, or renews the claim, until the future is dropped.
    pub async fn campaign(&self) -> Infallible {
        let mut observed = None;
        loop {
            let attempt = tokio::time::timeout(CALL_TIMEOUT, self.attempt(&mut observed)).await;
            let wait = match attempt {
                Ok(Ok(wait)) => wait,
                Ok(Err(error)) => {
                    warn!("lease {}: {}", self.candidate.lease, ShortError(&error));
                    RETRY
                }
                Err(_) => {
                    warn!(
                        "lease {}: no answer within {} s",
                        self.candidate.lease,
                        CALL_TIMEOUT.as_secs()
                    );
                    RETRY
                }
            };
            tokio::time::sleep(wait).await;
        }
    }

    /// Claims the lease if possible; returns the wait until the next attempt.
    async fn attempt(&self, observed: &mut Option<Observed>) -> kube::Result<Duration> {
        let Candidate { lease: name, identity, .. } = &self.candidate;
        if !observed.as_ref().is_some_and(|observed| self.holds(&observed.lease)) {
            let found = self.leases.get_opt(name).await?;
            let is_known = |lease: &Lease| {
                observed.as_ref().is_some_and(|observed| {
                    observed.lease.metadata.resource_version == lease.metadata.resource_version
                })
            };
            if !found.as_ref().is_some_and(is_known) {
                *observed = found.map(|lease| Observed { lease, since: Instant::now() });
            }
        }
        let sent = Instant::now();
        let step = claim::step(observed.as_ref(), identity, sent, Timestamp::now());
        let Step::Claim(spec) = step else {
            self.set_state(LeaderState::Standby);
            return Ok(RETRY);
        };
        match self.write(observed.as_ref().map(|observed| &observed.lease), spec).await {
            Ok(lease) => {
                *observed = Some(Observed { lease, since: Instant::now() });
                self.set_state(LeaderState::Leading(claim::valid_until(sent)));
                Ok(RENEW)
            }
            // Another replica has written it since it was read, or it was deleted: read it again.
            Err(error) if is_gone(&error) || is_conflict(&error) => {
                debug!("lease {name}: {}", ShortError(&error));
                *observed = None;
                Ok(Duration::ZERO)
            }
            Err(error) => Err(error),
        }
    }

    async fn write(&self, old: Option<&Lease>, spec: LeaseSpec) -> kube::Result<Lease> {
        let name = &self.candidate.lease;
        let params = PostParams::default();
        match old {
            Some(old) => {
                let lease = Lease { spec: Some(spec), ..old.clone() };
                self.leases.replace(name, &params, &lease).await
            }
            None => {
                let metadata = ObjectMeta { name: Some(name.clone()), ..ObjectMeta::default() };
                self.leases.create(&params, &Lease { metadata, spec: Some(spec) }).await
            }
        }
    }

    fn holds(&self, lease: &Lease) -> bool {
        let holder = lease.spec.as_ref().and_then(|spec| spec.holder_identity.as_deref());
        holder == Some(self.candidate.identity.as_str())
    }

    fn set_state(&self, state: LeaderState) {
        let old = self.state.send_replace(state);
        let led = matches!(old, LeaderState::Leading(_));
        match state {
            LeaderState::Leading(_) if !led => info!("leads by lease {}", self.candidate.lease),
            LeaderState::Standby if old != state => {
                info!("stands by: another replica holds lease {}", self.candidate.lease);
            }
            _ => {}
        }
    }

    /// Does `work` while this replica leads, until it ends or `shutdown` resolves.
    ///
    /// The work starts anew whenever the replica begins to lead.
    ///
    /// A replica that stands by is as ready as it can be.
    ///
    /// # Errors
    /// When the work fails.
    pub async fn while_leading<Fut, E>(
        &self,
        health: &Health,
        shutdown: impl Future<Output = ()> + Clone,
        work: impl Fn() -> Fut,
    ) -> Result<(), E>
    where
        Fut: Future<Output = Result<(), E>>,
    {
        let mut state = self.state();
        loop {
            let elected = async {
                // Waiting cannot fail, for `self` has the sender.
                let _ = state.wait_for(|state| *state != LeaderState::Unknown).await;
                let leads = |state: &LeaderState| matches!(state, LeaderState::Leading(_));
                if !leads(&state.borrow()) {
                    health.set_ready();
                }
                let _ = state.wait_for(leads).await;
            };
            tokio::select! {
                () = elected => {}
                () = shutdown.clone() => return Ok(()),
            }
            tokio::select! {
                result = work() => return result,
                _ = state.wait_for(|state| *state == LeaderState::Standby) => {}
            }
        }
    }

    /// Releases the lease if this replica holds it, so that the next one need not wait.
    ///
    /// Call it after the end of the campaign and of the work.
    pub async fn release(&self) {
        let release = async {
            let name = &self.candidate.lease;
            let Some(lease) = self.leases.get_opt(name).await? else {
                return Ok(());
            };
            match claim::released(&lease, &self.candidate.identity) {
                Some(spec) => self.write(Some(&lease), spec).await.map(drop),
                None => Ok(()),
            }
        };
        match tokio::time::timeout(CALL_TIMEOUT, release).await {
            Ok(Ok(())) => info!("released lease {}", self.candidate.lease),
            // It expires by itself.
            Ok(Err(error)) => {
                warn!("lease {} not released: {}", self.candidate.lease, ShortError(&error))
            }
            Err(_) => warn!("lease {} not released in time", self.candidate.lease),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_leader_whose_claim_holds_may_write() {
        let now = Instant::now();
        assert!(LeaderState::Leading(now + Duration::from_secs(60)).may_write());
        for state in [LeaderState::Unknown, LeaderState::Standby, LeaderState::Leading(now)] {
            assert!(!state.may_write(), "{state:?}");
        }
    }
}
