//! A pod's status as a kubelet writes it.

use k8s_openapi::api::core::v1::{
    ContainerState, ContainerStateRunning, ContainerStateTerminated, ContainerStateWaiting,
    ContainerStatus, Pod, PodCondition, PodIP, PodStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::run::{Container, Execution, Run, now};

/// What a kubelet has to write into the pod's status; `None` when it is there already.
///
/// The result is meant for a strategic merge patch: conditions of others are not in it.
pub(super) fn update(pod: &Pod, run: &Run, pod_ip: &str) -> Option<PodStatus> {
    let current = pod.status.clone().unwrap_or_default();
    let desired = PodStatus {
        phase: Some(phase(run).to_owned()),
        conditions: Some(conditions(pod, run)),
        container_statuses: Some(
            run.main.iter().map(|main| container_status(main, main.is_running())).collect(),
        ),
        init_container_statuses: (!run.init.is_empty()).then(|| {
            run.init.iter().map(|init| container_status(init, init.has_succeeded())).collect()
        }),
        host_ip: Some("127.0.0.1".to_owned()),
        pod_ip: Some(pod_ip.to_owned()),
        pod_ips: Some(vec![PodIP { ip: pod_ip.to_owned() }]),
        start_time: Some(Time(run.started)),
        ..PodStatus::default()
    };
    (!contains(&current, &desired)).then_some(desired)
}

fn phase(run: &Run) -> &'static str {
    if run.initialized() { "Running" } else { "Pending" }
}

/// The conditions that a kubelet owns.
fn conditions(pod: &Pod, run: &Run) -> Vec<PodCondition> {
    let ready = run.initialized() && run.main.iter().all(Container::is_running);
    let not_ready = || Some(("ContainersNotReady", "containers are not ready".to_owned()));
    let containers = if ready { None } else { not_ready() };
    let pod_ready = containers.clone().or_else(|| open_gate(pod));
    let initialized = (!run.initialized()).then(|| {
        let message = "init containers have not completed".to_owned();
        ("ContainersNotInitialized", message)
    });
    [("Initialized", initialized), ("Ready", pod_ready), ("ContainersReady", containers)]
        .map(|(name, problem)| condition(pod, name, problem))
        .into()
}

/// The first readiness gate that is not true, with the kubelet's words for it.
fn open_gate(pod: &Pod) -> Option<(&'static str, String)> {
    let gates = pod.spec.as_ref()?.readiness_gates.as_ref()?;
    let conditions = pod.status.as_ref().and_then(|s| s.conditions.as_deref());
    let gate = gates.iter().find_map(|gate| {
        let name = &gate.condition_type;
        let found =
            conditions.unwrap_or_default().iter().find(|condition| condition.type_ == *name);
        match found {
            None => Some(format!(
                "corresponding condition of pod readiness gate {name:?} does not exist."
            )),
            Some(condition) if condition.status != "True" => Some(format!(
                "the status of pod readiness gate {name:?} is not \"True\", but {}",
                condition.status
            )),
            Some(_) => None,
        }
    })?;
    Some(("ReadinessGatesNotReady", gate))
}

/// A condition that is true unless there is a reason why not. One that has not changed keeps the time at which it
/// last did.
fn condition(pod: &Pod, name: &str, problem: Option<(&str, String)>) -> PodCondition {
    let status = if problem.is_none() { "True" } else { "False" };
    let old = pod.status.iter().flat_map(|status| &status.conditions).flatten();
    let same = old.filter(|old| old.type_ == name && old.status == status);
    let mut times = same.filter_map(|same| same.last_transition_time.clone());
    PodCondition {
        type_: name.to_owned(),
        status: status.to_owned(),
        reason: problem.as_ref().map(|(reason, _)| (*reason).to_owned()),
        message: problem.map(|(_, message)| message),
        last_transition_time: times.next().or_else(|| Some(Time(now()))),
        ..PodCondition::default()
    }
}

/// An init container is ready once it has succeeded, any other while it runs.
fn container_status(container: &Container, ready: bool) -> ContainerStatus {
    ContainerStatus {
        name: container.name.clone(),
        image: container.image.clone(),
        image_id: format!("simulated://{}", container.image),
        container_id: container.current.as_ref().map(|run| run.id.clone()),
        ready,
        started: Some(container.is_running()),
        restart_count: container.restarts,
        state: Some(state(container.current.as_ref())),
        last_state: Some(
            container
                .previous
                .as_ref()
                .map_or_else(ContainerState::default, |run| state(Some(run))),
        ),
        ..ContainerStatus::default()
    }
}

fn state(execution: Option<&Execution>) -> ContainerState {
    let mut state = ContainerState::default();
    match execution {
        None => {
            state.waiting = Some(ContainerStateWaiting {
                reason: Some("PodInitializing".to_owned()),
                message: None,
            });
        }
        Some(run) => match &run.exit {
            None => {
                state.running = Some(ContainerStateRunning { started_at: Some(Time(run.started)) });
            }
            Some(exit) => {
                let reason = if exit.code == 0 { "Completed" } else { "Error" };
                state.terminated = Some(ContainerStateTerminated {
                    container_id: Some(run.id.clone()),
                    exit_code: exit.code,
                    reason: Some(reason.to_owned()),
                    message: (!exit.message.is_empty()).then(|| exit.message.clone()),
                    started_at: Some(Time(run.started)),
                    finished_at: Some(Time(exit.at)),
                    ..ContainerStateTerminated::default()
                });
            }
        },
    }
    state
}

/// Whether everything that is set in `desired` is so in `current`.
fn contains(current: &PodStatus, desired: &PodStatus) -> bool {
    let conditions = current.conditions.as_deref().unwrap_or_default();
    current.phase == desired.phase
        && current.container_statuses == desired.container_statuses
        && (desired.init_container_statuses.is_none()
            || current.init_container_statuses == desired.init_container_statuses)
        && desired.conditions.iter().flatten().all(|desired| {
            conditions.iter().any(|current| {
                current.type_ == desired.type_
                    && current.status == desired.status
                    && current.reason == desired.reason
                    && current.message == desired.message
            })
        })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(gates: &[&str], conditions: serde_json::Value) -> Pod {
        let gates: Vec<_> = gates.iter().map(|gate| json!({"conditionType": gate})).collect();
        serde_json::from_value(json!({
            "spec": {"readinessGates": gates, "containers": [{"name": "main", "image": "x"}]},
            "status": {"conditions": conditions},
        }))
        .expect("a pod")
    }

    fn run(pod: &Pod) -> Run {
        Run::start("uid", pod.spec.as_ref().expect("a spec"))
    }

    fn status_of<'a>(status: &'a PodStatus, condition: &str) -> &'a PodCondition {
        let conditions = status.conditions.as_ref().expect("conditions");
        let found = conditions.iter().find(|c| c.type_ == condition);
        found.expect("the condition")
    }

    #[test]
    fn pod_is_ready_only_when_its_gates_are_true() {
        for (gates, conditions, ready) in [
            (&[][..], json!([]), "True"),
            (&["done"], json!([]), "False"),
            (&["done"], json!([{"type": "done", "status": "False"}]), "False"),
            (&["done"], json!([{"type": "done", "status": "True"}]), "True"),
        ] {
            let pod = pod(gates, conditions);
            let status = update(&pod, &run(&pod), "10.0.0.1").expect("an update");
            assert_eq!(status_of(&status, "Ready").status, ready);
            assert_eq!(status_of(&status, "ContainersReady").status, "True");
        }
    }

    #[test]
    fn nothing_is_written_twice() {
        let mut pod = pod(&["done"], json!([{"type": "done", "status": "True"}]));
        let run = run(&pod);
        let mut status = update(&pod, &run, "10.0.0.1").expect("an update");
        // What a strategic merge makes of it.
        let others = pod.status.clone().expect("a status").conditions;
        status.conditions.get_or_insert_default().extend(others.unwrap_or_default());
        let round_trip = serde_json::to_value(&status).expect("json");
        pod.status = Some(serde_json::from_value(round_trip).expect("a status"));
        assert_eq!(update(&pod, &run, "10.0.0.1"), None);
    }

    #[test]
    fn exited_container_makes_the_pod_unready_and_shows_its_code() {
        let pod = pod(&[], json!([]));
        let mut run = run(&pod);
        run.exit("uid", "main", 3, "").expect("exited");
        let status = update(&pod, &run, "10.0.0.1").expect("an update");
        assert_eq!(status_of(&status, "Ready").status, "False");
        let containers = status.container_statuses.expect("statuses");
        let state = containers[0].state.as_ref().expect("a state");
        let terminated = state.terminated.as_ref().expect("terminated");
        assert_eq!(terminated.exit_code, 3);
        assert!(!containers[0].ready);
    }

    #[test]
    fn init_container_is_ready_when_it_has_succeeded_and_another_one_while_it_runs() {
        let mut pod = pod(&[], json!([]));
        if let Some(spec) = &mut pod.spec {
            let init = k8s_openapi::api::core::v1::Container {
                name: "init".to_owned(),
                ..spec.containers[0].clone()
            };
            spec.init_containers = Some(vec![init]);
        }
        let mut run = run(&pod);
        let ready = |run: &Run| {
            let status = update(&pod, run, "10.0.0.1").expect("an update");
            let of = |statuses: Option<Vec<ContainerStatus>>| statuses.map(|all| all[0].ready);
            (of(status.init_container_statuses), of(status.container_statuses))
        };
        assert_eq!(ready(&run), (Some(false), Some(false)));
        run.exit("uid", "init", 0, "").expect("exited");
        assert_eq!(ready(&run), (Some(true), Some(true)));
    }
}
