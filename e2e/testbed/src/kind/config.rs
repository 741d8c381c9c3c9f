//! The configuration that kind gets.

use std::fmt::Write as _;

/// The kind configuration of a cluster with one control plane and `nodes - 1` workers.
///
/// The node image knows the version of Kubernetes, and images made for this harness bring their
/// pod network along as kind's own do, so that nothing else differs between clusters.
pub(super) fn render(nodes: usize) -> String {
    let mut yaml = String::from(
        "kind: Cluster\napiVersion: kind.x-k8s.io/v1alpha4\nnodes:\n- role: control-plane\n",
    );
    for _ in 1..nodes {
        // Writing to a string cannot fail.
        let _ = writeln!(yaml, "- role: worker");
    }
    yaml
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_node_is_the_control_plane_and_the_others_are_workers() {
        let yaml = render(3);
        assert_eq!(yaml.matches("role: control-plane").count(), 1);
        assert_eq!(yaml.matches("role: worker").count(), 2);
        assert!(!render(1).contains("worker"));
    }
}
