//! The NetworkPolicy of `deploy/kustomize/components/network-policy`, in a network that enforces it.

mod enforcer;

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use harness::images::BUSYBOX;
use harness::wait::State;
use k8s_openapi::api::core::v1::{Pod, Service};
use kube::api::{Patch, PatchParams};
use kube::{Api, ResourceExt as _};
use serde_json::json;
use testbed::deploy::Deployed;
use testbed::faults::kill;
use tokio::time::Instant;

use self::enforcer::Enforcer;
use crate::support::env::ScenarioEnv;
use crate::support::install;
use crate::support::work::Work;

/// What is installed: the policy is part of it.
const PRODUCTION: &str = "deploy/kustomize/production";

/// The name of the policy.
const POLICY: &str = "networkpolicy/daemonset-job";

/// Where operator and terminator serve their health and their metrics.
const METRICS: [u16; 2] = [8080, 8081];

/// A port of our pods that nothing needs. A container that is added to them listens there.
const CLOSED: u16 = 9999;

/// Ports that other pods listen at: one where our pods may ask for names, and one of no meaning to them.
const NAMES: u16 = 53;
const OTHER: u16 = 8080;

/// Where the API server is, for pods.
const HTTPS: u16 = 443;

/// A pod that may have metrics when others may not.
const PROMETHEUS: &str = "prometheus";
/// A pod that we have nothing to do with.
const STRANGER: &str = "stranger";

/// The container that is added to our pods.
const LOOKOUT: &str = "lookout";

/// How soon a pod that its kubelet does not reach gets unready.
const UNREADY: Duration = Duration::from_secs(9);

/// How often a connection is tried while others than expected get through.
const AGAIN: Duration = Duration::from_millis(500);

/// Says whether somebody answers at the address `$1` and port `$2`, in any words.
const REACH: &str = r#"
answer=$(printf 'GET /metrics HTTP/1.0\r\n\r\n' | nc -w 3 "$1" "$2" 2>/dev/null | head -n 1)
case $answer in HTTP/*) echo yes ;; *) echo no ;; esac
"#;

/// Both work and are scraped as the policy has it; nothing else is let through.
pub(crate) async fn lets_through_what_is_needed(env: &ScenarioEnv<'_>) -> Result<()> {
    let enforcer = Enforcer::start(env).await?;
    let result = install::with(env.cx, Path::new(PRODUCTION), async |deployed| {
        let pods = deployed.pods(env.cx.client).await?;
        let beside = pods.first().context("the operator has no pod")?;
        let others = others(env, beside).await?;
        let result = is_enforced(env, deployed, &pods, &others).await;
        let gone = ["delete", "pod", PROMETHEUS, STRANGER];
        result.and(env.kubectl(&gone, "").await)
    })
    .await;
    result.and(enforcer.stop(env).await)?;
    env.cx.phase.outcome(format_args!("enforced by {enforcer}"));
    Ok(())
}

async fn is_enforced(
    env: &ScenarioEnv<'_>,
    deployed: &Deployed,
    pods: &[Pod],
    others: &Others<'_>,
) -> Result<()> {
    let Others { prometheus, stranger } = others;
    let mut ours = Vec::new();
    for pod in pods {
        ours.push(look_out(env, deployed, pod).await?);
    }
    let services: Api<Service> = Api::namespaced(env.cx.client.clone(), "default");
    let api_server = services.get("kubernetes").await?.spec.and_then(|spec| spec.cluster_ip);
    let api_server = api_server.context("the API server has no address for pods")?;

    for pod in &ours {
        until(env, stranger, pod.at(CLOSED), false).await?;
        until(env, pod, stranger.at(OTHER), false).await?;
    }
    for pod in &ours {
        for port in METRICS {
            until(env, stranger, pod.at(port), true).await?;
        }
        until(env, pod, stranger.at(NAMES), true).await?;
        until(env, pod, (&api_server, HTTPS), true).await?;
    }

    // Connections that were there before are none of the policy's business.
    for pod in pods {
        kill::containers(env.cx.cluster, pod, &["operator", "terminator"]).await?;
    }
    let nodes: Vec<_> = env.nodes.iter().collect();
    let work = Work::start(env).await?;
    work.open(&nodes).await?;
    work.until_gone(&nodes).await?;
    deployed.wait_until_available(env.cx.client, &env.wait).await?;

    // As the policy's comment says how to let only one's own Prometheus in. Networks may hide from one node which
    // pod of another it is that asks, so this is tried on one node.
    let only = json!([{"op": "add", "path": "/spec/ingress/0/from", "value": [{
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": env.namespace()}},
        "podSelector": {"matchLabels": {"app": PROMETHEUS}},
    }]}]);
    env.kubectl_ours(&["patch", POLICY, "--type=json", "--patch", &only.to_string()]).await?;
    let beside = ours.first().context("the operator has no pod")?;
    for port in METRICS {
        until(env, stranger, beside.at(port), false).await?;
    }
    let unready = Instant::now() + UNREADY;
    for port in METRICS {
        until(env, prometheus, beside.at(port), true).await?;
    }
    env.cx.phase.detail("looking for what must not happen");
    tokio::time::sleep_until(unready).await;
    let after = deployed.pods(env.cx.client).await?;
    ensure!(
        after.len() == pods.len() && after.iter().all(is_ready),
        "kubelets do not reach our pods: {:?}",
        after.iter().map(|pod| (pod.name_any(), is_ready(pod))).collect::<Vec<_>>()
    );

    // It was the policy: without it, all are reached.
    env.kubectl_ours(&["delete", POLICY]).await?;
    for pod in &ours {
        until(env, stranger, pod.at(CLOSED), true).await?;
        until(env, pod, stranger.at(OTHER), true).await?;
    }
    Ok(())
}

/// A container that can try to reach others.
struct Place<'a> {
    namespace: &'a str,
    pod: String,
    container: &'a str,
    address: String,
}

impl Place<'_> {
    fn at(&self, port: u16) -> Target<'_> {
        (&self.address, port)
    }
}

/// An address and a port.
type Target<'a> = (&'a str, u16);

/// Pods that are not ours.
struct Others<'a> {
    prometheus: Place<'a>,
    stranger: Place<'a>,
}

/// Makes them on the node of this pod, and waits until they run.
async fn others<'a>(env: &'a ScenarioEnv<'_>, beside: &Pod) -> Result<Others<'a>> {
    let node = beside.spec.as_ref().and_then(|spec| spec.node_name.as_deref());
    let listen = format!("httpd -p {NAMES}; httpd -p {OTHER}");
    let pods = [PROMETHEUS, STRANGER].map(|name| {
        json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "labels": {"app": name}},
            "spec": {
                "nodeName": node,
                "containers": [{"name": name, "image": BUSYBOX, "command": stay(&listen)}],
            },
        })
    });
    let list = json!({"apiVersion": "v1", "kind": "List", "items": pods});
    env.apply(&list.to_string()).await?;
    let ready = ["wait", "--for=condition=Ready", "--timeout=2m", "pod", PROMETHEUS, STRANGER];
    env.kubectl(&ready, "").await?;
    let place = async |name| {
        let pod = env.api::<Pod>().get(name).await?;
        let namespace = env.namespace();
        anyhow::Ok(Place {
            namespace,
            pod: name.to_owned(),
            container: name,
            address: address(&pod)?,
        })
    };
    Ok(Others { prometheus: place(PROMETHEUS).await?, stranger: place(STRANGER).await? })
}

/// Adds a container to a pod of ours, one that its namespace takes.
async fn look_out<'a>(
    env: &ScenarioEnv<'_>,
    deployed: &'a Deployed,
    pod: &Pod,
) -> Result<Place<'a>> {
    let namespace = &deployed.namespace;
    let pods: Api<Pod> = Api::namespaced(env.cx.client.clone(), namespace);
    let container = json!({
        "name": LOOKOUT,
        "image": BUSYBOX,
        "command": stay(&format!("httpd -p {CLOSED}")),
        "securityContext": {
            "allowPrivilegeEscalation": false,
            "capabilities": {"drop": ["ALL"]},
        },
    });
    let name = pod.name_any();
    let patch = Patch::Strategic(json!({"spec": {"ephemeralContainers": [container]}}));
    pods.patch_ephemeral_containers(&name, &PatchParams::default(), &patch).await?;
    let place = Place { namespace, pod: name, container: LOOKOUT, address: address(pod)? };
    until(env, &place, ("127.0.0.1", CLOSED), true).await?;
    Ok(place)
}

/// The command of a container that listens, and ends when it is told to.
fn stay(listen: &str) -> [String; 3] {
    let script = format!("trap 'exit 0' TERM; {listen}; while :; do sleep 1; done");
    ["sh".to_owned(), "-c".to_owned(), script]
}

fn address(pod: &Pod) -> Result<String> {
    let address = pod.status.as_ref().and_then(|status| status.pod_ip.clone());
    address.with_context(|| format!("pod {} has no address", pod.name_any()))
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.iter().flat_map(|status| &status.conditions).flatten();
    let mut ready = conditions.filter(|condition| condition.type_ == "Ready");
    ready.any(|condition| condition.status == "True")
}

/// Waits until an address is reached from a container, or is not any more.
async fn until(
    env: &ScenarioEnv<'_>,
    from: &Place<'_>,
    to: Target<'_>,
    wanted: bool,
) -> Result<()> {
    let (not, seen) = if wanted { ("", "it is not") } else { (" not", "it is") };
    let expected = format!("{}:{}{not} reached from pod {}", to.0, to.1, from.pod);
    env.wait
        .poll(&expected, AGAIN, || async {
            let is_so = reaches(env, from, to).await? == wanted;
            Ok(State::of(is_so.then_some(()), || seen.to_owned()))
        })
        .await
}

async fn reaches(env: &ScenarioEnv<'_>, from: &Place<'_>, to: Target<'_>) -> Result<bool> {
    let Place { namespace, pod, container, .. } = from;
    let exec = ["--namespace", namespace, "exec", pod, "--container", container, "--"];
    let port = to.1.to_string();
    let try_it = ["sh", "-c", REACH, "sh", to.0, &port];
    let output = env
        .cx
        .cluster
        .kubectl(exec.iter().chain(&try_it))
        .name(format!("reach-{}-{port}", to.0))
        .run(env.cx.logs)
        .await?;
    Ok(output.text() == "yes")
}
