//! Whether simulated nodes tell of pods what real ones do: the same pods on both, and what their status
//! comes to rest at.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;
use harness::images;
use harness::wait::{Objects, State, Waiter};
use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::runtime::watcher;
use kube::{Api, Client, ResourceExt as _};
use serde::{Deserialize, Serialize};
use serde_json::json;
use testbed::manifests;

/// A condition that nobody but this scenario sets.
const GATE: &str = "example.com/Gate";

/// How long a status may take to come to rest.
const LIMIT: Duration = Duration::from_secs(120);

/// A status at rest, as far as it does not differ from pod to pod: phase, conditions, containers.
pub type AtRest = BTreeMap<String, String>;

/// The states that the pods come to, by what was done to them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct States(pub BTreeMap<String, AtRest>);

impl States {
    /// What the two do not have in common, a line each.
    pub fn differences(&self, other: &Self) -> Vec<String> {
        let mut lines = Vec::new();
        for step in self.0.keys().chain(other.0.keys()).collect::<std::collections::BTreeSet<_>>() {
            let (one, two) = (self.0.get(step), other.0.get(step));
            if one != two {
                lines.push(format!("{step}: {one:?} and {two:?}"));
            }
        }
        lines
    }
}

/// Lets a DaemonSet's pods go through their states; `end_init` ends init containers.
pub async fn observe(client: &Client, namespace: &str, end_init: impl Fn()) -> Result<States> {
    let daemon_sets: Api<DaemonSet> = Api::namespaced(client.clone(), namespace);
    daemon_sets.create(&PostParams::default(), &daemon_set()?).await?;
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let mut states = States::default();
    let wait = Waiter::each(client, namespace, LIMIT);
    let until = async |what: &str, reached: &dyn Fn(&Pod) -> bool| {
        let own = watcher::Config::default().labels("app=states");
        let check = |pods: &Objects<Pod>| {
            let found = pods.values().find(|pod| reached(pod)).cloned();
            State::of(found, || format!("{} pods", pods.len()))
        };
        wait.watch(pods.clone(), own, what, check).await
    };
    let mut note = |step: &str, pod: &Pod| states.0.insert(step.to_owned(), state(pod));

    let starts =
        |pod: &Pod| init(pod).and_then(|status| status.state.as_ref()?.running.as_ref()).is_some();
    note("init container runs", &until("a running init container", &starts).await?);
    end_init();
    let runs = |pod: &Pod| {
        container(pod).is_some_and(|status| status.ready) && has(pod, "ContainersReady", "True")
    };
    let pod = until("a ready container", &runs).await?;
    note("gate is closed", &pod);
    let patch = json!({"status": {"conditions": [{"type": GATE, "status": "True"}]}});
    let name = pod.name_any();
    pods.patch_status(&name, &PatchParams::default(), &Patch::Strategic(patch)).await?;
    let is_ready = |pod: &Pod| pod.name_any() == name && has(pod, "Ready", "True");
    note("gate is open", &until("a ready pod", &is_ready).await?);
    daemon_sets.delete("states", &DeleteParams::background()).await?;
    Ok(states)
}

fn daemon_set() -> Result<DaemonSet> {
    let container = |name, seconds| json!({"name": name, "image": images::BUSYBOX, "command": ["sleep", seconds]});
    let pod = json!({
        "nodeSelector": {"kubernetes.io/os": "linux"},
        "tolerations": [{"operator": "Exists"}],
        "terminationGracePeriodSeconds": 1,
        "readinessGates": [{"conditionType": GATE}],
        "initContainers": [container("init", "8")],
        "containers": [container("main", "3600")],
    });
    manifests::daemon_set("states", &pod)
}

fn state(pod: &Pod) -> AtRest {
    let status = pod.status.clone().unwrap_or_default();
    let mut state = AtRest::new();
    state.insert("phase".to_owned(), status.phase.unwrap_or_default());
    for condition in status.conditions.unwrap_or_default() {
        // The scheduler's, and those that newer kubelets add, are not what a simulated kubelet is for.
        if matches!(condition.type_.as_str(), "Initialized" | "Ready" | "ContainersReady") {
            let reason = condition.reason.unwrap_or_default();
            state.insert(condition.type_, format!("{} {reason}", condition.status));
        }
    }
    let init = status.init_container_statuses.unwrap_or_default();
    for status in init.iter().chain(status.container_statuses.iter().flatten()) {
        state.insert(format!("container {}", status.name), container_state(status));
    }
    state
}

fn container_state(status: &ContainerStatus) -> String {
    let state = status.state.clone().unwrap_or_default();
    let what = match (state.waiting, state.running, state.terminated) {
        (Some(waiting), _, _) => format!("waiting {}", waiting.reason.unwrap_or_default()),
        (_, Some(_), _) => "running".to_owned(),
        (_, _, Some(end)) => {
            format!("terminated {} {}", end.exit_code, end.reason.unwrap_or_default())
        }
        _ => "unknown".to_owned(),
    };
    format!("{what}, ready {}, restarts {}", status.ready, status.restart_count)
}

fn init(pod: &Pod) -> Option<&ContainerStatus> {
    pod.status.as_ref()?.init_container_statuses.as_ref()?.first()
}

fn container(pod: &Pod) -> Option<&ContainerStatus> {
    pod.status.as_ref()?.container_statuses.as_ref()?.first()
}

fn has(pod: &Pod, condition: &str, status: &str) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions.into_iter().flatten().any(|c| c.type_ == condition && c.status == status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_that_differ_are_told_with_their_step() {
        let states = |phase: &str| {
            let state = AtRest::from([("phase".to_owned(), phase.to_owned())]);
            States(BTreeMap::from([("gate is open".to_owned(), state)]))
        };
        assert_eq!(states("Running").differences(&states("Running")), Vec::<String>::new());
        let lines = states("Running").differences(&states("Pending"));
        assert_eq!(lines.len(), 1);
        assert!(lines[0].starts_with("gate is open: "), "{lines:?}");
        assert_eq!(states("Running").differences(&States::default()).len(), 1);
    }
}
