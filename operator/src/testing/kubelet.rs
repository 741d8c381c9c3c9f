//! Simulates a kubelet that reports a job container whose sandbox does not last.
//!
//! It does so as `convertToAPIContainerStatuses`, `SyncPod` and `computePodActions` of Kubernetes 1.33 and 1.37 do, with
//! containerd 2. Times are in seconds, as in the API.

mod container;

use std::{fmt, sync::Arc};

use api::{job::CompletionMode, views::PodView};
use serde_json::{Value, json};

pub(crate) use self::container::time;
use self::container::{Container, Exit};
use super::fixtures::pod;

/// Version of a kubelet.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Version {
    /// 1.33.
    ///
    /// It says that a sandbox is ready when it has started containers in it, and forgets what it removes.
    V33,
    /// 1.37.
    ///
    /// It says so before, and remembers.
    V37,
}

/// A pod and its kubelet.
#[derive(Clone)]
pub(crate) struct Kubelet {
    mode: CompletionMode,
    version: Version,
    pub(crate) now: i64,
    /// The latest last.
    containers: Vec<Container>,
    created: usize,
    is_sandbox_ready: bool,
    /// The container that idles when the work is done has begun.
    is_initialized: bool,
    /// The kubelet waits before it starts the container again.
    is_backing_off: bool,
    /// And has said so.
    has_reported_back_off: bool,
    /// No sandbox can be created now: the network is not there, for example.
    pub(crate) lacks_network: bool,
    /// The statuses of the container and of the sandbox that the API server holds.
    status: Value,
    ready: (bool, i64),
    /// The tally that the operator has recorded.
    pub(crate) recorded: Option<String>,
    /// All states of the pod that were ever published, and when.
    pub(crate) published: Vec<(i64, Arc<PodView>)>,
}

impl Kubelet {
    /// A pod whose container runs.
    pub(crate) fn new(mode: CompletionMode, version: Version) -> Self {
        let status = json!({
            "name": "job-container", "image": "", "imageID": "", "ready": false, "restartCount": 0,
            "state": {"waiting": {"reason": "ContainerCreating"}},
        });
        let mut this = Self {
            mode,
            version,
            now: 1_000,
            containers: Vec::new(),
            created: 0,
            is_sandbox_ready: false,
            is_initialized: false,
            is_backing_off: false,
            has_reported_back_off: false,
            lacks_network: false,
            status,
            ready: (false, 1_000),
            recorded: None,
            published: Vec::new(),
        };
        this.sync(0);
        this.sync(0);
        this
    }

    pub(crate) fn pass(&mut self, seconds: i64) {
        self.now += seconds;
    }

    pub(crate) fn is_running(&self) -> bool {
        self.containers.last().is_some_and(|container| container.exit.is_none())
    }

    pub(crate) fn is_sandbox_ready(&self) -> bool {
        self.is_sandbox_ready
    }

    /// The run that goes on ends by itself.
    pub(crate) fn exit(&mut self, code: i32) {
        self.end(code, if code == 0 { "Completed" } else { "Error" });
    }

    /// Kills the container, if it runs, and then the sandbox, as `crictl stopp` does.
    pub(crate) fn stop_sandbox(&mut self) {
        self.end(137, "Error");
        self.is_sandbox_ready = false;
    }

    /// Does the same, with a look of the kubelet in between.
    pub(crate) fn stop_sandbox_under_eyes(&mut self) {
        self.end(137, "Error");
        self.publish();
        self.is_sandbox_ready = false;
    }

    /// The kubelet reports what it sees, and stands still.
    pub(crate) fn report_last(&mut self) {
        self.publish();
    }

    /// The process of the sandbox dies.
    ///
    /// The container runs on until the kubelet ends it.
    pub(crate) fn kill_sandbox(&mut self) {
        self.is_sandbox_ready = false;
    }

    /// The node goes down and comes up again.
    ///
    /// The container runtime has recorded the exit code of the container, or not.
    pub(crate) fn reboot(&mut self, code: Option<i32>, seconds: i64) {
        if let Some(code) = code {
            self.exit(code);
        }
        self.now += seconds;
        self.end(255, "Unknown");
        self.is_sandbox_ready = false;
        self.is_backing_off = false;
        self.has_reported_back_off = false;
    }

    /// The kubelet waits from now on before it starts the container again.
    pub(crate) fn back_off(&mut self) {
        self.is_backing_off = true;
    }

    pub(crate) fn end_back_off(&mut self) {
        self.is_backing_off = false;
    }

    /// The kubelet looks, reports what it sees, and acts.
    ///
    /// A container that it asks to end exits with this code.
    pub(crate) fn sync(&mut self, code: i32) {
        self.publish();
        if !self.is_sandbox_ready {
            self.exit(code);
            // It has counted the containers that it removes.
            let count = self.containers.last().map(|container| container.restarts);
            if self.mode == CompletionMode::ExitCode {
                self.containers.clear();
            }
            if !self.lacks_network {
                self.create_sandbox();
                self.start(count);
            }
        } else if !self.is_running() {
            let last = self.containers.last();
            let has_succeeded = self.mode == CompletionMode::ExitCode
                && last.and_then(|last| last.exit.as_ref()).is_some_and(|exit| exit.code == 0);
            if has_succeeded {
                self.is_initialized = true;
            } else {
                let count = last.map(|container| container.restarts);
                self.start(count);
            }
        }
    }

    fn create_sandbox(&mut self) {
        self.now += 1;
        self.is_sandbox_ready = true;
        if self.version == Version::V37 {
            // The rest is as it was.
            self.update_ready();
            self.push();
        }
    }

    fn start(&mut self, count: Option<i32>) {
        if self.is_backing_off && count.is_some() {
            self.has_reported_back_off = true;
            return;
        }
        self.has_reported_back_off = false;
        self.now += 1;
        // It keeps one that is over.
        let over = self.containers.len().saturating_sub(1);
        self.containers.drain(..over);
        self.containers.push(Container {
            id: format!("containerd://{}", self.created),
            restarts: count.map_or(0, |count| count + 1),
            started: self.now,
            exit: None,
        });
        self.created += 1;
    }

    fn end(&mut self, code: i32, reason: &'static str) {
        let at = self.now;
        if let Some(container) = self.containers.last_mut() {
            container.exit.get_or_insert(Exit { code, reason, at });
        }
    }

    fn publish(&mut self) {
        self.update_ready();
        self.status = self.container_status();
        self.push();
    }

    fn update_ready(&mut self) {
        if self.ready.0 != self.is_sandbox_ready {
            self.ready = (self.is_sandbox_ready, self.now);
        }
    }

    fn push(&mut self) {
        let view = self.view();
        self.published.push((self.now, view));
    }

    /// The pod that the API server holds now.
    pub(crate) fn view(&self) -> Arc<PodView> {
        let mut pod = pod("a").sandbox(self.ready.0, time(self.ready.1));
        if let Some(recorded) = &self.recorded {
            pod = pod.recorded(recorded);
        }
        pod = match self.mode {
            CompletionMode::TerminationWord => pod.container(self.status.clone()),
            CompletionMode::ExitCode => pod.init_container(self.status.clone()),
        };
        if self.is_initialized {
            pod = pod.container(json!({
                "name": "pause", "image": "", "imageID": "", "ready": false, "restartCount": 0,
            }));
        }
        pod.build()
    }

    fn container_status(&self) -> Value {
        let old = &self.status;
        let Some(latest) = self.containers.last() else {
            return self.status_of_none();
        };
        let before = self.containers.iter().rev().nth(1);
        let mut last = before.map_or_else(|| json!({}), Container::state);
        let mut state = latest.state();
        let mut restarts = latest.restarts;
        if self.version == Version::V37 {
            let count = old["restartCount"].as_i64().and_then(|count| i32::try_from(count).ok());
            let count = count.unwrap_or_default();
            restarts = restarts.max(count);
            let ended = &old["state"]["terminated"];
            if before.is_none() {
                if old["containerID"] != json!(latest.id) && ended.is_object() {
                    last = json!({"terminated": ended});
                } else if old["lastState"]["terminated"].is_object() {
                    last = old["lastState"].clone();
                }
            }
            if latest.exit.is_none() && ended.is_object() && count >= latest.restarts {
                restarts = count + 1;
            }
        }
        if self.has_reported_back_off && latest.exit.is_some() {
            last = state;
            state = json!({"waiting": {"reason": "CrashLoopBackOff"}});
        }
        json!({
            "name": "job-container", "image": "", "imageID": "", "ready": false,
            "restartCount": restarts, "containerID": latest.id, "state": state, "lastState": last,
        })
    }
}

impl Kubelet {
    /// The status of a container that was removed.
    ///
    /// One that is over stays so while there is no other one.
    fn status_of_none(&self) -> Value {
        let mut status = self.status.clone();
        if status["state"]["running"].is_object() {
            status["state"] = json!({"waiting": {"reason": "PodInitializing"}});
            status["containerID"] = json!("");
            if !status["lastState"]["terminated"].is_object() {
                let lost = json!({"exitCode": 137, "reason": "ContainerStatusUnknown"});
                status["lastState"] = json!({"terminated": lost});
                let count = status["restartCount"].as_i64().unwrap_or_default();
                status["restartCount"] = json!(count + 1);
            }
        }
        if self.has_reported_back_off {
            if status["state"]["terminated"].is_object() {
                status["lastState"] = status["state"].clone();
            }
            status["state"] = json!({"waiting": {"reason": "CrashLoopBackOff"}});
        }
        status
    }
}

/// Everything that it has reported.
impl fmt::Debug for Kubelet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:?}, {:?}", self.mode, self.version)?;
        for (at, pod) in &self.published {
            let sandbox = pod.sandbox();
            let status = pod.job_container(self.mode);
            let status = serde_json::to_value(status).unwrap_or_default();
            let (state, last) = (&status["state"], &status["lastState"]);
            let restarts = &status["restartCount"];
            writeln!(f, "{at}: {sandbox:?} {restarts} {state}, last {last}")?;
        }
        writeln!(f, "recorded {:?}", self.recorded)
    }
}
