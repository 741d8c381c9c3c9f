//! What users get for Jobs that cannot be.

mod turns;

use anyhow::{Context as _, Result, ensure};
use api::job::Job;
use api::job::conditions::FAILED;
use harness::job_builder::JobBuilder;
use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{ListParams, Patch, PatchParams};
use kube::{Api, ResourceExt as _};
use serde_json::{Value, json};

use crate::job::manifest;
use crate::test::{Test, alone, settle, shared};

/// As in [`refused_at_apply`].
type Refused = (&'static str, Value, &'static str, &'static str);

/// A field, a bad value for it, the path that `kubectl apply` names, and what it says of the value.
fn refused_at_apply() -> Vec<Refused> {
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
            "must be Always: pods of a DaemonSet are always restarted",
        ),
        (
            "template",
            json!({"spec": {"restartPolicy": "OnFailure"}}),
            "spec.template.spec.restartPolicy",
            "must be Always",
        ),
        (
            "template",
            json!({"spec": {"nodeName": 1}}),
            "spec.template.spec.nodeName",
            "type string",
        ),
        ("template", json!({"metadata": "a"}), "spec.template.metadata", "type object"),
        ("template", json!({"spec": "a"}), "spec.template.spec", "type object"),
        ("mountPath", json!("../tmp"), "spec.mountPath", "must be an absolute path"),
        ("mountPath", json!(["/tmp"]), "spec.mountPath", "type string"),
        ("args", json!([["a"]]), "spec.args[0]", "type string"),
        ("completionMode", json!("exitcode"), "spec.completionMode", "\"ExitCode\""),
        ("completionMode", json!(""), "spec.completionMode", "\"ExitCode\""),
        ("ttlSecondsAfterFinished", json!("1h"), "spec.ttlSecondsAfterFinished", "type integer"),
        ("maxFailedNodes", json!("10%"), "spec.maxFailedNodes", "type integer"),
        (
            "template",
            json!({"spec": {"nodeName": "worker-1"}}),
            "spec.template.spec.nodeName",
            "must not be set: the DaemonSet gives each node a pod",
        ),
        (
            "template",
            json!({"spec": {"readinessGates": [{"conditionType": "a"}]}}),
            "spec.template.spec.readinessGates",
            "must not be set: a pod of a Job is ready when its work is done",
        ),
        (
            "template",
            json!({"spec": {"schedulingGates": [{"name": "daemonset.darkowlzz.space/turn"}]}}),
            "spec.template.spec.schedulingGates",
            "belongs to the operator",
        ),
        ("suspend", json!("yes"), "spec.suspend", "type boolean"),
    ]
    .into_iter()
    .chain(turns::refused_at_apply())
    .collect()
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
            "spec.template.spec.restartPolicy: must be Always: pods of a DaemonSet are always \
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
            "our-gate",
            json!({
                "image": "x",
                "template": {"spec": {"schedulingGates": [{"name": "daemonset.darkowlzz.space/turn"}]}},
            }),
            "spec.template.spec.schedulingGates: must not be set: what begins with \
             daemonset.darkowlzz.space belongs to the operator",
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

/// A template that the schema lets in, the field that the condition names, and what it says of the value.
fn refused_templates() -> Vec<(Value, &'static str, &'static str)> {
    let pod = |spec: Value| json!({"spec": spec});
    let container = |fields: Value| {
        let mut container = json!({"name": "job-container"});
        container.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        json!({"spec": {"containers": [container]}})
    };
    let limits = |limits: Value| container(json!({"resources": {"limits": limits}}));
    let volume = |source: Value| {
        let mut volume = json!({"name": "v"});
        volume.as_object_mut().unwrap().extend(source.as_object().unwrap().clone());
        json!({"spec": {"volumes": [volume]}})
    };
    let twice = |item: Value| json!([item, item]);
    let (one, no_quantity) = ("containers[0]", "quantities must match");
    vec![
        // What is no field of a pod.
        (json!({"sepc": {}}), "spec.template.sepc", "unknown field"),
        (json!({"metadata": {"name": "a"}}), "spec.template.metadata.name", "must not be set"),
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

#[test]
fn each_bad_field_of_a_template_is_named_on_its_job() {
    shared(async |cx| {
        let _processes = cx.both().await?;
        let rows = refused_templates();
        ensure!(rows.len() >= 40, "{}", rows.len());
        for (number, (template, ..)) in rows.iter().enumerate() {
            let manifest = JobBuilder::new(&format!("bad-{number}"), "busybox:1.36");
            let manifest = manifest.template(template.clone());
            cx.apply(&manifest).await.with_context(|| template.to_string())?;
        }
        let mut wrong = Vec::new();
        for (number, (template, field, words)) in rows.iter().enumerate() {
            let failed = failed_condition(cx, &format!("bad-{number}")).await?;
            let message = failed["message"].as_str().unwrap_or_default();
            if failed["reason"] != "InvalidSpec"
                || !message.contains(field)
                || !message.contains(words)
            {
                wrong.push(format!("{template}: {failed}"));
            }
        }
        ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
        let daemon_sets = cx.api::<DaemonSet>().list(&ListParams::default()).await?;
        ensure!(daemon_sets.items.is_empty());
        Ok(())
    });
}

/// Jobs that an older schema let in. Alone, for all tests use one definition.
#[test]
fn bad_job_says_what_is_wrong_with_it_and_holds_up_nothing() {
    alone(async |cx| {
        let strict =
            Api::<CustomResourceDefinition>::all(cx.client.clone()).get(DEFINITION).await?;
        replace_schema(cx, &without_checks(&strict)?).await?;
        let result = verify_bad_jobs(cx).await;
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

async fn verify_bad_jobs(cx: &Test) -> Result<()> {
    let _processes = cx.both().await?;
    let mut bad = Vec::new();
    let rows = refused_by_the_operator().into_iter().chain(turns::refused_by_the_operator());
    for (name, spec, message) in rows {
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
        let (reason, reported) = (&failed["reason"], failed["message"].as_str());
        ensure!(reason == "InvalidSpec", "{name}: {failed}");
        ensure!(reported == Some(message), "{name}: {failed}");
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
