//! Containers of ours that ended by themselves.

use k8s_openapi::api::core::v1::{ContainerStateTerminated, Pod};
use kube::ResourceExt as _;

/// The exit codes of what was asked to end, was killed, or lost its node.
const BY_OTHERS: [i32; 4] = [0, 128 + 15, 128 + 9, 255];

/// The containers of these pods that ended without anybody's doing, with how.
pub fn by_themselves(pods: &[Pod]) -> Vec<String> {
    let ends = pods.iter().flat_map(|pod| {
        let statuses = pod.status.iter().flat_map(|status| &status.container_statuses).flatten();
        statuses.filter_map(|container| {
            let states = [&container.state, &container.last_state].into_iter().flatten();
            let end =
                states.filter_map(|state| state.terminated.as_ref()).find(|end| is_own(end))?;
            let reason = end.reason.as_deref().unwrap_or("no reason");
            let (pod, name, code) = (pod.name_any(), &container.name, end.exit_code);
            Some(format!("{pod}/{name} ended with exit code {code} ({reason})"))
        })
    });
    ends.collect()
}

fn is_own(end: &ContainerStateTerminated) -> bool {
    end.reason.as_deref() == Some("OOMKilled") || !BY_OTHERS.contains(&end.exit_code)
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::{ContainerState, ContainerStatus, PodStatus};

    use super::*;

    fn ended(exit_code: i32, reason: &str) -> Pod {
        let end = ContainerStateTerminated {
            exit_code,
            reason: Some(reason.to_owned()),
            ..ContainerStateTerminated::default()
        };
        let container = ContainerStatus {
            name: "operator".to_owned(),
            last_state: Some(ContainerState { terminated: Some(end), ..ContainerState::default() }),
            ..ContainerStatus::default()
        };
        let status =
            PodStatus { container_statuses: Some(vec![container]), ..PodStatus::default() };
        Pod { status: Some(status), ..Pod::default() }
    }

    #[test]
    fn killed_process_is_no_finding() {
        assert!(by_themselves(&[ended(137, "Error"), ended(0, "Completed")]).is_empty());
    }

    #[test]
    fn panic_error_and_lack_of_memory_are_found() {
        let pods = [ended(134, "Error"), ended(1, "Error"), ended(137, "OOMKilled")];
        let found = by_themselves(&pods);
        assert_eq!(found.len(), 3);
        assert!(found[0].ends_with("operator ended with exit code 134 (Error)"), "{found:?}");
    }
}
