//! The faults that last: how each is inflicted, and undone.
//!
//! To undo what is not there does nothing, for a record may be of a fault that was never inflicted.
//! Everything works in kind's own node images, where systemd runs the kubelet, as in ours.

use std::fmt;
use std::time::Duration;

use anyhow::Result;
use harness::process::{Cmd, LogDir};
use serde::{Deserialize, Serialize};

use crate::kind::Node;

/// How long it may take to stop or start a node.
const OUTSIDE_TIMEOUT: Duration = Duration::from_secs(60);

/// How long the API server may take to be back.
const API_SERVER_TIMEOUT: Duration = Duration::from_secs(150);

/// A fault that lasts until it is healed.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// Every process of the node stands still. Nothing can be executed in it.
    NodeFrozen,
    /// The node is switched off. It boots with an empty `/tmp`, at any address.
    NodeDown,
    /// The node and the API server do not reach each other; open connections hang.
    Partition,
    /// There is no API server.
    ApiServerOut,
    /// The API server takes connections and answers nothing.
    ApiServerHanging,
}

/// The process is there and does nothing.
const FREEZE: &str = "pkill -STOP -x kube-apiserver";

/// Drops, not refuses, what passes between the node and the API server, in a chain of its own; by IPv6
/// as well, where there is such, for kind's networks have both.
const CUT: &str = r#"
set -e
for tables in iptables ip6tables; do
    $tables --list-rules >/dev/null 2>&1 || continue
    $tables --wait --new-chain "$1"
    for port in 6443 10250; do
        $tables --wait --append "$1" --protocol tcp --dport $port --jump DROP
        $tables --wait --append "$1" --protocol tcp --sport $port --jump DROP
    done
    for chain in INPUT OUTPUT FORWARD; do
        $tables --wait --insert $chain 1 --jump "$1"
    done
done
"#;

const JOIN: &str = r#"
for tables in iptables ip6tables; do
    $tables --list-rules "$1" >/dev/null 2>&1 || continue
    for chain in INPUT OUTPUT FORWARD; do
        while $tables --wait --delete $chain --jump "$1" 2>/dev/null; do :; done
    done
    $tables --wait --flush "$1"
    $tables --wait --delete-chain "$1"
done
"#;

/// The chain of [`CUT`].
const CHAIN: &str = "DAEMONSET-JOB-FAULT";

/// The kubelet would let the API server end gently, but an outage is to begin now.
const TAKE_AWAY: &str = r#"
set -e
mv /etc/kubernetes/manifests/kube-apiserver.yaml /etc/kubernetes/
while pkill -KILL -x kube-apiserver; do sleep 0.1; done
"#;

/// Brings the API server back, whatever was done to it, and waits until it is ready.
///
/// The kubelet lets a container wait that ended twice within ten minutes, up to five minutes: the API
/// server itself, and the controller manager and the scheduler, which end when they cannot renew their
/// leases. That would be in the way of whatever comes next, and a new kubelet has forgotten it. Each has twice
/// the time of the one before: on a busy machine the first may not get as far as starting it.
const BRING_BACK: &str = r#"
away=/etc/kubernetes/kube-apiserver.yaml
if [ -e $away ]; then mv $away /etc/kubernetes/manifests/; fi
pkill -CONT -x kube-apiserver
rounds=0
most=25
until curl --silent --insecure --fail --max-time 2 https://127.0.0.1:6443/readyz >/dev/null; do
    rounds=$((rounds + 1))
    if [ "$rounds" -ge "$most" ] && ! pgrep -x kube-apiserver >/dev/null; then
        pkill -KILL -x kubelet
        rounds=0
        most=$((most * 2))
    fi
    sleep 0.2
done
pkill -KILL -x kubelet
"#;

impl Fault {
    pub(super) async fn inflict(self, node: &Node, logs: &LogDir) -> Result<()> {
        let inflict = match self {
            Self::NodeFrozen => outside(node, &["pause"]),
            // Init may take a moment to end, but nothing is to be saved.
            Self::NodeDown => outside(node, &["stop", "--time", "5"]),
            Self::Partition => node.script(CUT, &[CHAIN]),
            Self::ApiServerOut => node.script(TAKE_AWAY, &[]),
            Self::ApiServerHanging => node.script(FREEZE, &[]),
        };
        inflict.run(logs).await?;
        Ok(())
    }

    pub(super) async fn heal(self, node: &Node, logs: &LogDir) -> Result<()> {
        let heal = match self {
            Self::NodeFrozen => {
                let is_frozen = outside(node, &["inspect", "--format", "{{.State.Paused}}"]);
                if is_frozen.run(logs).await?.text() != "true" {
                    return Ok(());
                }
                outside(node, &["unpause"])
            }
            Self::NodeDown => outside(node, &["start"]),
            Self::Partition => node.script(JOIN, &[CHAIN]),
            Self::ApiServerOut | Self::ApiServerHanging => {
                node.script(BRING_BACK, &[]).timeout(API_SERVER_TIMEOUT)
            }
        };
        heal.run(logs).await?;
        Ok(())
    }
}

fn outside(node: &Node, command: &[&str]) -> Cmd {
    node.outside(command).timeout(OUTSIDE_TIMEOUT)
}

/// As in the record.
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}
