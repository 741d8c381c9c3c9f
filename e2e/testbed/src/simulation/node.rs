//! The Node objects of simulated nodes.

use k8s_openapi::api::core::v1::Node;
use serde_json::json;

/// A node to be simulated. By default a healthy Linux worker.
#[derive(Clone, Debug)]
#[must_use]
pub struct NodeSpec {
    name: String,
    host_name: Option<&'static str>,
    os: &'static str,
    taint: Option<(&'static str, &'static str)>,
    unschedulable: bool,
}

impl NodeSpec {
    /// A Linux worker.
    pub fn linux(name: impl Into<String>) -> Self {
        Self { name: name.into(), host_name: None, os: "linux", taint: None, unschedulable: false }
    }

    /// A Windows worker.
    pub fn windows(name: impl Into<String>) -> Self {
        Self { os: "windows", ..Self::linux(name) }
    }

    /// Gives it a host name that is not its name, as some clouds do.
    pub fn host_name(self, host_name: &'static str) -> Self {
        Self { host_name: Some(host_name), ..self }
    }

    /// Adds a taint without a value.
    pub fn tainted(self, key: &'static str, effect: &'static str) -> Self {
        Self { taint: Some((key, effect)), ..self }
    }

    /// Marks the node as `kubectl cordon` does, with the taint of the node lifecycle.
    pub fn cordoned(self) -> Self {
        Self {
            unschedulable: true,
            ..self.tainted("node.kubernetes.io/unschedulable", "NoSchedule")
        }
    }

    /// The node's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The object as a kubelet would register it: status, address and port for logs.
    pub(super) fn object(&self, host: &str, port: u16) -> serde_json::Result<Node> {
        let taints: Vec<_> =
            self.taint.iter().map(|(key, effect)| json!({"key": key, "effect": effect})).collect();
        let resources = json!({"cpu": "4", "memory": "8Gi", "pods": "110"});
        serde_json::from_value(json!({
            "metadata": {
                "name": self.name,
                "labels": {
                    "kubernetes.io/hostname": self.host_name.unwrap_or(&self.name),
                    "kubernetes.io/os": self.os,
                    "kubernetes.io/arch": "amd64",
                },
            },
            "spec": {"taints": taints, "unschedulable": self.unschedulable},
            "status": {
                "addresses": [{"type": "Hostname", "address": host}],
                "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
                "capacity": resources,
                "allocatable": resources,
                "conditions": [{
                    "type": "Ready",
                    "status": "True",
                    "reason": "Simulated",
                    "message": "a simulated kubelet is posting ready status",
                    "lastHeartbeatTime": jiff::Timestamp::now(),
                    "lastTransitionTime": jiff::Timestamp::now(),
                }],
            },
        }))
    }
}
