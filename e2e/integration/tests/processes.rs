//! Operator and terminator as tasks that a test starts, kills and starts again.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use http::Method;
use runtime::{client::Clients, http::Health};
use testbed::control_plane::{Request, Requests};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::test::{TIMEOUT, Test, settle};

/// A running operator or terminator. Dropping it kills it as `kill -9` would.
pub(crate) struct Process {
    task: JoinHandle<Result<()>>,
    shutdown: CancellationToken,
    requests: Requests,
}

impl Test {
    /// Starts both for the test's namespace, which most tests want.
    pub(crate) async fn both(&self) -> Result<(Process, Process)> {
        tokio::try_join!(self.operator(), self.terminator())
    }

    /// Starts an operator for the test's namespace.
    pub(crate) async fn operator(&self) -> Result<Process> {
        self.operator_of(Some(self.namespace.clone())).await
    }

    /// Starts a terminator for the test's namespace.
    pub(crate) async fn terminator(&self) -> Result<Process> {
        self.terminator_of(Some(self.namespace.clone())).await
    }

    /// Starts an operator for one namespace or for all.
    pub(crate) async fn operator_of(&self, namespace: Option<String>) -> Result<Process> {
        self.operator_with(namespace, operator::Config::default()).await
    }

    /// Starts an operator with settings of its own.
    pub(crate) async fn operator_with(
        &self,
        namespace: Option<String>,
        config: operator::Config,
    ) -> Result<Process> {
        let clients = self.clients().await?;
        Self::start_operator(clients, namespace, config).await
    }

    /// Starts an operator for the test's namespace, with an account of that namespace.
    pub(crate) async fn operator_as(&self, account: &str) -> Result<Process> {
        let requests = Requests::default();
        let control_plane = &self.cluster.control_plane;
        let client =
            control_plane.service_account_client(&self.namespace, account, &requests).await?;
        let (namespace, config) = (Some(self.namespace.clone()), operator::Config::default());
        Self::start_operator((Clients::from(client), requests), namespace, config).await
    }

    async fn start_operator(
        (clients, requests): (Clients, Requests),
        namespace: Option<String>,
        config: operator::Config,
    ) -> Result<Process> {
        let (health, shutdown) = (Health::default(), CancellationToken::new());
        let work = operator::run(
            clients,
            namespace,
            config,
            operator::Metrics::default(),
            health.clone(),
            shutdown.clone().cancelled_owned(),
        );
        let task = tokio::spawn(async { work.await.context("the operator has failed") });
        Process::ready(task, shutdown, health, requests).await
    }

    /// Starts a terminator for one namespace or for all.
    pub(crate) async fn terminator_of(&self, namespace: Option<String>) -> Result<Process> {
        let (clients, requests) = self.clients().await?;
        let (health, shutdown) = (Health::default(), CancellationToken::new());
        let work = terminator::run(
            clients,
            namespace,
            terminator::Config::default(),
            terminator::Metrics::default(),
            health.clone(),
            shutdown.clone().cancelled_owned(),
        );
        let task = tokio::spawn(async { work.await.context("the terminator has failed") });
        Process::ready(task, shutdown, health, requests).await
    }

    /// Clients with the rights of the deployed processes.
    pub(crate) async fn clients(&self) -> Result<(Clients, Requests)> {
        let requests = Requests::default();
        let account = &self.cluster.service_account;
        let control_plane = &self.cluster.control_plane;
        let client = control_plane
            .service_account_client(&account.namespace, &account.name, &requests)
            .await?;
        Ok((Clients::from(client), requests))
    }
}

impl Process {
    async fn ready(
        task: JoinHandle<Result<()>>,
        shutdown: CancellationToken,
        health: Health,
        requests: Requests,
    ) -> Result<Self> {
        let this = Self { task, shutdown, requests };
        let ready = async {
            while !health.is_ready() && !this.task.is_finished() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        if tokio::time::timeout(TIMEOUT, ready).await.is_err() {
            bail!("not ready within {TIMEOUT:?}");
        }
        if !health.is_ready() {
            this.end().await?;
            bail!("the process ended before it was ready");
        }
        Ok(this)
    }

    /// Asks the process to end, as SIGTERM does, and waits for that.
    pub(crate) async fn end(mut self) -> Result<()> {
        self.shutdown.cancel();
        let ended = tokio::time::timeout(TIMEOUT, &mut self.task).await;
        ended.with_context(|| format!("not ended within {TIMEOUT:?}"))??
    }

    /// Ends the process without a warning.
    pub(crate) fn kill(self) {}

    /// The requests of the process that change something.
    pub(crate) fn writes(&self) -> Vec<Request> {
        self.requests
            .matching(|request| request.method != Method::GET && !request.uri.contains("/leases"))
    }

    /// Waits until the process writes nothing for a while. One that goes on and on fails.
    pub(crate) async fn until_quiet(&self) -> Result<()> {
        let deadline = Instant::now() + TIMEOUT;
        loop {
            let before = self.writes().len();
            settle().await;
            if self.writes().len() == before {
                return Ok(());
            }
            ensure!(Instant::now() < deadline, "it writes again and again: {:?}", self.writes());
        }
    }

    /// The requests of the process for logs of containers.
    pub(crate) fn log_reads(&self) -> Vec<Request> {
        self.requests.matching(|request| {
            request.uri.split('?').next().is_some_and(|path| path.ends_with("/log"))
        })
    }

    /// The requests by which the process has deleted an object, by the end of its path.
    pub(crate) fn deletions(&self, object: &str) -> Vec<Request> {
        self.requests.matching(|request| {
            let path = request.uri.split('?').next().unwrap_or_default();
            request.method == Method::DELETE && path.ends_with(object)
        })
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.task.abort();
    }
}
