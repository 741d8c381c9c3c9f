//! The nodes at work, as the API server's own history of pods shows them.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result};
use api::labels;
use futures::TryStreamExt as _;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use kube::runtime::watcher::{self, Event, watcher};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::job::is_recorded;
use crate::test::Test;

use super::is_gated;

/// Counts the nodes at work from now on, without a gap: a watch shows each change of each pod.
#[derive(Debug)]
pub(super) struct Places {
    seen: Arc<Mutex<Seen>>,
    task: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Seen {
    /// UIDs of the pods at work, with their names.
    at_work: HashMap<String, String>,
    /// The most of them at one time.
    most: usize,
    /// UIDs of all pods that were ever at work.
    started: Vec<String>,
}

impl Places {
    /// Watches the pods of Jobs in the namespace of a test.
    pub(super) async fn watch(cx: &Test) -> Result<Self> {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let (all, pods) = (Arc::clone(&seen), cx.api::<Pod>());
        let (watching, is_watching) = oneshot::channel();
        let mut watching = Some(watching);
        let task = tokio::spawn(async move {
            let config = watcher::Config::default().labels(labels::POD_SELECTOR);
            let mut events = pin!(watcher(pods, config));
            while let Ok(Some(event)) = events.try_next().await {
                let mut seen = all.lock().unwrap_or_else(PoisonError::into_inner);
                match event {
                    Event::Apply(pod) | Event::InitApply(pod) => seen.apply(&pod),
                    Event::Delete(pod) => seen.remove(&pod),
                    Event::InitDone => {
                        // Nobody listens any more only when the test has failed already.
                        let _ = watching.take().map(|watching| watching.send(()));
                    }
                    Event::Init => {}
                }
            }
        });
        is_watching.await.context("the watch of pods ended early")?;
        Ok(Self { seen, task })
    }

    /// The most nodes that were at work at one time.
    pub(super) fn most(&self) -> usize {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).most
    }

    /// How many pods were at work ever.
    pub(super) fn started(&self) -> usize {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).started.len()
    }

    /// Begins to count anew.
    pub(super) fn reset(&self) {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Seen::default();
    }
}

impl Drop for Places {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Seen {
    fn apply(&mut self, pod: &Pod) {
        if is_gated(pod) {
            return;
        }
        if is_done(pod) {
            self.remove(pod);
            return;
        }
        let uid = pod.uid().unwrap_or_default();
        if self.at_work.insert(uid.clone(), pod.name_any()).is_none() {
            self.started.push(uid);
        }
        self.most = self.most.max(self.at_work.len());
    }

    fn remove(&mut self, pod: &Pod) {
        self.at_work.remove(&pod.uid().unwrap_or_default());
    }
}

/// Whether the work of a pod is done.
fn is_done(pod: &Pod) -> bool {
    let statuses = pod.status.as_ref().and_then(|status| status.init_container_statuses.as_ref());
    let mut workers =
        statuses.into_iter().flatten().filter(|status| status.name == labels::JOB_CONTAINER);
    is_recorded(pod)
        || workers.any(|worker| {
            let end = worker.state.as_ref().and_then(|state| state.terminated.as_ref());
            end.is_some_and(|end| end.exit_code == 0)
        })
}
