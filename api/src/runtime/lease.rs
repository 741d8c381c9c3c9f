//! Of several replicas one works: leader election by a Lease.
//!
//! A replica that leads renews its claim every two seconds. When that fails, it stops writing two
//! seconds before others may take over; it works on if it gets through again before they do. A replica
//! that ends in an orderly way gives the lease back, so that the next one need not wait.
//!
//! The protocol is that of client-go
//! (<https://pkg.go.dev/k8s.io/client-go/tools/leaderelection>), except that each write is checked
//! instead of the process ended when the claim has run out: an outage of the API server must not
//! restart our pods.

mod claim;

use std::{
    convert::Infallible,
    future::Future,
    time::{Duration, Instant},
};

use http::Method;
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

use self::claim::{Seen, Step};
use super::{Brief, Health};

/// How often a claim is renewed.
const RENEW: Duration = Duration::from_secs(2);

/// How often a lease that another one holds, or that could not be claimed, is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// How long a call may take: a claim that is made twice as often as it must be may fail three times.
const CALL: Duration = Duration::from_secs(2);

/// Where this replica stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Standing {
    /// Not known yet.
    Unknown,
    /// Another one leads.
    Standby,
    /// This one leads, and may write until this time.
    Leading(Instant),
}

impl Standing {
    /// Whether this replica may write.
    #[must_use]
    pub fn may_write(&self) -> bool {
        matches!(self, Self::Leading(until) if Instant::now() < *until)
    }
}

/// One of the replicas.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// Namespace of the lease.
    pub namespace: String,
    /// Name of the lease.
    pub lease: String,
    /// The name of the pod, which tells replicas apart. A container that is started again in it goes
    /// on where the one before was killed.
    pub identity: String,
}

/// The part that this replica plays in the election.
pub struct Election {
    leases: Api<Lease>,
    candidate: Candidate,
    standing: watch::Sender<Standing>,
}

impl Election {
    /// Takes no part yet. `client` is not to be guarded by this election.
    #[must_use]
    pub fn new(client: Client, candidate: Candidate) -> Self {
        Self {
            leases: Api::namespaced(client, &candidate.namespace),
            candidate,
            standing: watch::Sender::new(Standing::Unknown),
        }
    }

    /// Where this replica stands, and will.
    #[must_use]
    pub fn standing(&self) -> watch::Receiver<Standing> {
        self.standing.subscribe()
    }

    /// Takes part until it is dropped.
    pub async fn take_part(&self) -> Infallible {
        let mut seen = None;
        loop {
            let turn = tokio::time::timeout(CALL, self.turn(&mut seen)).await;
            let wait = match turn {
                Ok(Ok(wait)) => wait,
                Ok(Err(error)) => {
                    warn!("lease {}: {}", self.candidate.lease, Brief(&error));
                    LOOK
                }
                Err(_) => {
                    warn!("lease {}: no answer within {} s", self.candidate.lease, CALL.as_secs());
                    LOOK
                }
            };
            tokio::time::sleep(wait).await;
        }
    }

    /// Looks at the lease and claims it, if that can be; tells how long to wait for the next turn.
    async fn turn(&self, seen: &mut Option<Seen>) -> kube::Result<Duration> {
        let Candidate { lease: name, identity, .. } = &self.candidate;
        if !seen.as_ref().is_some_and(|seen| self.holds(&seen.lease)) {
            let found = self.leases.get_opt(name).await?;
            let is_known = |lease: &Lease| {
                seen.as_ref().is_some_and(|seen| {
                    seen.lease.metadata.resource_version == lease.metadata.resource_version
                })
            };
            if !found.as_ref().is_some_and(is_known) {
                *seen = found.map(|lease| Seen { lease, since: Instant::now() });
            }
        }
        let sent = Instant::now();
        let Step::Claim(spec) = claim::step(seen.as_ref(), identity, sent, Timestamp::now()) else {
            self.stands(Standing::Standby);
            return Ok(LOOK);
        };
        match self.write(seen.as_ref().map(|seen| &seen.lease), spec).await {
            Ok(lease) => {
                *seen = Some(Seen { lease, since: Instant::now() });
                self.stands(Standing::Leading(claim::valid_until(sent)));
                Ok(RENEW)
            }
            // Written by another one since it was read, or deleted: it is read again.
            Err(kube::Error::Api(refusal)) if matches!(refusal.code, 404 | 409) => {
                debug!("lease {name}: {}", refusal.message);
                *seen = None;
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

    fn stands(&self, standing: Standing) {
        let old = self.standing.send_replace(standing);
        let led = matches!(old, Standing::Leading(_));
        match standing {
            Standing::Leading(_) if !led => info!("leads by lease {}", self.candidate.lease),
            Standing::Standby if old != standing => {
                info!("stands by: another one holds lease {}", self.candidate.lease);
            }
            _ => {}
        }
    }

    /// Does `work` while this replica leads, from the beginning whenever it comes to lead, until the
    /// work is over or `shutdown` resolves. Standing by, it is as ready as it can be.
    ///
    /// # Errors
    /// That of the work.
    pub async fn while_leading<Fut, E>(
        &self,
        health: &Health,
        shutdown: impl Future<Output = ()> + Clone,
        work: impl Fn() -> Fut,
    ) -> Result<(), E>
    where
        Fut: Future<Output = Result<(), E>>,
    {
        let mut standing = self.standing();
        loop {
            let elected = async {
                // The sender is borrowed from, so that waiting cannot fail.
                let _ = standing.wait_for(|standing| *standing != Standing::Unknown).await;
                let leads = |standing: &Standing| matches!(standing, Standing::Leading(_));
                if !leads(&standing.borrow()) {
                    health.set_ready();
                }
                let _ = standing.wait_for(leads).await;
            };
            tokio::select! {
                () = elected => {}
                () = shutdown.clone() => return Ok(()),
            }
            tokio::select! {
                result = work() => return result,
                _ = standing.wait_for(|standing| *standing == Standing::Standby) => {}
            }
        }
    }

    /// Gives the lease back, if this replica holds it, so that the next one need not wait. It no
    /// longer takes part and has ended its work.
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
        match tokio::time::timeout(CALL, release).await {
            Ok(Ok(())) => info!("gave lease {} back", self.candidate.lease),
            // It runs out by itself.
            Ok(Err(error)) => {
                warn!("lease {} not given back: {}", self.candidate.lease, Brief(&error))
            }
            Err(_) => warn!("lease {} not given back in time", self.candidate.lease),
        }
    }
}

/// Lets requests through that change something only while this replica may write.
///
/// # Errors
/// When it may not.
pub(super) fn guard<B>(
    standing: &watch::Receiver<Standing>,
    request: http::Request<B>,
) -> Result<http::Request<B>, NotLeading> {
    match request.method() == Method::GET || standing.borrow().may_write() {
        true => Ok(request),
        false => Err(NotLeading),
    }
}

/// A write was held back.
#[derive(Debug, thiserror::Error)]
#[error("not written: this replica does not lead, or its claim could not be renewed in time")]
pub struct NotLeading;

#[cfg(test)]
mod tests {
    use super::*;

    fn passes(standing: Standing, method: Method) -> bool {
        let (_sender, standing) = watch::channel(standing);
        let request = http::Request::builder().method(method).body(()).unwrap();
        guard(&standing, request).is_ok()
    }

    #[test]
    fn only_a_leader_whose_claim_holds_may_write() {
        let now = Instant::now();
        let leading = Standing::Leading(now + Duration::from_secs(60));
        for method in [Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
            assert!(passes(leading, method.clone()), "{method}");
            for standing in [Standing::Unknown, Standing::Standby, Standing::Leading(now)] {
                assert!(!passes(standing, method.clone()), "{method} as {standing:?}");
            }
        }
        assert!(passes(Standing::Standby, Method::GET));
    }
}
