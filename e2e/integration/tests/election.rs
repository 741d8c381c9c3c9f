//! Of several replicas one works.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use api::labels;
use harness::paths;
use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use runtime::{
    client::Clients,
    http::Health,
    leader::{Candidate, Election, LeaderState},
};
use serde_json::json;
use testbed::manifests;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::job::{log_done, manifest};
use crate::test::{TIMEOUT, Test, settle, shared_test};

/// Longer than a handover takes on a busy machine, and too short for a claim to run out.
const HANDED_OVER: Duration = Duration::from_secs(6);

/// An operator as one of several replicas. Dropping it kills it.
struct Replica {
    task: JoinHandle<Result<()>>,
    shutdown: CancellationToken,
    health: Health,
    state: watch::Receiver<LeaderState>,
}

impl Replica {
    /// As the process does it.
    async fn start(cx: &Test, identity: &str) -> Result<Self> {
        let candidate = Candidate {
            namespace: cx.namespace.clone(),
            lease: labels::OPERATOR.to_owned(),
            identity: identity.to_owned(),
        };
        let clients: Clients = cx.clients().await?.0;
        let election = Election::new(clients.call.clone(), candidate);
        let (state, fence) = (election.state(), election.state());
        let clients = clients.fenced(move || fence.borrow().may_write());
        let (health, shutdown) = (Health::default(), CancellationToken::new());
        let (ready, ended) = (health.clone(), shutdown.clone());
        let namespace = cx.namespace.clone();
        let task = tokio::spawn(async move {
            let work = || {
                operator::run(
                    clients.clone(),
                    Some(namespace.clone()),
                    operator::Config::default(),
                    operator::Metrics::default(),
                    ready.clone(),
                    ended.clone().cancelled_owned(),
                )
            };
            let over = futures::FutureExt::shared(Box::pin(ended.clone().cancelled_owned()));
            tokio::select! {
                result = election.while_leading(&ready, over, work) => result?,
                never = election.campaign() => match never {},
            }
            election.release().await;
            Ok(())
        });
        Ok(Self { task, shutdown, health, state })
    }

    async fn until(&mut self, limit: Duration, leads: bool) -> Result<()> {
        let is_reached = |state: &LeaderState| match state {
            LeaderState::Leading(_) => leads,
            LeaderState::Standby => !leads,
            LeaderState::Unknown => false,
        };
        let reached = tokio::time::timeout(limit, self.state.wait_for(is_reached)).await;
        reached.with_context(|| format!("leads: {leads} is not so after {limit:?}"))??;
        Ok(())
    }

    async fn end(mut self) -> Result<()> {
        self.shutdown.cancel();
        (&mut self.task).await?
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The right to elect a leader as `deploy/` gives it, in the test's namespace.
async fn allow_leases(cx: &Test) -> Result<()> {
    let rbac = paths::workspace().join("deploy/30-rbac.yaml");
    for mut object in manifests::objects(&std::fs::read_to_string(rbac)?)? {
        object.metadata.namespace = Some(cx.namespace.clone());
        match object.types.as_ref().map(|types| types.kind.as_str()) {
            Some("Role") => drop(cx.create::<Role>(json!(object)).await?),
            Some("RoleBinding") => drop(cx.create::<RoleBinding>(json!(object)).await?),
            _ => {}
        }
    }
    Ok(())
}

#[apply(shared_test)]
async fn next_replica_takes_over_when_the_leader_is_killed_or_ends(cx: &Test) -> Result<()> {
    allow_leases(cx).await?;
    let mut first = Replica::start(cx, "first").await?;
    first.until(TIMEOUT, true).await?;
    let mut second = Replica::start(cx, "second").await?;
    second.until(TIMEOUT, false).await?;
    settle().await;
    ensure!(second.health.is_ready(), "it is as ready as it can be");
    let (job, pods) = cx.running(&manifest("led")).await?;

    let killed = Instant::now();
    drop(first);
    second.until(TIMEOUT, true).await?;
    eprintln!("replaced after {:.1?}", killed.elapsed());

    let mut third = Replica::start(cx, "third").await?;
    third.until(TIMEOUT, false).await?;
    let ended = Instant::now();
    second.end().await?;
    third.until(HANDED_OVER, true).await?;
    eprintln!("handed over after {:.1?}", ended.elapsed());

    let _terminator = cx.terminator().await?;
    log_done(&pods)?;
    job.until_gone().await?;
    third.end().await?;
    let spec = cx.api::<Lease>().get(labels::OPERATOR).await?.spec.context("a spec")?;
    ensure!(spec.lease_transitions == Some(2), "{spec:?}");
    ensure!(spec.holder_identity.as_deref() == Some(""), "given back: {spec:?}");
    Ok(())
}

#[apply(shared_test)]
async fn replica_that_stands_by_changes_nothing(cx: &Test) -> Result<()> {
    let (clients, _) = cx.clients().await?;
    let clients = clients.fenced(|| false);
    let job = cx.apply(&manifest("unwatched")).await?;
    let operator = operator::run(
        clients,
        Some(cx.namespace.clone()),
        operator::Config::default(),
        operator::Metrics::default(),
        Health::default(),
        std::future::pending(),
    );
    let looked = tokio::time::timeout(Duration::from_secs(5), operator).await;
    ensure!(looked.is_err(), "it goes on in spite of what it may not do");
    let status = job.get().await?.status;
    ensure!(!status.is_some_and(|status| status.is_observed()));
    let daemon_sets = cx.api::<DaemonSet>();
    ensure!(daemon_sets.get_opt(&job.daemon_set_name()).await?.is_none());
    Ok(())
}
