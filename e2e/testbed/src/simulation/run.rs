//! What the containers of one pod are doing: the truth from which its status is made.

use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::PodSpec;

use super::log::Log;

/// The containers of a pod that has started.
#[derive(Clone, Debug)]
pub(super) struct Run {
    pub(super) started: Timestamp,
    /// Run one after another, each until it exits with 0.
    pub(super) init: Vec<Container>,
    /// Start together once the init containers are through.
    pub(super) main: Vec<Container>,
}

/// A container with its current run and the one before it.
#[derive(Clone, Debug)]
pub(super) struct Container {
    pub(super) name: String,
    pub(super) image: String,
    pub(super) restarts: i32,
    pub(super) current: Option<Execution>,
    pub(super) previous: Option<Execution>,
}

/// One run of a container.
#[derive(Clone, Debug)]
pub(super) struct Execution {
    /// `<runtime>://<id>`, as in `containerID`.
    pub(super) id: String,
    pub(super) log: Arc<Log>,
    pub(super) started: Timestamp,
    pub(super) exit: Option<Exit>,
}

/// How a run ended.
#[derive(Clone, Debug)]
pub(super) struct Exit {
    pub(super) code: i32,
    /// What the container has left in its termination message file, or its last lines.
    pub(super) message: String,
    pub(super) at: Timestamp,
}

impl Run {
    pub(super) fn start(uid: &str, spec: &PodSpec) -> Self {
        let containers = |specs: &[k8s_openapi::api::core::v1::Container]| {
            specs
                .iter()
                .map(|container| Container {
                    name: container.name.clone(),
                    image: container.image.clone().unwrap_or_default(),
                    restarts: 0,
                    current: None,
                    previous: None,
                })
                .collect()
        };
        let mut this = Self {
            started: now(),
            init: containers(spec.init_containers.as_deref().unwrap_or_default()),
            main: containers(&spec.containers),
        };
        this.proceed(uid);
        this
    }

    /// Starts what has not run yet and whose turn it is.
    fn proceed(&mut self, uid: &str) {
        for container in &mut self.init {
            if container.current.is_none() {
                container.execute(uid);
            }
            if !container.has_succeeded() {
                return;
            }
        }
        for container in &mut self.main {
            if container.current.is_none() {
                container.execute(uid);
            }
        }
    }

    pub(super) fn initialized(&self) -> bool {
        self.init.iter().all(Container::has_succeeded)
    }

    pub(super) fn container(&self, name: &str) -> Option<&Container> {
        self.init.iter().chain(&self.main).find(|container| container.name == name)
    }

    fn running(&mut self, name: &str) -> Result<&mut Execution> {
        let container = self.container_mut(name)?;
        let execution = container.current.as_mut();
        let execution = execution.with_context(|| format!("container {name} has not started"))?;
        ensure!(execution.exit.is_none(), "container {name} does not run");
        Ok(execution)
    }

    fn container_mut(&mut self, name: &str) -> Result<&mut Container> {
        self.init
            .iter_mut()
            .chain(&mut self.main)
            .find(|container| container.name == name)
            .with_context(|| format!("no container {name}"))
    }

    /// Ends a running container.
    pub(super) fn exit(&mut self, uid: &str, name: &str, code: i32, message: &str) -> Result<()> {
        let execution = self.running(name)?;
        execution.exit = Some(Exit { code, message: message.to_owned(), at: now() });
        execution.log.end();
        self.proceed(uid);
        Ok(())
    }

    /// Starts a container that has ended anew.
    pub(super) fn restart(&mut self, uid: &str, name: &str) -> Result<()> {
        let container = self.container_mut(name)?;
        let ended = container.current.take_if(|execution| execution.exit.is_some());
        container.previous =
            Some(ended.with_context(|| format!("container {name} has not ended"))?);
        container.restarts += 1;
        container.execute(uid);
        Ok(())
    }

    /// Ends whatever runs, as when the pod is deleted.
    pub(super) fn stop(&mut self) {
        for container in self.init.iter_mut().chain(&mut self.main) {
            if let Some(execution) = &mut container.current {
                execution.log.end();
                let end = Exit { code: 0, message: String::new(), at: now() };
                execution.exit.get_or_insert(end);
            }
        }
    }
}

impl Container {
    fn execute(&mut self, uid: &str) {
        self.current = Some(Execution {
            id: format!("simulated://{uid}-{}-{}", self.name, self.restarts),
            log: Arc::new(Log::new()),
            started: now(),
            exit: None,
        });
    }

    pub(super) fn has_succeeded(&self) -> bool {
        let exit = self.current.as_ref().and_then(|execution| execution.exit.as_ref());
        exit.is_some_and(|exit| exit.code == 0)
    }

    /// Whether it runs now.
    pub(super) fn is_running(&self) -> bool {
        self.current.as_ref().is_some_and(|execution| execution.exit.is_none())
    }
}

/// The time, to the second as in the API: a status must look the same after a round trip.
pub(super) fn now() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_second(now.as_second()).unwrap_or(now)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn run(init: &[&str], main: &[&str]) -> Run {
        let containers = |names: &[&str]| -> Vec<_> {
            names.iter().map(|name| json!({"name": name, "image": "x"})).collect()
        };
        let spec = json!({"initContainers": containers(init), "containers": containers(main)});
        Run::start("uid", &serde_json::from_value(spec).expect("a spec"))
    }

    #[test]
    fn init_containers_run_in_turn_and_before_the_rest() {
        let mut run = run(&["first", "second"], &["main"]);
        assert!(run.container("first").expect("first").is_running());
        assert!(run.container("second").expect("second").current.is_none());
        run.exit("uid", "first", 0, "").expect("exited");
        assert!(run.container("second").expect("second").is_running());
        assert!(!run.initialized());
        run.exit("uid", "second", 0, "").expect("exited");
        assert!(run.initialized());
        assert!(run.container("main").expect("main").is_running());
    }

    #[test]
    fn failed_init_container_holds_up_the_rest_until_it_succeeds() {
        let mut run = run(&["init"], &["main"]);
        run.exit("uid", "init", 1, "").expect("exited");
        assert!(run.container("main").expect("main").current.is_none());
        run.restart("uid", "init").expect("restarted");
        run.exit("uid", "init", 0, "").expect("exited");
        assert!(run.container("main").expect("main").is_running());
    }

    #[test]
    fn restart_keeps_the_run_before_and_counts() {
        let mut run = run(&[], &["main"]);
        let first = run.main[0].current.as_ref().expect("current").id.clone();
        assert!(run.restart("uid", "main").is_err(), "it still runs");
        run.exit("uid", "main", 3, "").expect("exited");
        run.restart("uid", "main").expect("restarted");
        let container = &run.main[0];
        let previous = container.previous.as_ref().expect("previous");
        assert_eq!(previous.id, first);
        assert_eq!(previous.exit.as_ref().expect("exit").code, 3);
        assert_eq!(container.restarts, 1);
        assert_ne!(container.current.as_ref().expect("current").id, first);
    }
}
