//! Work that cannot begin: `explain` and the status quote real kubelets, runtimes and schedulers.

use anyhow::{Context as _, Result, ensure};
use api::job::{NodeState, NodeStatus};
use api::labels::JOB_CONTAINER;
use harness::images::BUSYBOX;
use harness::job_builder::JobBuilder;
use harness::job_handle::{describe, finished, status};
use harness::wait::State;
use k8s_openapi::api::node::v1::RuntimeClass;
use kube::api::{DeleteParams, PostParams};
use kube::{Api, ResourceExt as _};
use serde_json::{Value, json};
use testbed::kind::Node;

use super::kubectl::{LOOK, Plugin};
use crate::support::env::ScenarioEnv;

/// Its registry does not exist: <https://www.rfc-editor.org/rfc/rfc6761#section-6.4>.
const IMAGE: &str = "registry.invalid/none:1";

/// A Job with a cause, the check that finds it, and words of the kubelet, the runtime or the scheduler.
type Cause = (JobBuilder, &'static str, &'static str);

/// Each cause is found on all nodes, and quoted.
pub(crate) async fn in_the_kubelets_words(env: &ScenarioEnv<'_>) -> Result<()> {
    let classes: Api<RuntimeClass> = Api::all(env.cx.client.clone());
    let class = json!({"metadata": {"name": env.namespace()}, "handler": "none"});
    classes.create(&PostParams::default(), &serde_json::from_value(class)?).await?;
    let found = find(env).await;
    classes.delete(env.namespace(), &DeleteParams::default()).await?;
    found
}

async fn find(env: &ScenarioEnv<'_>) -> Result<()> {
    let plugin = Plugin::new(env).await?;
    let causes = causes(env);
    for (manifest, _, _) in &causes {
        env.apply(manifest).await?;
    }
    for (manifest, check, words) in &causes {
        let name = manifest.job().name_any();
        let is_said = || async {
            let said = says(&plugin, &name, check, words).await;
            Ok(said.map_or_else(|error| State::Waiting(format!("{error:#}")), State::Reached))
        };
        env.wait.poll(&format!("{check} of {name}"), LOOK, is_said).await?;
    }
    status_says(env).await?;
    env.cx.phase.outcome(format_args!("{} causes", causes.len()));
    Ok(())
}

/// In the status, preparations that fail and rejections of pods are failed runs. What is missing is waited for.
async fn status_says(env: &ScenarioEnv<'_>) -> Result<()> {
    let all = env.nodes.len();
    for (name, words) in [("prepare", "no disk here"), ("sysctl", "SysctlForbidden")] {
        let limit = r#"{"spec": {"backoffLimitPerNode": 1}}"#;
        env.kubectl(&["patch", "dsjob", name, "--type", "merge", "--patch", limit], "").await?;
        let failed = env.job(name).until_finished().await?;
        let is_told = |node: &NodeStatus| {
            let told = [&node.reason, &node.message].into_iter().flatten();
            node.state == NodeState::Failed && told.into_iter().any(|it| it.contains(words))
        };
        let nodes = status(&failed).nodes;
        ensure!(nodes.len() == all && nodes.iter().all(is_told), "{}", describe(&failed));
    }
    for (name, words) in [
        ("volume", &[r#"configmap "missing" not found"#][..]),
        ("image", &["ErrImagePull", "ImagePullBackOff"]),
    ] {
        let is_told = |node: &NodeStatus| {
            let message = node.message.as_deref().unwrap_or_default();
            let waits = node.state == NodeState::Pending && node.restarts == 0;
            waits && words.iter().any(|words| message.contains(words))
        };
        let job = env.job(name);
        job.until("every node with the reason", |job| {
            let nodes = status(job).nodes;
            nodes.len() == all && nodes.iter().all(is_told)
        })
        .await?;
        env.settle().await;
        let now = job.get().await?;
        let waits = finished(&now).is_none() && status(&now).failed == 0;
        ensure!(waits, "what is missing is waited for: {}", describe(&now));
    }
    env.job("image").until_deleted(env.apply(&job("image"))).await?;
    Ok(())
}

/// The Jobs, each with its cause.
fn causes(env: &ScenarioEnv<'_>) -> Vec<Cause> {
    let missing = json!({"configMapKeyRef": {"name": "missing", "key": "a"}});
    let volume = json!({"spec": {
        "containers": [{"name": JOB_CONTAINER, "volumeMounts": [{"name": "v", "mountPath": "/v"}]}],
        "volumes": [{"name": "v", "configMap": {"name": "missing"}}],
    }});
    let sandbox = json!({"spec": {"runtimeClassName": env.namespace()}});
    let requests = json!({"resources": {"requests": {"cpu": "1000"}}});
    let sysctls = json!([{"name": "net.core.somaxconn", "value": "1024"}]);
    let sysctls = json!({"spec": {"securityContext": {"sysctls": sysctls}}});
    let prepare = json!({"spec": {"initContainers": [{
        "name": "prepare", "image": BUSYBOX, "command": ["sh", "-c", "echo no disk here >&2; exit 7"],
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }]}});
    let never = json!({"imagePullPolicy": "Never"});
    vec![
        (job("image").image(IMAGE), "Image", "registry.invalid/none"),
        (job("never").image(IMAGE).container(never), "Image", "ErrImageNeverPull"),
        (
            job("config").container(json!({"env": [{"name": "A", "valueFrom": missing}]})),
            "Volumes",
            "CreateContainerConfigError",
        ),
        (job("volume").template(volume), "Volumes", "configmap \\\"missing\\\" not found"),
        (job("sandbox").template(sandbox), "Volumes", "FailedCreatePodSandBox"),
        (job("room").container(requests), "NoRoom", "Insufficient cpu"),
        (job("sysctl").template(sysctls), "Rejected", "SysctlForbidden"),
        (job("prepare").template(prepare), "InitContainer", "no disk here"),
        (job("command").command(["/no/such"]), "Restarts", "/no/such"),
    ]
}

/// A Job that would end at once.
fn job(name: &str) -> JobBuilder {
    JobBuilder::new(name, BUSYBOX).command(["true"]).exit_code().backoff_limit(3)
}

/// The check finds the cause on all nodes, and quotes it.
async fn says(plugin: &Plugin<'_>, job: &str, check: &str, words: &str) -> Result<()> {
    let found = finding(plugin, job, check).await?;
    let nodes = found["nodes"].as_array().map(Vec::len);
    let is_said =
        nodes == Some(plugin.env.nodes.len()) && found["quotes"].to_string().contains(words);
    ensure!(is_said && found["cure"].is_string(), "{words} of {job}: {found}");
    Ok(())
}

async fn finding(plugin: &Plugin<'_>, job: &str, check: &str) -> Result<Value> {
    let ended = plugin.end(plugin.dsjob(&["explain", job, "-o", "json"])).await?;
    let findings: Vec<Value> =
        serde_json::from_str(&ended.stdout).with_context(|| format!("{ended:?}"))?;
    let found = findings.iter().find(|finding| finding["check"] == check);
    Ok(found.with_context(|| format!("{job}: no {check} in {ended:?}"))?.clone())
}

/// The node that does not answer is named, and nothing waits for its kubelet.
pub(crate) async fn names_a_lost_node(env: &ScenarioEnv<'_>, job: &str, node: &Node) -> Result<()> {
    let plugin = Plugin::new(env).await?;
    let begun = std::time::Instant::now();
    let found = finding(&plugin, job, "Unreachable").await?;
    ensure!(found["nodes"] == json!([node.name()]), "{found}");
    let status = plugin.ok(&format!("status {job}")).await?;
    ensure!(status.contains("Unreachable"), "{status}");
    ensure!(begun.elapsed() < std::time::Duration::from_secs(10), "{:?}", begun.elapsed());
    Ok(())
}
