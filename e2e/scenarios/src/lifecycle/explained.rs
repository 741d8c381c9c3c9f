//! Work that a kubelet cannot begin: the status of the Job has the kubelet's own words.

use anyhow::{Result, ensure};
use api::job::NodeState;
use harness::images::BUSYBOX;
use harness::job_builder::JobBuilder;
use harness::job_handle::{describe, status};
use serde_json::{Value, json};

use crate::support::env::ScenarioEnv;

/// Preparations that fail, and rejections of pods, are failed runs. What the kubelet says only in events is quoted.
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
    let is_told = |message: &Option<String>| {
        message.as_ref().is_some_and(|it| it.contains(r#"configmap "missing" not found"#))
    };
    let mounts = env.job("mounts");
    mounts
        .until("every node with the reason", |job| {
            let nodes = status(job).nodes;
            nodes.len() == env.nodes.len() && nodes.iter().all(|node| is_told(&node.message))
        })
        .await?;
    ensure!(status(&mounts.get().await?).failed == 0, "a mount that is missing is waited for");
    Ok(())
}

/// A Job that would end at once.
fn unfinished(name: &str, spec: Value) -> JobBuilder {
    let template = json!({"spec": spec});
    JobBuilder::new(name, BUSYBOX).command(["true"]).exit_code().backoff_limit(1).template(template)
}
