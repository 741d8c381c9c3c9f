//! Jobs that the first implementation has left on a cluster that was upgraded since.

use anyhow::{Context as _, Result, ensure};
use api::job::Job;
use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::PostParams;
use kube::{Resource as _, ResourceExt as _};
use serde_json::{Value, json};

use crate::bad_input::{DEFINITION, replace_schema};
use crate::cluster::NODES;
use crate::job::{TestJob, log_done, manifest};
use crate::test::{Test, alone_test, merge};

/// Where the API server stores the definition.
const KEY: &str = "/registry/apiextensions.k8s.io/customresourcedefinitions";

/// A Job whose containers are at work.
const WORKING: &str = "working";
/// A Job whose containers have logged the word on all nodes that it was given.
const DONE: &str = "done";
/// A Job that has no DaemonSet yet.
const NEW: &str = "new";
const JOBS: [&str; 3] = [WORKING, DONE, NEW];

/// The version that the first implementation registered, as it is served today.
fn first() -> Value {
    json!({"versions": [{
        "name": "v1beta1",
        "served": true,
        "storage": true,
        "schema": {"openAPIV3Schema": {
            "type": "object",
            "properties": {
                "spec": {
                    "type": "object",
                    "required": ["image", "args", "mountPath"],
                    "properties": {
                        "image": {"type": "string"},
                        "args": {"type": "array", "items": {"type": "string"}},
                        "mountPath": {"type": "string"},
                    },
                },
                "status": {
                    "type": "object",
                    "required": ["completed", "phase"],
                    "properties": {
                        "completed": {"type": "boolean"},
                        "phase": {"type": "string"},
                    },
                },
            },
        }},
    }]})
}

/// Takes the steps of `docs/migration.md` while Jobs run. Alone, for all tests use one definition.
#[apply(alone_test)]
async fn jobs_of_the_first_implementation_are_done_by_this_one(cx: &Test) -> Result<()> {
    let ours = cx.all::<CustomResourceDefinition>().get(DEFINITION).await?;
    let result = migrate(cx, &ours).await;
    replace(cx, &ours).await?;
    result
}

async fn migrate(cx: &Test, ours: &CustomResourceDefinition) -> Result<()> {
    define_as_the_first(cx).await?;
    let mut jobs = Vec::new();
    for name in JOBS {
        jobs.push(cx.apply(&manifest(name)).await?);
    }
    let mut old = Vec::new();
    for job in &jobs[..2] {
        create_daemon_set(cx, job).await?;
        // No pod of the first implementation tolerated the taint of a control plane.
        for node in &NODES[1..] {
            let pod = job.pod(node).await?;
            if job.name == DONE {
                pod.log("done\n")?;
            }
            old.push(pod);
        }
    }

    let refused = replace_schema(cx, &serde_json::to_value(&ours.spec)?).await;
    let refused = format!("{:#}", refused.err().context("the definition can be applied")?);
    ensure!(refused.contains("spec.preserveUnknownFields: Invalid value: true"), "{refused}");
    replace(cx, ours).await?;

    let _processes = cx.both().await?;
    let mut pods = Vec::new();
    for job in &jobs {
        pods.push(job.pods_other_than(&old).await?);
        job.until_completed("0/3").await?;
    }
    crate::test::settle().await;
    for (job, pods) in jobs.iter().zip(pods) {
        job.until_completed("0/3").await?;
        log_done(pods)?;
        job.until_gone().await?;
    }
    Ok(())
}

/// Brings the definition into the state of one that an API has made that Kubernetes 1.22 has removed: that it
/// keeps unknown fields cannot be written by any other.
async fn define_as_the_first(cx: &Test) -> Result<()> {
    merge(&cx.all::<CustomResourceDefinition>(), DEFINITION, json!({"spec": first()})).await?;
    let keeps = |stored: &str| {
        stored.replace(r#""preserveUnknownFields":false"#, r#""preserveUnknownFields":true"#)
    };
    cx.cluster.control_plane.rewrite(&format!("{KEY}/{DEFINITION}"), keeps).await?;
    let is_old = |definition: &CustomResourceDefinition| {
        definition.spec.preserve_unknown_fields == Some(true)
    };
    cx.wait().object(cx.all(), DEFINITION, "as the first one was", is_old).await?;
    let mut lacks_args = manifest("probe").json()["spec"].clone();
    lacks_args.as_object_mut().context("a spec")?.remove("args");
    let is_in_force = async || Ok(cx.dry_run(&lacks_args).await.is_err());
    cx.until("the first schema is in force", is_in_force).await
}

/// Replaces the definition as a whole.
async fn replace(cx: &Test, ours: &CustomResourceDefinition) -> Result<()> {
    let mut ours = ours.clone();
    ours.metadata.managed_fields = None;
    let definitions = cx.all::<CustomResourceDefinition>();
    ours.metadata.resource_version = definitions.get(DEFINITION).await?.resource_version();
    ours.status = None;
    definitions.replace(DEFINITION, &PostParams::default(), &ours).await?;
    Ok(())
}

/// Makes the DaemonSet of a Job as the first implementation did.
async fn create_daemon_set(cx: &Test, job: &TestJob<'_>) -> Result<()> {
    let owner: Job = job.get().await?;
    let set = job.daemon_set_name();
    let labels = json!({"daemonset": set, "job": job.name, "daemonset-job": "true"});
    let set = json!({
        "metadata": {"name": set, "ownerReferences": [owner.controller_owner_ref(&())]},
        "spec": {
            "selector": {"matchLabels": {"daemonset": set}},
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "containers": [{
                        "name": api::labels::JOB_CONTAINER,
                        "image": owner.spec.image,
                        "args": owner.spec.args,
                        "volumeMounts": [{"name": "basetarget", "mountPath": "/basetarget"}],
                    }],
                    "volumes": [{
                        "name": "basetarget",
                        "hostPath": {"path": owner.spec.mount_path},
                    }],
                },
            },
        },
    });
    cx.create::<DaemonSet>(set).await?;
    Ok(())
}
