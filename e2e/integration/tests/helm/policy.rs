//! The admission policy of the chart, enforced by the API server.

use anyhow::{Result, bail, ensure};
use api::job::Job;
use k8s_openapi::api::admissionregistration::v1::{
    ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding,
};
use kube::ResourceExt as _;
use kube::api::{DeleteParams, PostParams};
use serde_json::{Value, json};

use super::{Helm, NAMESPACE, of_kind};
use crate::admission::{
    decides, delete_policy, refusal, scope, until_refused, warnings, with_pod, with_template,
};
use crate::job::manifest;
use crate::test::{Test, merge, shared_test};

const PATHS: &str = "a directory of the node is not one of: /tmp, /opt//jobs/**";

/// The policy of the chart with these values, for the test's namespace.
async fn rendered(
    cx: &Test,
    values: &[&str],
) -> Result<(ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding)> {
    let options = ["--set", "policy.admission.enabled=true"];
    let options: Vec<_> = options.iter().chain(values).copied().collect();
    let mut objects = Helm::new()?.template(NAMESPACE, &options).await?;
    // The other policy confines the operator.
    objects.retain(|object| !object.name_any().ends_with("-pods"));
    let ([policy], [binding]) = (
        &of_kind(&objects, "ValidatingAdmissionPolicy")[..],
        &of_kind(&objects, "ValidatingAdmissionPolicyBinding")[..],
    ) else {
        bail!("not one policy and binding");
    };
    let (mut policy, mut binding) =
        ((*policy).clone().try_parse()?, (*binding).clone().try_parse()?);
    scope(cx, &mut policy, &mut binding);
    Ok((policy, binding))
}

fn mounted(path: &str) -> Value {
    json!({"image": "x", "mountPath": path})
}

/// The Job's own container, or an init container, with these fields.
fn with_container(list: &str, fields: &Value) -> Value {
    let mut container = fields.clone();
    container["name"] = json!("job-container");
    with_pod(json!({list: [container]}))
}

fn allowed() -> Vec<Value> {
    let volume = |source| with_pod(json!({"volumes": [source]}));
    vec![
        json!({"image": "x"}),
        json!({"image": "x", "mountPath": null, "template": null}),
        mounted("/tmp"),
        mounted("/tmp/"),
        mounted("/opt/jobs"),
        mounted("/opt/./jobs/a/b"),
        with_template(json!({"metadata": null, "spec": null})),
        with_template(json!({"metadata": {"annotations": {"a": "b"}}})),
        with_pod(
            json!({"hostPID": false, "serviceAccountName": "default", "securityContext": null}),
        ),
        with_pod(
            json!({"securityContext": {"runAsUser": 0, "seccompProfile": {"type": "RuntimeDefault"}}}),
        ),
        with_pod(json!({"imagePullSecrets": [{"name": "registry"}]})),
        volume(json!({"name": "a", "emptyDir": {}})),
        volume(json!({"name": "secret", "configMap": {"name": "secret"}})),
        volume(json!({"name": "a", "hostPath": {"path": "/tmp"}})),
        with_container(
            "containers",
            &json!({
                "env": [
                    {"name": "secret", "value": "x"},
                    {"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
                ],
                "ports": [{"containerPort": 80}],
                "livenessProbe": {"httpGet": {"port": 80}},
                "securityContext": {"capabilities": {"add": ["CHOWN"], "drop": ["ALL"]}},
            }),
        ),
    ]
}

/// A spec, and the words of the policy about it: the same as in the tests of the operator's own policy.
fn forbidden() -> Vec<(Value, &'static str)> {
    let mut forbidden = Vec::new();
    for path in ["/", "/opt", "/opt/jobsx", "/tmp/a"] {
        forbidden.push((mounted(path), PATHS));
    }
    let volume = |source| with_pod(json!({"volumes": [source]}));
    for path in ["/etc", "/opt/jobs/../..", "/opt/jobs/a\\..\\..", "tmp"] {
        forbidden.push((volume(json!({"name": "a", "hostPath": {"path": path}})), PATHS));
    }
    let [host, privileged, secrets, account] =
        ["HostNamespaces", "Privileged", "Secrets", "ServiceAccount"];
    let of_pods = [
        (json!({"hostNetwork": true}), host),
        (json!({"hostPID": true}), host),
        (json!({"hostIPC": true}), host),
        (json!({"securityContext": {"seccompProfile": {"type": "Unconfined"}}}), privileged),
        (json!({"securityContext": {"seLinuxOptions": {"type": "spc_t"}}}), privileged),
        (json!({"securityContext": {"windowsOptions": {"hostProcess": true}}}), privileged),
        (json!({"securityContext": {"sysctls": [{"name": "a", "value": "1"}]}}), privileged),
        (json!({"serviceAccountName": "admin"}), account),
        (json!({"serviceAccount": "admin"}), account),
    ];
    forbidden.extend(of_pods.map(|(pod, feature)| (with_pod(pod), feature)));
    let of_volumes = [
        json!({"name": "v", "secret": {"secretName": "s"}}),
        json!({"name": "v", "projected": {"sources": [{"secret": {"name": "s"}}]}}),
        json!({"name": "v", "csi": {"driver": "d", "nodePublishSecretRef": {"name": "s"}}}),
        json!({"name": "v", "cephfs": {"secretRef": {"name": "s"}}}),
    ];
    forbidden.extend(of_volumes.map(|source| (volume(source), secrets)));
    let of_containers = [
        (json!({"ports": [{"containerPort": 1}, {"containerPort": 2, "hostPort": 2}]}), host),
        (json!({"livenessProbe": {"httpGet": {"host": "127.0.0.1", "port": 1}}}), host),
        (json!({"lifecycle": {"preStop": {"tcpSocket": {"host": "127.0.0.1", "port": 1}}}}), host),
        (json!({"securityContext": {"privileged": true}}), privileged),
        (json!({"securityContext": {"capabilities": {"add": ["SYS_ADMIN"]}}}), privileged),
        (json!({"securityContext": {"procMount": "Unmasked"}}), privileged),
        (json!({"securityContext": {"appArmorProfile": {"type": "Unconfined"}}}), privileged),
        (json!({"envFrom": [{"secretRef": {"name": "s"}}]}), secrets),
        (
            json!({"env": [{"name": "V", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]}),
            secrets,
        ),
    ];
    for (fields, feature) in of_containers {
        for list in ["containers", "initContainers"] {
            forbidden.push((with_container(list, &fields), feature));
        }
    }
    let unconfined = json!({"container.apparmor.security.beta.kubernetes.io/a": "unconfined"});
    forbidden.push((with_template(json!({"metadata": {"annotations": unconfined}})), privileged));
    forbidden
}

#[apply(shared_test)]
async fn policy_of_the_chart_refuses_what_the_operator_would_refuse(cx: &Test) -> Result<()> {
    let paths = ["--set", "policy.allowedHostPaths={/tmp,/opt//jobs/**}"];
    let features = ["--set-json", "policy.allowedPodFeatures=[]"];
    let (policy, binding) = rendered(cx, &[paths, features].concat()).await?;
    let warnings = warnings(cx, &policy).await?;
    ensure!(warnings.is_empty(), "{warnings:?}");
    let older = cx.apply(&manifest("older").mount("/")).await?;
    decides(cx, &binding, &mounted("/"), allowed(), forbidden()).await?;

    // Only the spec counts: the garbage collector takes its finalizer from an older Job.
    let jobs = older.api::<Job>();
    merge(&jobs, "older", json!({"metadata": {"labels": {"a": "b"}}})).await?;
    jobs.delete("older", &DeleteParams::foreground()).await?;
    older.until_gone().await?;
    delete_policy(cx).await
}

#[apply(shared_test)]
async fn annotations_of_a_namespace_count_in_place_of_the_values(cx: &Test) -> Result<()> {
    let (policy, binding) = rendered(cx, &["--set", "policy.allowedHostPaths={/tmp}"]).await?;
    let params = PostParams::default();
    cx.all().create(&params, &policy).await?;
    cx.all().create(&params, &binding).await?;
    let (path, feature) = (mounted("/var"), with_pod(json!({"hostPID": true})));
    until_refused(cx, &path, true).await?;
    ensure!(refusal(cx, &feature).await?.is_none());

    let annotations = json!({
        "daemonset.darkowlzz.space/allowed-host-paths": "/opt, /var/**",
        "daemonset.darkowlzz.space/allowed-pod-features": "Secrets, Privileged",
    });
    cx.annotate_namespace(annotations).await?;
    until_refused(cx, &path, false).await?;
    until_refused(cx, &mounted("/tmp"), true).await?;
    ensure!(refusal(cx, &feature).await?.is_some());
    let privileged = json!({"securityContext": {"privileged": true}});
    ensure!(refusal(cx, &with_container("containers", &privileged)).await?.is_none());
    delete_policy(cx).await
}
