//! What users get for Jobs that cannot be.

mod turns;

use anyhow::{Context as _, Result, ensure};
use api::job::Job;
use api::job::conditions::FAILED;
use harness::job_builder::JobBuilder;
use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Api;
use kube::api::{ApiResource, DynamicObject, Patch, PatchParams};
use serde_json::{Value, json};

use crate::job::manifest;
use crate::test::{Test, merge, settle, shared_test};

/// The path that `kubectl apply` names, a bad value for its field of the spec, and the words about it.
type Refused = (&'static str, Value, &'static str);

fn refused_at_apply() -> Vec<Refused> {
    let ours = "must not be set: it belongs to the operator";
    vec![
        ("spec.image", json!(""), "at least 1 chars"),
        ("spec.image", json!("a b"), "must not contain white space"),
        ("spec.image", json!("a\tb"), "must not contain white space"),
        ("spec.image", json!("a".repeat(1025)), "1024"),
        ("spec.image", Value::Null, "Required value"),
        ("spec.image", json!(3), "must be of type string"),
        ("spec.args", json!("one"), "must be of type array"),
        ("spec.command[0]", json!([1]), "must be of type string"),
        ("spec.mountPath", json!("tmp"), "must be an absolute path"),
        ("spec.mountPath", json!(""), "must be an absolute path"),
        ("spec.mountPath", json!("/tmp/../etc"), "must not contain \"..\""),
        ("spec.mountPath", json!("/.."), "must not contain \"..\""),
        ("spec.mountPath", json!("/".repeat(4097)), "4096"),
        ("spec.terminationWord", json!(""), "must not be empty"),
        ("spec.terminationWord", json!(" \t"), "must not be empty"),
        ("spec.terminationWord", json!("a\nb"), "must be on one line"),
        ("spec.terminationWord", json!("a\rb"), "must be on one line"),
        ("spec.terminationWord", json!("a".repeat(257)), "256"),
        ("spec.completionMode", json!("ExitCodes"), "\"ExitCode\""),
        ("spec.backoffLimitPerNode", json!(-1), "equal to 0"),
        ("spec.backoffLimitPerNode", json!(1.5), "must be of type int"),
        ("spec.backoffLimitPerNode", json!(3_000_000_000_i64), "int32"),
        ("spec.maxFailedNodes", json!(-1), "equal to 0"),
        ("spec.activeDeadlineSeconds", json!(0), "equal to 1"),
        ("spec.activeDeadlineSeconds", json!("1m"), "type integer"),
        ("spec.ttlSecondsAfterFinished", json!(-1), "equal to 0"),
        ("spec.template", json!("a pod"), "must be of type object"),
        ("spec.template", json!([]), "must be of type object"),
        ("spec.template.spec", json!({"spec": []}), "must be of type object"),
        (
            "spec.template.metadata.labels.a",
            json!({"metadata": {"labels": {"a": 1}}}),
            "must be of type string",
        ),
        (
            "spec.template.metadata.labels",
            json!({"metadata": {"labels": {"job": "another"}}}),
            ours,
        ),
        (
            "spec.template.metadata.labels",
            json!({"metadata": {"labels": {"daemonset-job": "false"}}}),
            ours,
        ),
        (
            "spec.template.metadata.annotations",
            json!({"metadata": {"annotations": {"daemonset.darkowlzz.space/work-hash": "a"}}}),
            "belongs to the operator",
        ),
        (
            "spec.template.spec.restartPolicy",
            json!({"spec": {"restartPolicy": "Never"}}),
            "must be Always: pods of a DaemonSet are always restarted",
        ),
        (
            "spec.template.spec.restartPolicy",
            json!({"spec": {"restartPolicy": "OnFailure"}}),
            "must be Always",
        ),
        ("spec.template.spec.nodeName", json!({"spec": {"nodeName": 1}}), "type string"),
        ("spec.template.metadata", json!({"metadata": "a"}), "type object"),
        ("spec.template.spec", json!({"spec": "a"}), "type object"),
        ("spec.mountPath", json!("../tmp"), "must be an absolute path"),
        ("spec.mountPath", json!(["/tmp"]), "type string"),
        ("spec.args[0]", json!([["a"]]), "type string"),
        ("spec.completionMode", json!("exitcode"), "\"ExitCode\""),
        ("spec.completionMode", json!(""), "\"ExitCode\""),
        ("spec.ttlSecondsAfterFinished", json!("1h"), "type integer"),
        ("spec.maxFailedNodes", json!("10%"), "type integer"),
        (
            "spec.template.spec.nodeName",
            json!({"spec": {"nodeName": "worker-1"}}),
            "must not be set: the DaemonSet gives each node a pod",
        ),
        (
            "spec.template.spec.readinessGates",
            json!({"spec": {"readinessGates": [{"conditionType": "a"}]}}),
            "must not be set: a pod of a Job is ready when its work is done",
        ),
        (
            "spec.template.spec.schedulingGates",
            json!({"spec": {"schedulingGates": [{"name": "daemonset.darkowlzz.space/turn"}]}}),
            "belongs to the operator",
        ),
        ("spec.suspend", json!("yes"), "type boolean"),
    ]
    .into_iter()
    .chain(turns::refused_at_apply())
    .collect()
}

#[apply(shared_test)]
async fn bad_values_are_refused_at_apply_and_nothing_is_created(cx: &Test) -> Result<()> {
    let _processes = cx.both().await?;
    let mut wrong = Vec::new();
    for (path, value, words) in refused_at_apply() {
        let mut manifest = manifest("bad").json();
        let field = path.split(['.', '[']).nth(1).context("a field")?;
        manifest["spec"][field] = value.clone();
        let row = format!("{path}: {value}");
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
    ensure!(cx.has_none::<Job>().await? && cx.has_none::<DaemonSet>().await?);
    Ok(())
}

/// Values that look wrong, and mean something on a node or in a log.
#[apply(shared_test)]
async fn odd_values_are_taken(cx: &Test) -> Result<()> {
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
        ("template", json!({"spec": {"restartPolicy": "Always", "nodeName": ""}})),
        ("template", json!({"spec": {"restartPolicy": null, "readinessGates": []}})),
        ("template", json!({"spec": {"schedulingGates": [{"name": "example.com/quota"}]}})),
        ("template", json!({"spec": {"schedulingGates": null}})),
        ("template", json!({"spec": {"schedulingGates": [{"name": null}, {}]}})),
        ("parallelism", json!(0)),
        ("parallelism", json!(i32::MAX)),
        ("parallelism", json!("0%")),
        ("parallelism", json!("100%")),
        ("parallelism", Value::Null),
        ("minReadySeconds", json!(i32::MAX)),
        ("order", json!([{}])),
        ("order", json!([{"matchLabels": {"a": ""}}, {"matchExpressions": []}])),
        ("order", Value::Null),
        ("windows", json!([{"schedule": "@daily", "durationSeconds": i64::MAX}])),
        ("suspend", Value::Null),
        ("completionPolicy", Value::Null),
    ];
    for (field, value) in odd {
        let mut spec = manifest("odd").json()["spec"].clone();
        spec[field] = value.clone();
        cx.dry_run(&spec).await.with_context(|| format!("{field}: {value}"))?;
    }
    Ok(())
}

pub(crate) const DEFINITION: &str = "jobs.daemonset.darkowlzz.space";

/// A template that the schema lets in, the field that the condition names, and what it says of the value.
fn refused_templates() -> Vec<(Value, &'static str, &'static str)> {
    let pod = |spec: Value| json!({"spec": spec});
    let named = |mut fields: Value, name: &str| {
        fields["name"] = json!(name);
        json!([fields])
    };
    let container = |fields| json!({"spec": {"containers": named(fields, "job-container")}});
    let limits = |limits: Value| container(json!({"resources": {"limits": limits}}));
    let volume = |source| json!({"spec": {"volumes": named(source, "v")}});
    let twice = |item: Value| json!([item, item]);
    let (one, no_quantity) = ("containers[0]", "quantities must match");
    vec![
        // What is no field of a pod.
        (json!({"sepc": {}}), "spec.template.sepc", "unknown field"),
        (json!({"metadata": {"nmae": "a"}}), "spec.template.metadata.nmae", "unknown field"),
        (json!({"metadata": {"finalizers": ["a/b"]}}), "metadata.finalizers", "must not be set"),
        (pod(json!({"hostPid": true})), "spec.hostPid", "unknown field"),
        (pod(json!({"nodeSelectr": {}})), "spec.nodeSelectr", "unknown field"),
        (container(json!({"imge": "a"})), "containers[0].imge", "unknown field"),
        (container(json!({"resources": {"limit": {}}})), "resources.limit", "unknown field"),
        // What has another type.
        (pod(json!({"hostPID": "yes"})), "spec.hostPID", "\"yes\""),
        (pod(json!({"tolerations": {}})), "spec.tolerations", "sequence"),
        (
            pod(json!({"terminationGracePeriodSeconds": "30"})),
            "terminationGracePeriodSeconds",
            "\"30\"",
        ),
        (container(json!({"env": [{"name": "A", "value": 1}]})), "env[0].value", "`1`"),
        (container(json!({"command": "sh"})), "containers[0].command", "\"sh\""),
        (container(json!({"securityContext": {"runAsUser": "0"}})), "runAsUser", "\"0\""),
        (container(json!({"ports": [{"containerPort": "http"}]})), "containerPort", "\"http\""),
        // What is no quantity.
        (limits(json!({"memory": "64MB"})), "containers[0].resources.limits.memory", "\"64MB\""),
        (limits(json!({"memory": "6GiB"})), "limits.memory", no_quantity),
        (limits(json!({"cpu": "1,5"})), "limits.cpu", "\"1,5\""),
        (limits(json!({"cpu": ""})), "limits.cpu", "\"\""),
        (limits(json!({"cpu": "100 m"})), "limits.cpu", "\"100 m\""),
        (limits(json!({"cpu": true})), "limits.cpu", "true"),
        (
            container(json!({"resources": {"requests": {"cpu": "half"}}})),
            "requests.cpu",
            "\"half\"",
        ),
        (
            volume(json!({"emptyDir": {"sizeLimit": "1GB"}})),
            "volumes[0].emptyDir.sizeLimit",
            "\"1GB\"",
        ),
        // Keys that are twice in a list.
        (container(json!({"env": twice(json!({"name": "A"}))})), "containers[0].env[1]", "\"A\""),
        (
            container(json!({"ports": twice(json!({"containerPort": 80}))})),
            "ports[1]",
            "80, \"TCP\"",
        ),
        (
            container(json!({"volumeMounts": twice(json!({"name": "v", "mountPath": "/v"}))})),
            "volumeMounts[1]",
            "\"/v\"",
        ),
        (pod(json!({"volumes": twice(json!({"name": "v"}))})), "volumes[1]", "\"v\""),
        (pod(json!({"containers": twice(json!({"name": "c"}))})), "containers[1]", "\"c\""),
        (pod(json!({"initContainers": twice(json!({"name": "c"}))})), "initContainers[1]", "\"c\""),
        (
            pod(json!({"imagePullSecrets": twice(json!({"name": "s"}))})),
            "imagePullSecrets[1]",
            "\"s\"",
        ),
        (
            pod(json!({"hostAliases": twice(json!({"ip": "1.2.3.4"}))})),
            "hostAliases[1]",
            "\"1.2.3.4\"",
        ),
        // What the API server refuses in the DaemonSet, in its words.
        (
            container(json!({"imagePullPolicy": "Sometimes"})),
            one,
            "Unsupported value: \"Sometimes\"",
        ),
        (container(json!({"ports": [{"containerPort": 70000}]})), one, "70000"),
        (container(json!({"env": [{"name": "A=B"}]})), one, "\"A=B\""),
        (container(json!({"volumeMounts": [{"name": "x", "mountPath": "/x"}]})), one, "\"x\""),
        (limits(json!({"cpu": "-1"})), one, "must be greater than or equal to 0"),
        (pod(json!({"dnsPolicy": "Never"})), "dnsPolicy", "Unsupported value: \"Never\""),
        (pod(json!({"nodeSelector": {"a": "b c"}})), "nodeSelector", "\"b c\""),
        (pod(json!({"tolerations": [{"operator": "Is"}]})), "tolerations[0].operator", "\"Is\""),
        (pod(json!({"containers": [{"name": "A_b"}]})), "containers[1].name", "\"A_b\""),
        (
            volume(json!({"emptyDir": {}, "hostPath": {"path": "/"}})),
            "volumes[0]",
            "more than 1 volume type",
        ),
        (json!({"metadata": {"labels": {"a": "b c"}}}), "spec.template.labels", "\"b c\""),
    ]
}

#[apply(shared_test)]
async fn each_bad_field_that_the_schema_lets_in_is_named_on_its_job(cx: &Test) -> Result<()> {
    let _processes = cx.both().await?;
    let templates = refused_templates().into_iter();
    let templates = templates.map(|(bad, field, words)| (json!({"template": bad}), field, words));
    let rows: Vec<_> = templates.chain(turns::refused_windows()).collect();
    ensure!(rows.len() >= 48, "{}", rows.len());
    for (number, (fields, ..)) in rows.iter().enumerate() {
        cx.apply(&with_fields(&format!("bad-{number}"), fields)).await?;
    }
    let mut wrong = Vec::new();
    for (number, (fields, field, words)) in rows.iter().enumerate() {
        let failed = failed_condition(cx, &format!("bad-{number}")).await?;
        let message = failed["message"].as_str().unwrap_or_default();
        if failed["reason"] != "InvalidSpec" || !message.contains(field) || !message.contains(words)
        {
            wrong.push(format!("{fields}: {failed}"));
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    ensure!(cx.has_none::<DaemonSet>().await?);
    Ok(())
}

/// A Job with these fields in its spec.
pub(crate) fn with_fields(name: &str, fields: &Value) -> Value {
    let mut manifest = JobBuilder::new(name, "busybox:1.36").json();
    for (field, value) in fields.as_object().into_iter().flatten() {
        manifest["spec"][field] = value.clone();
    }
    manifest
}

/// The new schema takes a moment until it is in force.
pub(crate) async fn apply_once_accepted(cx: &Test, manifest: &Value) -> Result<()> {
    cx.until("the loose schema is in force", async || apply_raw(cx, manifest).await.map(|()| true))
        .await
}

/// As above, for the way back. A Job that is stored would do as it is.
pub(crate) async fn refuses(cx: &Test) -> Result<()> {
    let is_refused = async || match cx.dry_run(&json!({"image": ""})).await {
        Err(kube::Error::Api(status)) if status.code == 422 => Ok(true),
        result => Ok(result.map(|()| false)?),
    };
    cx.until("the strict schema is in force", is_refused).await
}

/// The Jobs of the test's namespace, which need not be Jobs to us.
pub(crate) fn untyped(cx: &Test) -> Api<DynamicObject> {
    Api::namespaced_with(cx.client.clone(), &cx.namespace, &ApiResource::erase::<Job>(&()))
}

/// Applies what need not be a Job to us.
async fn apply_raw(cx: &Test, manifest: &Value) -> Result<()> {
    let name = manifest["metadata"]["name"].as_str().unwrap_or_default();
    let params = PatchParams::apply("a-user").force();
    untyped(cx).patch(name, &params, &Patch::Apply(manifest)).await?;
    Ok(())
}

/// The condition `Failed` of what need not be a Job to us.
pub(crate) async fn failed_condition(cx: &Test, name: &str) -> Result<Value> {
    let failed = |job: &DynamicObject| {
        let conditions = job.data["status"]["conditions"].as_array().into_iter().flatten();
        conditions.clone().find(|it| it["type"] == FAILED && it["status"] == "True").cloned()
    };
    let has_failed = |job: &DynamicObject| failed(job).is_some();
    let job = cx.wait().object(untyped(cx), name, "failed", has_failed).await?;
    failed(&job).context("just seen")
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
    let definitions = cx.all::<CustomResourceDefinition>();
    merge(&definitions, DEFINITION, json!({"spec": {"versions": spec["versions"]}})).await?;
    Ok(())
}
