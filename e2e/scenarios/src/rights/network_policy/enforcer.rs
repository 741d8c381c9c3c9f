//! What makes NetworkPolicies more than words: the network of the node image, or else kube-router.

use std::fmt;

use anyhow::{Result, ensure};
use futures::future::try_join_all;
use harness::images::{self, KUBE_ROUTER};
use serde_json::{Value, json};

use crate::support::context::LABEL_SCENARIO;
use crate::support::env::ScenarioEnv;

/// The name of all that it is made of.
const NAME: &str = "kube-router";

/// Runs kube-router; `--cleanup-config` leaves its rules, so they are taken back.
const RUN: &str = r#"
clean() {
    iptables-save --table filter | awk '
        /^:KUBE-(ROUTER|POD-FW|NWPLCY)-/ {
            chain = substr($1, 2)
            empty = empty ":" chain " - [0:0]\n"
            drop = drop "-X " chain "\n"
        }
        /^-A (INPUT|FORWARD|OUTPUT) .*-j KUBE-ROUTER-/ {
            sub(/^-A/, "-D")
            leave = leave $0 "\n"
        }
        END { printf "*filter\n%s%s%sCOMMIT\n", empty, leave, drop }
    ' | iptables-restore --noflush || return
    for set in $(ipset list --name | grep '^KUBE-'); do
        ipset destroy "$set" || return
    done
}
clean || exit
trap 'kill "$router"; wait "$router"; clean; exit' TERM
kube-router "$@" &
router=$!
wait "$router"
"#;

/// Finds on a node what kube-router may have left.
const LEFT: &str = "! iptables-save | grep -E 'KUBE-(ROUTER|POD-FW|NWPLCY)-'";

/// What enforces NetworkPolicies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Enforcer {
    /// What came with the node image.
    Network,
    /// kube-router, which is started for the scenario.
    KubeRouter,
}

impl fmt::Display for Enforcer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Network => "the network of the node image",
            Self::KubeRouter => "kube-router",
        })
    }
}

impl Enforcer {
    /// Sees what there is, and starts kube-router where its image was loaded: there, the network enforces nothing.
    pub(crate) async fn start(env: &ScenarioEnv<'_>) -> Result<Self> {
        let list = ["ctr", "--namespace=k8s.io", "images", "list", "--quiet"];
        let lists = env.nodes.iter().map(|node| node.exec(list).run(env.cx.logs));
        let name = images::full_name(KUBE_ROUTER);
        let lists = try_join_all(lists).await?;
        let have = lists.iter().filter(|list| list.text().lines().any(|line| line == name));
        let have = have.count();
        if have == 0 {
            return Ok(Self::Network);
        }
        ensure!(have == lists.len(), "{have} of {} nodes have the image {name}", lists.len());
        env.apply(&manifest(env.namespace()).to_string()).await?;
        let started = ["rollout", "status", &format!("daemonset/{NAME}"), "--timeout=2m"];
        let result = env.kubectl(&started, "").await;
        if result.is_err() {
            return result.and(Self::KubeRouter.stop(env).await).map(|()| Self::KubeRouter);
        }
        Ok(Self::KubeRouter)
    }

    /// Ends what was started, and sees that no node has rules of it any more.
    pub(crate) async fn stop(self, env: &ScenarioEnv<'_>) -> Result<()> {
        if self == Self::Network {
            return Ok(());
        }
        let set = format!("daemonset/{NAME}");
        env.kubectl(&["delete", "--cascade=foreground", &set], "").await?;
        let rights = ["clusterrolebinding", "clusterrole"].map(|kind| format!("{kind}/{NAME}"));
        env.kubectl(&["delete", &rights[0], &rights[1]], "").await?;
        env.on_all_nodes(&["sh", "-c", LEFT]).await
    }
}

fn manifest(namespace: &str) -> Value {
    let labels = json!({LABEL_SCENARIO: "true"});
    let rules = [
        ("", vec!["namespaces", "pods", "services", "nodes", "endpoints"]),
        ("networking.k8s.io", vec!["networkpolicies"]),
        ("discovery.k8s.io", vec!["endpointslices"]),
    ];
    let rules = rules.map(|(group, resources)| {
        json!({"apiGroups": [group], "resources": resources, "verbs": ["get", "list", "watch"]})
    });
    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": NAME, "labels": labels},
        "rules": rules,
    });
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": NAME, "labels": labels},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": NAME},
        "subjects": [{"kind": "ServiceAccount", "name": NAME, "namespace": namespace}],
    });
    let account = json!({
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": NAME},
    });
    let command = [
        "sh",
        "-c",
        RUN,
        "sh",
        "--run-firewall=true",
        "--run-router=false",
        "--run-service-proxy=false",
        "--hostname-override=$(NODE)",
    ];
    let set = json!({
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": NAME},
        "spec": {
            "selector": {"matchLabels": {"app": NAME}},
            "template": {
                "metadata": {"labels": {"app": NAME}},
                "spec": {
                    "serviceAccountName": NAME,
                    "hostNetwork": true,
                    "tolerations": [{"operator": "Exists"}],
                    "containers": [{
                        "name": NAME,
                        "image": KUBE_ROUTER,
                        "imagePullPolicy": "Never",
                        "command": command,
                        "env": [{
                            "name": "NODE",
                            "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}},
                        }],
                        "securityContext": {"privileged": true},
                        "volumeMounts": [{
                            "name": "modules", "mountPath": "/lib/modules", "readOnly": true,
                        }],
                    }],
                    "volumes": [{"name": "modules", "hostPath": {"path": "/lib/modules"}}],
                },
            },
        },
    });
    json!({"apiVersion": "v1", "kind": "List", "items": [role, binding, account, set]})
}
