//! Jobs: how many there have been, and the first ten.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result};
use api::job::Job;
use futures::StreamExt as _;
use futures::future::try_join_all;
use harness::job_builder::JobBuilder;
use harness::wait::{EverySecond, State, Waiter};
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{DeleteParams, PostParams};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client, ResourceExt as _};
use tokio::task::JoinHandle;

use super::resources::SETTLED_AFTER;

/// The namespace of [`the_first`].
pub const NAMESPACE: &str = "the-first-jobs";

/// Counts the Jobs that there are or have been since it was made.
#[derive(Debug)]
pub struct Counter {
    seen: Arc<Mutex<BTreeSet<String>>>,
    task: JoinHandle<()>,
}

impl Counter {
    /// Counts from now on, with what is there already.
    pub fn start(client: &Client) -> Self {
        let seen = Arc::<Mutex<BTreeSet<String>>>::default();
        let jobs: Api<Job> = Api::all(client.clone());
        let counted = Arc::clone(&seen);
        let task = tokio::spawn(async move {
            // The API server may be away for a while, and the CRD be gone; when they are back, Jobs come
            // and go within seconds.
            let changes = watcher(jobs, watcher::Config::default()).backoff(EverySecond);
            let mut changes = std::pin::pin!(changes);
            while let Some(change) = changes.next().await {
                if let Ok(watcher::Event::InitApply(job) | watcher::Event::Apply(job)) = change {
                    counted.lock().unwrap_or_else(PoisonError::into_inner).extend(job.uid());
                }
            }
        });
        Self { seen, task }
    }

    /// How many so far.
    pub fn count(&self) -> usize {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

impl Drop for Counter {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Runs as many small Jobs as it takes for a process to settle.
pub async fn the_first(client: &Client, wait: &Waiter<'_>) -> Result<()> {
    remove(client, wait).await?;
    let mut namespace = Namespace::default();
    namespace.metadata.name = Some(NAMESPACE.to_owned());
    let namespaces: Api<Namespace> = Api::all(client.clone());
    namespaces.create(&PostParams::default(), &namespace).await?;
    let jobs: Api<Job> = Api::namespaced(client.clone(), NAMESPACE);
    let made = (1..=SETTLED_AFTER).map(async |number| {
        let job = JobBuilder::shell(&format!("job-{number}"), "true").exit_code();
        jobs.create(&PostParams::default(), job.job()).await.context("cannot create a Job")?;
        anyhow::Ok(())
    });
    try_join_all(made).await?;
    let expected = format!("{SETTLED_AFTER} small Jobs completed");
    wait.watch(jobs.clone(), watcher::Config::default(), &expected, |jobs| match jobs.len() {
        0 => State::Reached(()),
        left => State::Waiting(format!("{left} left")),
    })
    .await?;
    // Kubelets take their time to remove pods; nobody needs to wait for that.
    Api::<Namespace>::all(client.clone()).delete(NAMESPACE, &DeleteParams::default()).await?;
    Ok(())
}

async fn remove(client: &Client, wait: &Waiter<'_>) -> Result<()> {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    if namespaces.get_opt(NAMESPACE).await?.is_none() {
        return Ok(());
    }
    namespaces.delete(NAMESPACE, &DeleteParams::default()).await?;
    wait.gone(namespaces, NAMESPACE).await
}
