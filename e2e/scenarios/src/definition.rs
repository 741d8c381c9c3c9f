//! What a scenario is, and how one is run.

use std::path::Path;
use std::time::Duration;

use anyhow::{Result, ensure};
use futures::future::BoxFuture;
use harness::deadline::Deadline;
use harness::wait::Waiter;

use crate::support::context::Context;
use crate::support::env::ScenarioEnv;
use crate::support::install;

/// How long a cluster may take to be whole again after a fault: nodes boot, and pods are replaced.
const WHOLE_LIMIT: Duration = Duration::from_secs(180);

/// A test on a cluster, in a namespace of its own.
pub struct Scenario {
    /// Its name, and that of its namespace.
    pub name: &'static str,
    /// What it shows, in a line.
    pub about: &'static str,
    /// Whether nothing else may run beside it: it disturbs nodes or our processes.
    pub is_exclusive: bool,
    /// Whether it is part of `cargo xtask test`.
    pub is_ci: bool,
    /// Whether it needs something in the cluster that enforces NetworkPolicies.
    pub needs_network_policies: bool,
    /// Whether it calls the kubectl plugin.
    pub needs_plugin: bool,
    /// Whether it runs a Prometheus in the cluster.
    pub needs_prometheus: bool,
    /// Whether it installs what `cargo xtask release` makes.
    pub needs_release: bool,
    /// The kustomization that is installed for it in the place of `deploy/`.
    pub install: Option<&'static str>,
    /// Whether operator and terminator restart in its course.
    restarts_ours: bool,
    run: Run,
}

type Run = for<'a> fn(&'a ScenarioEnv<'a>) -> BoxFuture<'a, Result<()>>;

impl Scenario {
    /// One that runs beside others.
    pub(crate) const fn shared(name: &'static str, about: &'static str, run: Run) -> Self {
        Self {
            name,
            about,
            is_exclusive: false,
            is_ci: false,
            needs_network_policies: false,
            needs_plugin: false,
            needs_prometheus: false,
            needs_release: false,
            install: None,
            restarts_ours: false,
            run,
        }
    }

    /// One that has the cluster to itself.
    pub(crate) const fn exclusive(name: &'static str, about: &'static str, run: Run) -> Self {
        Self { is_exclusive: true, ..Self::shared(name, about, run) }
    }

    /// It is part of `cargo xtask test`.
    pub(crate) const fn ci(self) -> Self {
        Self { is_ci: true, ..self }
    }

    /// It needs something that enforces NetworkPolicies: kube-router, or kind's network.
    pub(crate) const fn needs_network_policies(self) -> Self {
        Self { needs_network_policies: true, ..self }
    }

    /// It calls the kubectl plugin, which is built before.
    pub(crate) const fn needs_plugin(self) -> Self {
        Self { needs_plugin: true, ..self }
    }

    /// It runs a Prometheus in the cluster.
    pub(crate) const fn needs_prometheus(self) -> Self {
        Self { needs_prometheus: true, ..self }
    }

    /// It installs what `cargo xtask release --no-push` makes, which is made before.
    pub(crate) const fn needs_release(self) -> Self {
        Self { needs_release: true, ..self }
    }

    /// It runs with a kustomization installed in the place of `deploy/`, and so operator and terminator restart.
    pub(crate) const fn installed(self, kustomization: &'static str) -> Self {
        Self { install: Some(kustomization), restarts_ours: true, ..self }
    }

    /// Operator or terminator restart in its course.
    pub(crate) const fn restarts_ours(self) -> Self {
        Self { restarts_ours: true, ..self }
    }

    /// Runs it, and verifies that it leaves the cluster as it was.
    ///
    /// One that fails leaves its namespace, to be looked at. Its install stays if its neighbour has the same.
    pub async fn run(&self, cx: Context<'_>, neighbours: Neighbours) -> Result<()> {
        let Some(kustomization) = self.install else { return self.run_as_installed(cx).await };
        let kustomization = Path::new(kustomization);
        let work = async {
            if neighbours.before != self.install {
                install::replace(cx, kustomization).await?;
            }
            self.run_as_installed(cx).await
        };
        let result = work.await;
        if result.is_ok() && neighbours.after == self.install {
            return result;
        }
        result.and(install::put_back(cx, kustomization).await)
    }

    async fn run_as_installed(&self, cx: Context<'_>) -> Result<()> {
        if self.is_exclusive {
            until_whole(cx).await?;
        }
        let restarts = cx.deployed.restarts(cx.client).await?;
        let env = ScenarioEnv::open(cx, self.name).await?;
        (self.run)(&env).await?;
        env.close().await?;
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

/// The installs of the scenarios that run before and after one, where these are not the plain one.
#[derive(Clone, Copy, Debug, Default)]
pub struct Neighbours {
    /// That of the scenario before, if it passed.
    pub before: Option<&'static str>,
    /// That of the scenario after.
    pub after: Option<&'static str>,
}

/// Waits until all nodes are ready and our Deployment is available.
async fn until_whole(cx: Context<'_>) -> Result<()> {
    let deadline = Deadline::after(WHOLE_LIMIT);
    let wait = Waiter::new(cx.client, cx.phase, &cx.deployed.namespace, deadline);
    cx.cluster.wait_for_nodes(cx.client, &wait).await?;
    cx.deployed.wait_until_available(cx.client, &wait).await
}
