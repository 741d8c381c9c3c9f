//! What was seen of the Leases by which replicas elect their leaders, and what must hold for all of it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use api::labels::{OPERATOR, TERMINATOR};
use futures::StreamExt as _;
use harness::wait::{EverySecond, Objects, State};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::jiff::Timestamp;
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, ResourceExt as _};
use tokio_util::task::AbortOnDropHandle;

use crate::support::env::ScenarioEnv;

/// The Leases: one for each process.
pub(crate) const LEASES: [&str; 2] = [OPERATOR, TERMINATOR];

/// For how long a leader may write after it sent a renewal.
const WRITES_FOR: Duration = Duration::from_secs(8);

/// A Lease, and when this version of it was seen.
#[derive(Clone, Debug)]
struct Sighting {
    at: Instant,
    lease: String,
    /// Empty: it was given back.
    holder: String,
    /// By the clock of the holder, which all nodes share here.
    renewed: Option<Timestamp>,
}

/// A watch of the Leases, which goes on through errors.
pub(crate) struct Leases<'a> {
    env: &'a ScenarioEnv<'a>,
    api: Api<Lease>,
    seen: Arc<Mutex<Vec<Sighting>>>,
    _watch: AbortOnDropHandle<()>,
}

/// The name of the pod that leads, by Lease.
pub(crate) type Leaders = BTreeMap<String, String>;

impl<'a> Leases<'a> {
    /// Starts to watch those of our own namespace.
    pub(crate) fn watch(env: &'a ScenarioEnv<'a>) -> Self {
        let api = Api::namespaced(env.cx.client.clone(), &env.cx.deployed.namespace);
        let seen = Arc::default();
        let watch = tokio::spawn(record(api.clone(), Arc::clone(&seen)));
        Self { env, api, seen, _watch: AbortOnDropHandle::new(watch) }
    }

    /// Waits until both Leases are renewed by none of these, and returns by whom.
    pub(crate) async fn until_led(&self, not: &Leaders) -> Result<Leaders> {
        let expected = format!("others leading than {not:?}");
        let config = watcher::Config::default();
        let mut first = BTreeMap::new();
        self.env
            .wait
            .watch(self.api.clone(), config, &expected, |leases: &Objects<Lease>| {
                let leaders: Leaders = leases
                    .values()
                    .map(|lease| (lease.name_any(), holder(lease), lease.resource_version()))
                    .filter(|(name, holder, version)| {
                        let is_old =
                            first.entry(name.clone()).or_insert(version.clone()) == version;
                        !is_old && !holder.is_empty() && not.get(name) != Some(holder)
                    })
                    .map(|(name, holder, _)| (name, holder))
                    .collect();
                let seen = format!("{leaders:?}");
                let is_complete = LEASES.iter().all(|lease| leaders.contains_key(*lease));
                State::of(is_complete.then_some(leaders), || seen)
            })
            .await
    }

    fn sightings(&self, lease: &str) -> Vec<Sighting> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.iter().filter(|sighting| sighting.lease == lease).cloned().collect()
    }

    /// How long after `since` a Lease was first claimed by another one than `before`, as seen from here.
    pub(crate) fn taken_over(&self, lease: &str, before: &str, since: Instant) -> Result<Duration> {
        let sightings = self.sightings(lease);
        let claim = sightings.iter().find(|sighting| {
            sighting.at >= since && !sighting.holder.is_empty() && sighting.holder != before
        });
        let claim = claim.with_context(|| format!("nobody took lease {lease} over"))?;
        Ok(claim.at - since)
    }

    /// The longest time from a Lease that was given back to its next claim, as seen from here, since then.
    pub(crate) fn longest_gap(&self, since: Instant) -> Result<Duration> {
        let mut gaps = Vec::new();
        for lease in LEASES {
            let sightings = self.sightings(lease);
            for pair in sightings.windows(2) {
                if let [released, claimed] = pair
                    && released.at >= since
                    && released.holder.is_empty()
                {
                    gaps.push(claimed.at - released.at);
                }
            }
        }
        gaps.into_iter().max().context("no lease was given back")
    }

    /// Sees that nobody ever claimed a Lease while another one might still write.
    pub(crate) fn verify(&self) -> Result<()> {
        LEASES.iter().try_for_each(|lease| verify(&self.sightings(lease)))
    }
}

async fn record(api: Api<Lease>, seen: Arc<Mutex<Vec<Sighting>>>) {
    let events = watcher(api, watcher::Config::default()).backoff(EverySecond);
    let mut events = std::pin::pin!(events);
    while let Some(event) = events.next().await {
        // The API server may be out; the watch tries again.
        if let Ok(watcher::Event::InitApply(lease) | watcher::Event::Apply(lease)) = event {
            let sighting = Sighting {
                at: Instant::now(),
                lease: lease.name_any(),
                holder: holder(&lease),
                renewed: lease.spec.and_then(|spec| spec.renew_time).map(|time| time.0),
            };
            seen.lock().unwrap_or_else(PoisonError::into_inner).push(sighting);
        }
    }
}

fn holder(lease: &Lease) -> String {
    let spec = lease.spec.as_ref();
    spec.and_then(|spec| spec.holder_identity.clone()).unwrap_or_default()
}

fn verify(sightings: &[Sighting]) -> Result<()> {
    for pair in sightings.windows(2) {
        let [before, after] = pair else { continue };
        if before.holder.is_empty() || after.holder.is_empty() || before.holder == after.holder {
            continue;
        }
        let times = before.renewed.zip(after.renewed).context("a claim without a time")?;
        let between = Duration::try_from(times.1.duration_since(times.0)).unwrap_or_default();
        ensure!(
            between >= WRITES_FOR,
            "{} claimed lease {} {between:?} after a renewal of {}, which then still may write",
            after.holder,
            after.lease,
            before.holder
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(second: i64, holder: &str) -> Sighting {
        Sighting {
            at: Instant::now(),
            lease: OPERATOR.to_owned(),
            holder: holder.to_owned(),
            renewed: Timestamp::from_second(second).ok(),
        }
    }

    #[test]
    fn claim_while_another_one_may_write_is_blamed() {
        assert!(verify(&[seen(0, "a"), seen(2, "a"), seen(12, "b"), seen(14, "b")]).is_ok());
        assert!(verify(&[seen(0, "a"), seen(2, "a"), seen(9, "b")]).is_err());
        assert!(verify(&[seen(0, "a"), seen(7, "b"), seen(30, "b")]).is_err());
    }

    #[test]
    fn lease_that_was_given_back_is_anybodys() {
        assert!(verify(&[seen(0, "a"), seen(0, ""), seen(1, "b")]).is_ok());
    }
}
