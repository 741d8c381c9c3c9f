//! One pod on a simulated node, and the handle by which a test says what happens in it.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::log::{Chunks, Log, Query};
use super::run::Run;

/// How long [`SimPod::until_log_requests`] waits.
const TIMEOUT: Duration = Duration::from_secs(30);

/// A pod on a simulated node. Clones are the same pod.
///
/// Nothing happens in it by itself: its containers start, and then run without a word until a test
/// says otherwise. In particular nothing restarts a container that has exited but
/// [`SimPod::restart`].
#[derive(Clone, Debug)]
pub struct SimPod(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    uid: String,
    ip: String,
    /// The object as the watch last showed it.
    object: watch::Sender<Pod>,
    /// What its containers do; `None` before they start.
    run: watch::Sender<Option<Run>>,
    log_requests: watch::Sender<u32>,
    /// Cancelled once the object is gone.
    gone: CancellationToken,
}

impl SimPod {
    pub(super) fn new(object: Pod, number: u32, gone: CancellationToken) -> Self {
        let [_, a, b, c] = number.to_be_bytes();
        Self(Arc::new(Inner {
            uid: object.uid().unwrap_or_default(),
            ip: format!("10.{a}.{b}.{c}"),
            object: watch::Sender::new(object),
            run: watch::Sender::new(None),
            log_requests: watch::Sender::new(0),
            gone,
        }))
    }

    /// The pod's UID.
    pub fn uid(&self) -> &str {
        &self.0.uid
    }

    /// The pod's name.
    pub fn name(&self) -> String {
        self.0.object.borrow().name_any()
    }

    /// The pod's namespace.
    pub fn namespace(&self) -> String {
        self.0.object.borrow().namespace().unwrap_or_default()
    }

    /// The node that it is bound to, if any.
    pub fn node(&self) -> Option<String> {
        let object = self.0.object.borrow();
        object.spec.as_ref()?.node_name.clone()
    }

    /// The object as the API server last showed it.
    pub fn object(&self) -> Pod {
        self.0.object.borrow().clone()
    }

    /// Whether its containers have started, the object says so, and the pod is to stay.
    pub fn is_running(&self) -> bool {
        let object = self.0.object.borrow();
        let status = object.status.as_ref();
        let is_up = status.and_then(|s| s.phase.as_deref()) == Some("Running");
        let mut init =
            status.and_then(|s| s.init_container_statuses.as_ref()).into_iter().flatten();
        let initializes = init.any(|c| c.state.as_ref().is_some_and(|s| s.running.is_some()));
        (is_up || initializes) && object.metadata.deletion_timestamp.is_none()
    }

    /// Lets the first container write to its log: lines, or parts of them.
    pub fn log(&self, output: impl Into<Bytes>) -> Result<()> {
        let name = self.first_container()?;
        self.log_of(&name, output)
    }

    /// Lets a container write to its log.
    pub fn log_of(&self, container: &str, output: impl Into<Bytes>) -> Result<()> {
        let run = self.0.run.borrow();
        let run = run.as_ref().context("the pod has not started")?;
        let container = run.container(container).context("no such container")?;
        ensure!(container.is_running(), "the container does not run");
        if let Some(execution) = &container.current {
            execution.log.write(output.into());
        }
        Ok(())
    }

    /// Ends the first container.
    pub fn exit(&self, code: i32) -> Result<()> {
        self.exit_with(code, "")
    }

    /// Ends the first container, which has left a message.
    pub fn exit_with(&self, code: i32, message: &str) -> Result<()> {
        let name = self.first_container()?;
        self.change(|uid, run| run.exit(uid, &name, code, message))
    }

    /// Starts the first container again, with an empty log, after [`SimPod::exit`].
    pub fn restart(&self) -> Result<()> {
        let name = self.first_container()?;
        self.change(|uid, run| run.restart(uid, &name))
    }

    /// Breaks the connections of all who follow a log of this pod, as a restart of the kubelet would.
    pub fn cut_log_streams(&self) {
        self.for_each_log(Log::cut);
    }

    /// Rotates the logs of this pod. Who has not come to their end loses the place.
    pub fn rotate_logs(&self) {
        self.for_each_log(Log::rotate);
    }

    /// Lets all who follow a log of this pod wait so long for each line, as of a node that is busy.
    pub fn slow_log_streams(&self, lag: Duration) {
        self.for_each_log(|log| log.slow_down(lag));
    }

    fn for_each_log(&self, act: impl Fn(&Log)) {
        if let Some(run) = &*self.0.run.borrow() {
            let containers = run.init.iter().chain(&run.main);
            containers
                .filter_map(|container| container.current.as_ref())
                .for_each(|current| act(&current.log));
        }
    }

    /// How many times a log of this pod has been asked for.
    pub fn log_requests(&self) -> u32 {
        *self.0.log_requests.borrow()
    }

    /// Waits until a log of this pod has been asked for as many times.
    pub async fn until_log_requests(&self, wanted: u32) -> Result<()> {
        let mut requests = self.0.log_requests.subscribe();
        let reached = requests.wait_for(|requests| *requests >= wanted);
        let reached = tokio::time::timeout(TIMEOUT, reached).await;
        let name = self.name();
        // The inner error says that the pod is gone, which cannot be while it is borrowed.
        reached.with_context(|| format!("nobody reads the log of {name}"))?.map(drop)?;
        Ok(())
    }

    /// The container that comes first in the pod's specification, an init container if it has any.
    fn first_container(&self) -> Result<String> {
        let run = self.0.run.borrow();
        let run = run.as_ref().context("the pod has not started")?;
        let first = run.init.first().or_else(|| run.main.first());
        Ok(first.context("a pod without containers")?.name.clone())
    }

    fn change(&self, change: impl FnOnce(&str, &mut Run) -> Result<()>) -> Result<()> {
        let mut result = Ok(());
        self.0.run.send_if_modified(|run| {
            result = match run {
                Some(run) => change(&self.0.uid, run),
                None => Err(anyhow::anyhow!("the pod has not started")),
            };
            result.is_ok()
        });
        result
    }

    pub(super) fn ip(&self) -> &str {
        &self.0.ip
    }

    pub(super) fn run(&self) -> Option<Run> {
        self.0.run.borrow().clone()
    }

    pub(super) fn start(&self) {
        let object = self.0.object.borrow();
        let spec = object.spec.clone().unwrap_or_default();
        drop(object);
        self.0.run.send_if_modified(|run| {
            let starts = run.is_none();
            run.get_or_insert_with(|| Run::start(&self.0.uid, &spec));
            starts
        });
    }

    /// Ends its containers.
    pub(super) fn stop(&self) {
        self.0.run.send_modify(|run| {
            if let Some(run) = run {
                run.stop();
            }
        });
    }

    pub(super) fn gone(&self) -> &CancellationToken {
        &self.0.gone
    }

    pub(super) fn observe(&self, object: Pod) {
        self.0.object.send_replace(object);
    }

    pub(super) fn changes(&self) -> (watch::Receiver<Pod>, watch::Receiver<Option<Run>>) {
        (self.0.object.subscribe(), self.0.run.subscribe())
    }

    /// Answers a request for a container's log, with the kubelet's words if there is none.
    pub(super) fn read_log(&self, container: &str, query: &Query) -> Result<Chunks, LogError> {
        self.0.log_requests.send_modify(|requests| *requests += 1);
        let run = self.0.run.borrow();
        let name = self.name();
        let waiting = || {
            LogError::BadRequest(format!(
                "container {container:?} in pod {name:?} is waiting to start: ContainerCreating"
            ))
        };
        let run = run.as_ref().ok_or_else(waiting)?;
        let found = run.container(container).ok_or_else(|| {
            LogError::NotFound(format!("container {container:?} not found in pod {name:?}"))
        })?;
        let execution = if query.previous {
            found.previous.as_ref().ok_or_else(|| {
                LogError::BadRequest(format!(
                    "previous terminated container {container:?} in pod {name:?} not found"
                ))
            })
        } else {
            found.current.as_ref().ok_or_else(waiting)
        }?;
        Ok(Box::pin(execution.log.read(query)))
    }
}

/// Why there is no log to read.
#[derive(Debug)]
pub(super) enum LogError {
    /// Answered with 400.
    BadRequest(String),
    /// Answered with 404.
    NotFound(String),
}
