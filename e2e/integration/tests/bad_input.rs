//! What users get for Jobs that cannot be.

use anyhow::{Context as _, Result, ensure};
use api::job::Job;
use api::job::conditions::FAILED;
use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{ListParams, Patch, PatchParams};
use kube::{Api, ResourceExt as _};
use serde_json::{Value, json};

use crate::job::manifest;
use crate::test::{Test, alone, settle, shared};

/// A field, a bad value for it, the path that `kubectl apply` names, and what it says of the value.
fn refused_at_apply() -> Vec<(&'static str, Value, &'static str, &'static str)> {
    let ours = "must not be set: it belongs to the operator";
    vec![
        ("image", json!(""), "spec.image", "at least 1 chars"),
        ("image", json!("a b"), "spec.image", "must not contain white space"),
        ("image", json!("a\tb"), "spec.image", "must not contain white space"),
        ("image", json!("a".repeat(1025)), "spec.image", "1024"),
        ("image", Value::Null, "spec.image", "Required value"),
        ("image", json!(3), "spec.image", "must be of type string"),
        ("args", json!("one"), "spec.args", "must be of type array"),
        ("command", json!([1]), "spec.command[0]", "must be of type string"),
        ("mountPath", json!("tmp"), "spec.mountPath", "must be an absolute path"),
        ("mountPath", json!(""), "spec.mountPath", "must be an absolute path"),
        ("mountPath", json!("/tmp/../etc"), "spec.mountPath", "must not contain \"..\""),
        ("mountPath", json!("/.."), "spec.mountPath", "must not contain \"..\""),
        ("mountPath", json!("/".repeat(4097)), "spec.mountPath", "4096"),
        ("terminationWord", json!(""), "spec.terminationWord", "must not be empty"),
        ("terminationWord", json!(" \t"), "spec.terminationWord", "must not be empty"),
        ("terminationWord", json!("a\nb"), "spec.terminationWord", "must be on one line"),
        ("terminationWord", json!("a\rb"), "spec.terminationWord", "must be on one line"),
        ("terminationWord", json!("a".repeat(257)), "spec.terminationWord", "256"),
        ("completionMode", json!("ExitCodes"), "spec.completionMode", "\"ExitCode\""),
        ("backoffLimitPerNode", json!(-1), "spec.backoffLimitPerNode", "equal to 0"),
        ("backoffLimitPerNode", json!(1.5), "spec.backoffLimitPerNode", "must be of type int"),
        ("backoffLimitPerNode", json!(3_000_000_000_i64), "spec.backoffLimitPerNode", "int32"),
        ("maxFailedNodes", json!(-1), "spec.maxFailedNodes", "equal to 0"),
        ("activeDeadlineSeconds", json!(0), "spec.activeDeadlineSeconds", "equal to 1"),
        ("activeDeadlineSeconds", json!("1m"), "spec.activeDeadlineSeconds", "type integer"),
        ("ttlSecondsAfterFinished", json!(-1), "spec.ttlSecondsAfterFinished", "equal to 0"),
        ("template", json!("a pod"), "spec.template", "must be of type object"),
        ("template", json!([]), "spec.template", "must be of type object"),
        ("template", json!({"spec": []}), "spec.template.spec", "must be of type object"),
        (
            "template",
            json!({"metadata": {"labels": {"a": 1}}}),
            "spec.template.metadata.labels.a",
            "must be of type string",
        ),
        (
            "template",
            json!({"metadata": {"labels": {"job": "another"}}}),
            "spec.template.metadata.labels",
            ours,
        ),
        (
            "template",
            json!({"metadata": {"labels": {"daemonset-job": "false"}}}),
            "spec.template.metadata.labels",
            ours,
        ),
        (
            "template",
            json!({"metadata": {"annotations": {"daemonset.darkowlzz.space/work-hash": "a"}}}),
            "spec.template.metadata.annotations",
            "belongs to the operator",
        ),
        (
            "template",
            json!({"spec": {"restartPolicy": "Never"}}),
            "spec.template.spec.restartPolicy",
            "must not be set: pods of a DaemonSet are always restarted",
        ),
        (
            "template",
            json!({"spec": {"nodeName": "worker-1"}}),
            "spec.template.spec.nodeName",
            "must not be set: the DaemonSet gives each node a pod",
        ),
        (
            "template",
            json!({"spec": {"readinessGates": []}}),
            "spec.template.spec.readinessGates",
            "must not be set: a pod of a Job is ready when its work is done",
        ),
    ]
}

#[test]
fn bad_values_are_refused_at_apply_and_nothing_is_created() {
    shared(async |cx| {
        let _processes = cx.both().await?;
        let mut wrong = Vec::new();
        for (field, value, path, words) in refused_at_apply() {
            let mut manifest = manifest("bad").json();
            manifest["spec"][field] = value.clone();
            let row = format!("{field}: {value}");
            match cx.dry_run(&manifest["spec"]).await {
                Err(kube::Error::Api(status)) if status.code == 422 => {
                    if !(status.message.contains(path) && status.message.contains(words)) {
                        wrong.push(format!("{row}: {}", status.message));
                    }
                }
                result => wrong.push(format!("{row}: {result:?}")),
            }
            // Server-side apply finds what is of the wrong type before the schema does.
            match cx.apply(&manifest).await.map(drop) {
                Err(error) if format!("{error:#}").contains(path) => {}
                result => wrong.push(format!("{row}, applied by the server: {result:?}")),
            }
        }
        ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
        settle().await;
        let jobs = cx.api::<Job>().list(&ListParams::default()).await?;
        ensure!(jobs.items.is_empty());
        let daemon_sets = cx.api::<DaemonSet>().list(&ListParams::default()).await?;
        ensure!(daemon_sets.items.is_empty());
        Ok(())
    });
}

/// Values that look wrong, and mean something on a node or in a log.
#[test]
fn odd_values_are_taken() {
    shared(async |cx| {
        let odd = [
            ("image", json!("localhost:5000/a/b@sha256:0123")),
            ("mountPath", json!("/")),
            ("mountPath", json!("/var/lib/..data/a..b/...")),
            ("mountPath", json!("/a//b/./c/")),
            ("terminationWord", json!("  Job done: 100 % ✓ ")),
            ("backoffLimitPerNode", json!(0)),
            ("activeDeadlineSeconds", json!(i64::MAX)),
            ("completionMode", Value::Null),
            ("template", json!({"metadata": {"creationTimestamp": null}, "spec": {"a": null}})),
        ];
        for (field, value) in odd {
            let mut spec = manifest("odd").json()["spec"].clone();
            spec[field] = value.clone();
            cx.dry_run(&spec).await.with_context(|| format!("{field}: {value}"))?;
        }
        Ok(())
    });
}

/// A change of the spec, and the message on the condition.
fn refused_by_the_operator() -> Vec<(&'static str, Value, &'static str)> {
    vec![
        ("empty-image", json!({"image": ""}), "spec.image: must not be empty"),
        (
            "relative",
            json!({"image": "x", "mountPath": "tmp"}),
            "spec.mountPath: must be an absolute path: \"tmp\"",
        ),
        (
            "dots",
            json!({"image": "x", "mountPath": "/tmp/../etc"}),
            "spec.mountPath: must not contain \"..\": \"/tmp/../etc\"",
        ),
        (
            "empty-word",
            json!({"image": "x", "terminationWord": ""}),
            "spec.terminationWord: must not be empty",
        ),
        (
            "negative-limit",
            json!({"image": "x", "backoffLimitPerNode": -1}),
            "spec.backoffLimitPerNode: must be at least 0: -1",
        ),
        (
            "no-time",
            json!({"image": "x", "activeDeadlineSeconds": 0}),
            "spec.activeDeadlineSeconds: must be at least 1: 0",
        ),
        (
            "restart-policy",
            json!({"image": "x", "template": {"spec": {"restartPolicy": "Never"}}}),
            "spec.template.spec.restartPolicy: must not be set: pods of a DaemonSet are always \
             restarted",
        ),
        (
            "node-name",
            json!({"image": "x", "template": {"spec": {"nodeName": "worker-1"}}}),
            "spec.template.spec.nodeName: must not be set: the DaemonSet gives each node a pod",
        ),
        (
            "our-label",
            json!({"image": "x", "template": {"metadata": {"labels": {"job": "another"}}}}),
            "spec.template.metadata.labels[job]: must not be set: it belongs to the operator",
        ),
        (
            "two-at-once",
            json!({"image": "", "maxFailedNodes": -2, "ttlSecondsAfterFinished": -3}),
            "spec.image: must not be empty; spec.maxFailedNodes: must be at least 0: -2; \
             spec.ttlSecondsAfterFinished: must be at least 0: -3",
        ),
        (
            "undecodable",
            json!({"image": "x", "args": "one"}),
            "spec.args: invalid type: string \"one\", expected a sequence",
        ),
        (
            "unknown-mode",
            json!({"image": "x", "completionMode": "ExitCodes"}),
            "spec.completionMode: unknown variant `ExitCodes`, expected `TerminationWord` or \
             `ExitCode`",
        ),
    ]
}

pub(crate) const DEFINITION: &str = "jobs.daemonset.darkowlzz.space";

/// Jobs that an older schema let in. Alone, for all tests use one definition.
#[test]
fn bad_job_says_what_is_wrong_with_it_and_holds_up_nothing() {
    alone(async |cx| {
        let strict =
            Api::<CustomResourceDefinition>::all(cx.client.clone()).get(DEFINITION).await?;
        replace_schema(cx, &without_checks(&strict)?).await?;
        let result = judge_bad_jobs(cx).await;
        for job in cx.api::<Job>().list_metadata(&ListParams::default()).await? {
            let request = http::Request::delete(format!(
                "/apis/daemonset.darkowlzz.space/v1beta1/namespaces/{}/jobs/{}",
                cx.namespace,
                job.name_any()
            ));
            cx.client.request::<Value>(request.body(Vec::new())?).await?;
        }
        replace_schema(cx, &serde_json::to_value(&strict.spec)?).await?;
        refuses(cx).await?;
        result
    });
}

async fn judge_bad_jobs(cx: &Test) -> Result<()> {
    let _processes = cx.both().await?;
    let mut bad = Vec::new();
    for (name, spec, message) in refused_by_the_operator() {
        let mut manifest = manifest(name).json();
        manifest["spec"] = spec;
        apply_once_accepted(cx, &manifest).await?;
        bad.push((name, message));
    }
    let good = cx.apply(&manifest("good")).await?;
    for pod in good.pods().await? {
        pod.log("done\n")?;
    }
    good.until_gone().await?;
    for (name, message) in bad {
        let failed = failed_condition(cx, name).await?;
        let (reason, told) = (&failed["reason"], failed["message"].as_str());
        ensure!(reason == "InvalidSpec", "{name}: {failed}");
        ensure!(told == Some(message), "{name}: {failed}");
    }
    let daemon_sets = cx.api::<DaemonSet>().list(&ListParams::default()).await?;
    ensure!(daemon_sets.items.is_empty());
    Ok(())
}

/// The new schema takes a moment until it is in force.
pub(crate) async fn apply_once_accepted(cx: &Test, manifest: &Value) -> Result<()> {
    for _ in 0..100 {
        match apply_raw(cx, manifest).await {
            Err(kube::Error::Api(status)) if status.code == 422 => {}
            result => return Ok(result?),
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    anyhow::bail!("the loose schema does not come into force")
}

/// As above, for the way back. A Job that is stored would do as it is.
pub(crate) async fn refuses(cx: &Test) -> Result<()> {
    for _ in 0..100 {
        match cx.dry_run(&json!({"image": ""})).await {
            Err(kube::Error::Api(status)) if status.code == 422 => return Ok(()),
            result => result?,
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    anyhow::bail!("the strict schema does not come into force")
}

/// Applies what need not be a Job to us.
async fn apply_raw(cx: &Test, manifest: &Value) -> kube::Result<()> {
    let api: Api<kube::api::PartialObjectMeta<Job>> =
        Api::namespaced(cx.client.clone(), &cx.namespace);
    let name = manifest["metadata"]["name"].as_str().unwrap_or_default();
    let params = PatchParams::apply("a-user").force();
    api.patch(name, &params, &Patch::Apply(manifest)).await?;
    Ok(())
}

/// The condition `Failed` of what need not be a Job to us.
pub(crate) async fn failed_condition(cx: &Test, name: &str) -> Result<Value> {
    let path =
        format!("/apis/daemonset.darkowlzz.space/v1beta1/namespaces/{}/jobs/{name}", cx.namespace);
    let mut last = Value::Null;
    for _ in 0..100 {
        let request = http::Request::get(&path).body(Vec::new())?;
        last = cx.client.request(request).await?;
        let conditions = last["status"]["conditions"].as_array();
        let failed = conditions
            .into_iter()
            .flatten()
            .find(|condition| condition["type"] == FAILED && condition["status"] == "True");
        if let Some(failed) = failed {
            return Ok(failed.clone());
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    anyhow::bail!("{name} is not Failed: {last}")
}

/// The definition's spec with a schema that lets everything in.
pub(crate) fn without_checks(definition: &CustomResourceDefinition) -> Result<Value> {
    let mut spec = serde_json::to_value(&definition.spec)?;
    let properties =
        spec.pointer_mut("/versions/0/schema/openAPIV3Schema/properties").context("a schema")?;
    properties["spec"] = json!({
        "type": "object",
        "x-kubernetes-preserve-unknown-fields": true,
    });
    Ok(spec)
}

pub(crate) async fn replace_schema(cx: &Test, spec: &Value) -> Result<()> {
    let definitions: Api<CustomResourceDefinition> = Api::all(cx.client.clone());
    let patch = json!({"spec": {"versions": spec["versions"]}});
    definitions.patch(DEFINITION, &PatchParams::default(), &Patch::Merge(patch)).await?;
    Ok(())
}
