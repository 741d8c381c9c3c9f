//! The leases by which kubelets say that they are alive.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use serde_json::json;

/// Where kubelets keep them.
const NAMESPACE: &str = "kube-node-lease";

/// How often a kubelet renews its lease.
/// <https://kubernetes.io/docs/concepts/architecture/leases/#node-heart-beats>
const INTERVAL: Duration = Duration::from_secs(10);

/// Renewals a second, of all nodes together, at most.
const RATE: u32 = 25;

/// How many times its interval a lease holds, as the kubelets'.
const HOLDS: u32 = 4;

/// Renews the leases of all nodes, evenly spread over the time, until it is dropped.
pub(super) async fn renew_all(client: Client, nodes: Vec<String>) {
    let count = u32::try_from(nodes.len()).unwrap_or(u32::MAX).max(1);
    let interval = interval(count);
    let leases: Api<Lease> = Api::namespaced(client, NAMESPACE);
    let mut tick = tokio::time::interval(interval / count);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    for node in nodes.iter().cycle() {
        tick.tick().await;
        if let Err(error) = renew(&leases, node, interval).await {
            tracing::warn!(%error, node, "the lease is not renewed");
        }
    }
}

/// How often each of so many nodes renews its lease.
fn interval(nodes: u32) -> Duration {
    INTERVAL.max(Duration::from_secs(1) * nodes / RATE)
}

async fn renew(leases: &Api<Lease>, node: &str, interval: Duration) -> kube::Result<()> {
    let lease = json!({
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": node},
        "spec": {
            "holderIdentity": node,
            "leaseDurationSeconds": (interval * HOLDS).as_secs(),
            "renewTime": format!("{:.6}", Timestamp::now()),
        },
    });
    let params = PatchParams::apply("simulated-kubelet").force();
    leases.patch(node, &params, &Patch::Apply(lease)).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_nodes_renew_as_kubelets_do_and_many_less_often() {
        assert_eq!(interval(3), Duration::from_secs(10));
        assert_eq!(interval(1000), Duration::from_secs(40));
        assert_eq!(interval(5000), Duration::from_secs(200));
    }
}
