//! What a scenario is, and how one is run.

use std::time::Duration;

use anyhow::{Result, ensure};
use futures::future::BoxFuture;
use kube::Client;

use super::scene::Scene;
use crate::cluster::Cluster;
use crate::deploy::Deployed;
use crate::process::LogDir;
use crate::progress::Phase;
use crate::wait::{Deadline, Waiter};

/// How long a cluster may take to be whole again after a fault: nodes boot, and pods are replaced.
const WHOLE_LIMIT: Duration = Duration::from_secs(180);

/// What a scenario works with.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// The cluster.
    pub cluster: &'a Cluster,
    /// A client with the administrator's rights.
    pub client: &'a Client,
    /// The operator's Deployment.
    pub deployed: &'a Deployed,
    /// Where commands log.
    pub logs: &'a LogDir,
    /// Shows what the scenario waits for.
    pub phase: &'a Phase,
}

/// A promise that is checked on a cluster, in a namespace of its own.
pub struct Scenario {
    /// What it promises; also the name of its namespace.
    pub name: &'static str,
    /// Whether nothing else may run beside it, because it disturbs nodes, the control plane, or our
    /// own processes.
    pub is_exclusive: bool,
    /// Whether it is part of `cargo xtask test`.
    pub is_ci: bool,
    /// Whether it needs something in the cluster that enforces NetworkPolicies.
    pub needs_network_policies: bool,
    /// Whether operator and terminator restart in its course.
    restarts_ours: bool,
    run: Run,
}

type Run = for<'a> fn(&'a Scene<'a>) -> BoxFuture<'a, Result<()>>;

impl Scenario {
    /// One that runs beside others.
    pub(super) const fn shared(name: &'static str, run: Run) -> Self {
        Self {
            name,
            is_exclusive: false,
            is_ci: false,
            needs_network_policies: false,
            restarts_ours: false,
            run,
        }
    }

    /// One that has the cluster to itself.
    pub(super) const fn exclusive(name: &'static str, run: Run) -> Self {
        Self { is_exclusive: true, ..Self::shared(name, run) }
    }

    /// It is part of `cargo xtask test`.
    pub(super) const fn ci(self) -> Self {
        Self { is_ci: true, ..self }
    }

    /// It needs something in the cluster that enforces NetworkPolicies: where the node image was built here,
    /// the image of kube-router is loaded.
    pub(super) const fn needs_network_policies(self) -> Self {
        Self { needs_network_policies: true, ..self }
    }

    /// Operator or terminator restart in its course.
    pub(super) const fn restarts_ours(self) -> Self {
        Self { restarts_ours: true, ..self }
    }

    /// Runs it, and sees that it leaves the cluster as it was. One that fails leaves its namespace,
    /// to be looked at.
    ///
    /// # Errors
    /// When a promise is broken or the cluster does not answer.
    pub async fn run(&self, cx: Context<'_>) -> Result<()> {
        if self.is_exclusive {
            until_whole(cx).await?;
        }
        let restarts = cx.deployed.restarts(cx.client).await?;
        let scene = Scene::open(cx, self.name).await?;
        (self.run)(&scene).await?;
        scene.close().await?;
        if self.is_exclusive {
            until_whole(cx).await?;
        }
        let after = cx.deployed.restarts(cx.client).await?;
        ensure!(
            self.restarts_ours || after == restarts,
            "operator or terminator restarted: {restarts:?} became {after:?}"
        );
        Ok(())
    }
}

/// Waits until all nodes are ready and our Deployment is available.
async fn until_whole(cx: Context<'_>) -> Result<()> {
    let deadline = Deadline::after(WHOLE_LIMIT);
    let wait = Waiter::new(cx.client, cx.phase, &cx.deployed.namespace, deadline);
    cx.cluster.wait_for_nodes(cx.client, &wait).await?;
    cx.deployed.wait_until_available(cx.client, &wait).await
}
