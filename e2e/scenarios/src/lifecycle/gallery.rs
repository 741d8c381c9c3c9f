//! Samples of `docs/gallery.md`, run to their end.

use anyhow::{Context as _, Result, ensure};
use api::job::{Job, conditions};
use harness::images::BUSYBOX;
use harness::job_handle::{describe, status};
use harness::paths;
use kube::api::DynamicObject;
use serde_json::{Value, json};
use testbed::manifests;

use crate::support::env::ScenarioEnv;

/// Samples that need nothing but nodes, each with its Job.
const PLAIN: [(&str, &str); 5] = [
    ("hello", "hello"),
    ("registry-ca", "rotate-registry-ca"),
    ("pull-image", "pull-busybox"),
    ("check-disk", "check-disk"),
    ("gitops/job", "clean-crash-dumps"),
];

/// What the samples make on nodes.
const FILES: [&str; 2] = ["/var/lib/prepared", "/etc/containerd/certs.d/registry.example.org"];

/// Each Job is done on every node, also those of which another Job or an image with kubectl is part.
pub(crate) async fn ends_well(env: &ScenarioEnv<'_>) -> Result<()> {
    let work = async {
        for (sample, _) in PLAIN {
            env.kubectl(&["apply", "--filename", &path(sample)], "").await?;
        }
        env.kubectl(&["apply", "--filename", &path("new-nodes")], "").await?;
        let kubectl = kubectl_of_nodes(env).await?;
        label_node(env, &kubectl).await?;
        nightly(env, &kubectl).await?;
        for (_, job) in PLAIN {
            until_complete(env, job).await?;
        }
        let is_ready = |job: &Job| {
            let status = job.status.as_ref();
            status.is_some_and(|status| {
                conditions::find_true(&status.conditions, conditions::READY).is_some()
            })
        };
        let job = env.job("prepare-nodes").until("ready", is_ready).await?;
        ensure!(status(&job).completed == Some(env.of_all(env.nodes.len())), "{}", describe(&job));
        Ok(())
    };
    let result = work.await;
    let ours = ["delete", "--ignore-not-found"];
    let shared = ["clusterrole/node-labeller", "clusterrolebinding/node-labeller"];
    env.kubectl(&[ours, shared].concat(), "").await?;
    env.kubectl(&["label", "nodes", "--all", "example.org/prepared-"], "").await?;
    env.on_all_nodes(&["rm", "-rf", "--", FILES[0], FILES[1]]).await?;
    result
}

/// The init container does the work, and the job container labels the node.
async fn label_node(env: &ScenarioEnv<'_>, kubectl: &str) -> Result<()> {
    for mut object in objects(env, "label-node")? {
        if object.types.as_ref().is_some_and(|types| types.kind == "Job") {
            object.data["spec"]["image"] = BUSYBOX.into();
            give_kubectl(&mut object.data["spec"]["template"]["spec"], kubectl)?;
        }
        env.apply(&serde_json::to_value(object)?).await?;
    }
    until_complete(env, "prepare-and-label").await?;
    let wait = ["wait", "--for=jsonpath={.metadata.labels.example\\.org/prepared}=true"];
    env.kubectl(&[&wait[..], &["nodes", "--all", "--timeout=10s"]].concat(), "").await
}

/// The CronJob creates a Job, which has a name of its own.
async fn nightly(env: &ScenarioEnv<'_>, kubectl: &str) -> Result<()> {
    for mut object in objects(env, "nightly")? {
        if object.types.as_ref().is_some_and(|types| types.kind == "CronJob") {
            let pod = &mut object.data["spec"]["jobTemplate"]["spec"]["template"]["spec"];
            pod["containers"][0]["image"] = BUSYBOX.into();
            give_kubectl(pod, kubectl)?;
        }
        env.apply(&serde_json::to_value(object)?).await?;
    }
    env.kubectl(&["create", "job", "--from=cronjob/nightly-cleanup", "nightly-now"], "").await?;
    env.kubectl(&["wait", "--for=condition=Complete", "job/nightly-now", "--timeout=2m"], "")
        .await?;
    let jobs = env.api::<Job>().list(&Default::default()).await?;
    let created = jobs.iter().map(kube::ResourceExt::name_any);
    let created = created.filter(|name| name.starts_with("nightly-cleanup-")).collect::<Vec<_>>();
    let [job] = created.as_slice() else { anyhow::bail!("the CronJob has created {created:?}") };
    until_complete(env, job).await
}

async fn until_complete(env: &ScenarioEnv<'_>, job: &str) -> Result<()> {
    let nodes = env.nodes.len();
    let message = format!("done on {nodes} of {nodes} nodes");
    env.job(job).until_ended("Completed", &message).await.map(|_| ())
}

/// The objects of a sample, in the namespace of the scenario.
fn objects(env: &ScenarioEnv<'_>, sample: &str) -> Result<Vec<DynamicObject>> {
    let text = fs_err::read_to_string(paths::workspace().join(path(sample)))?;
    let here = format!("namespace: {}", env.namespace());
    manifests::objects(&text.replace("namespace: default", &here))
}

fn path(sample: &str) -> String {
    format!("deploy/samples/{sample}.yaml")
}

/// Where nodes have their kubectl, which needs no libraries.
async fn kubectl_of_nodes(env: &ScenarioEnv<'_>) -> Result<String> {
    let node = env.nodes.first().context("the cluster has no node")?;
    let found = node.exec(["sh", "-c", "command -v kubectl"]).run(env.cx.logs).await?;
    Ok(found.text().trim().to_owned())
}

/// Stands in for an image with kubectl: the pod gets that of its node.
fn give_kubectl(pod: &mut Value, kubectl: &str) -> Result<()> {
    let volume = json!({"name": "kubectl", "hostPath": {"path": kubectl, "type": "File"}});
    add(pod, "volumes", volume)?;
    let mount = json!({"name": "kubectl", "mountPath": "/bin/kubectl", "readOnly": true});
    add(&mut pod["containers"][0], "volumeMounts", mount)
}

fn add(owner: &mut Value, list: &str, item: Value) -> Result<()> {
    let owner = owner.as_object_mut().context("no object")?;
    let list = owner.entry(list).or_insert_with(|| json!([]));
    list.as_array_mut().context("no list")?.push(item);
    Ok(())
}
