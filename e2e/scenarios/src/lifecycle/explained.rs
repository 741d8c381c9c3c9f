//! Work that a kubelet cannot begin: the status of the Job has the kubelet's own words.

use anyhow::{Result, ensure};
use api::job::{NodeState, NodeStatus};
use harness::images::BUSYBOX;
use harness::job_builder::JobBuilder;
use harness::job_handle::{describe, finished, status};
use serde_json::{Value, json};

use crate::support::env::ScenarioEnv;

/// Its registry does not exist: <https://www.rfc-editor.org/rfc/rfc6761#section-6.4>.
const IMAGE: &str = "registry.invalid/none:1";

/// Preparations that fail, and rejections of pods, are failed runs. What is missing is waited for,
/// in the kubelet's words, even if these are only in events.
pub(crate) async fn by_the_kubelets_words(env: &ScenarioEnv<'_>) -> Result<()> {
    let script = "echo no disk here >&2; exit 7";
    let prepare = json!({
        "name": "prepare", "image": BUSYBOX, "command": ["sh", "-c", script],
        "terminationMessagePolicy": "FallbackToLogsOnError",
    });
    let sysctl = json!([{"name": "net.core.somaxconn", "value": "1024"}]);
    let mount = json!([{"name": "v", "mountPath": "/v"}]);
    let container = json!({"name": "job-container", "volumeMounts": mount});
    let volume = json!({"name": "v", "configMap": {"name": "missing"}});
    let jobs = [
        ("preparation", json!({"initContainers": [prepare]})),
        ("rejected", json!({"securityContext": {"sysctls": sysctl}})),
        ("mounts", json!({"containers": [container], "volumes": [volume]})),
    ];
    for (name, spec) in jobs {
        env.apply(&unfinished(name, spec)).await?;
    }
    let pullable = unfinished("image", json!({}));
    env.apply(&pullable.clone().image(IMAGE)).await?;
    for (name, text) in [("preparation", "no disk here"), ("rejected", "SysctlForbidden")] {
        let failed = env.job(name).until_finished().await?;
        let nodes = status(&failed).nodes;
        ensure!(nodes.len() == env.nodes.len(), "{}", describe(&failed));
        for node in nodes {
            let is_told =
                [&node.reason, &node.message].into_iter().flatten().any(|it| it.contains(text));
            ensure!(node.state == NodeState::Failed && is_told, "{name}: {node:?}");
        }
    }
    for (name, texts) in [
        ("mounts", &[r#"configmap "missing" not found"#][..]),
        ("image", &["ErrImagePull", "ImagePullBackOff"]),
    ] {
        let is_told = |node: &NodeStatus| {
            let message = node.message.as_deref().unwrap_or_default();
            let waits = node.state == NodeState::Pending && node.restarts == 0;
            waits && texts.iter().any(|text| message.contains(text))
        };
        let job = env.job(name);
        job.until("every node with the reason", |job| {
            let nodes = status(job).nodes;
            nodes.len() == env.nodes.len() && nodes.iter().all(is_told)
        })
        .await?;
        env.settle().await;
        let now = job.get().await?;
        let waits = finished(&now).is_none() && status(&now).failed == 0;
        ensure!(waits, "what is missing is waited for: {}", describe(&now));
    }
    env.job("image").until_deleted(env.apply(&pullable)).await?;
    Ok(())
}

/// A Job that would end at once.
fn unfinished(name: &str, spec: Value) -> JobBuilder {
    let template = json!({"spec": spec});
    JobBuilder::new(name, BUSYBOX).command(["true"]).exit_code().backoff_limit(1).template(template)
}
