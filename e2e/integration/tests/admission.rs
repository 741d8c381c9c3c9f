//! The example of an admission policy, enforced by the API server.

use anyhow::{Context as _, Result, ensure};
use api::job::Job;
use harness::paths;
use k8s_openapi::api::admissionregistration::v1::{
    ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding, Validation,
};
use k8s_openapi::api::core::v1::Namespace;
use kube::ResourceExt as _;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::job::manifest;
use crate::test::{Test, merge, shared_test};

/// What the label of a namespace exempts from the policy.
const TRUSTED: &str = "daemonset.darkowlzz.space/trusted";

/// The policy of `deploy/admission` for the test's namespace.
fn shipped(cx: &Test) -> Result<(ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding)> {
    let path = paths::workspace().join("deploy/admission/host-paths.yaml");
    let text = std::fs::read_to_string(path)?;
    let (policy, binding) = text.split_once("\n---\n").context("a policy and its binding")?;
    let (mut policy, mut binding) =
        (serde_saphyr::from_str(policy)?, serde_saphyr::from_str(binding)?);
    scope(cx, &mut policy, &mut binding);
    Ok((policy, binding))
}

/// Gives a policy the name of the test's namespace, and binds it to that namespace alone.
pub(crate) fn scope(
    cx: &Test,
    policy: &mut ValidatingAdmissionPolicy,
    binding: &mut ValidatingAdmissionPolicyBinding,
) {
    policy.metadata.name = Some(cx.namespace.clone());
    binding.metadata.name = Some(cx.namespace.clone());
    let spec = &mut binding.spec;
    spec.policy_name.clone_from(&cx.namespace);
    let resources = spec.match_resources.get_or_insert_default();
    let selector = resources.namespace_selector.get_or_insert_default();
    let labels = selector.match_labels.get_or_insert_default();
    labels.insert("kubernetes.io/metadata.name".to_owned(), cx.namespace.clone());
}

/// Creates a policy and waits until its types are checked; returns the warnings.
pub(crate) async fn warnings(cx: &Test, policy: &ValidatingAdmissionPolicy) -> Result<Vec<String>> {
    cx.all().create(&PostParams::default(), policy).await?;
    warnings_of(cx, &policy.name_any()).await
}

/// Waits until the types of a policy are checked; returns the warnings.
pub(crate) async fn warnings_of(cx: &Test, policy: &str) -> Result<Vec<String>> {
    let is_checked = |policy: &ValidatingAdmissionPolicy| {
        policy.status.as_ref().is_some_and(|status| {
            status.observed_generation == policy.metadata.generation
                && status.type_checking.is_some()
        })
    };
    let checked = cx.wait().object(cx.all(), policy, "types checked", is_checked).await?;
    let checked = checked.status.and_then(|status| status.type_checking).context("just seen")?;
    let warnings = checked.expression_warnings.into_iter().flatten();
    Ok(warnings.map(|warning| format!("{}: {}", warning.field_ref, warning.warning)).collect())
}

/// What the API server says of a Job with this spec, which it does not store.
pub(crate) async fn refusal(cx: &Test, spec: &Value) -> Result<Option<String>> {
    match cx.dry_run(spec).await {
        Ok(()) => Ok(None),
        Err(kube::Error::Api(status)) => Ok(Some(status.message.clone())),
        Err(error) => Err(error.into()),
    }
}

/// Waits until a Job with this spec is refused, or not any more.
pub(crate) async fn until_refused(cx: &Test, spec: &Value, refused: bool) -> Result<()> {
    let is_so = async || Ok(refusal(cx, spec).await?.is_some() == refused);
    cx.until(&format!("{spec} refused: {refused}"), is_so).await
}

pub(crate) fn with_template(template: Value) -> Value {
    json!({"image": "x", "template": template})
}

pub(crate) fn with_pod(pod: Value) -> Value {
    with_template(json!({"spec": pod}))
}

fn allowed() -> Vec<Value> {
    vec![
        json!({"image": "x"}),
        json!({"image": "x", "mountPath": null, "template": null}),
        json!({"image": "x", "mountPath": "/tmp"}),
        json!({"image": "x", "mountPath": "/opt/jobs"}),
        with_template(json!({"metadata": null, "spec": null})),
        with_template(json!({"metadata": {"labels": {"a": "b"}}})),
        with_pod(json!({"nodeSelector": {"a": "b"}, "tolerations": []})),
        with_pod(json!({"containers": [{"name": "job-container", "resources": {}}]})),
    ]
}

/// A spec, and what the policy says of it.
fn forbidden() -> Vec<(Value, &'static str)> {
    let mut forbidden = vec![
        (json!({"image": "x", "mountPath": "/"}), "spec.mountPath is neither"),
        (json!({"image": "x", "mountPath": "/tmp/link"}), "spec.mountPath is neither"),
        (with_template(json!({"metadata": {"annotations": {"a": "b"}}})), "has annotations"),
        (with_template(json!({"metadata": {"annotations": {}}})), "has annotations"),
    ];
    let of_pods = [
        ("hostNetwork", json!(true)),
        ("hostPID", json!(true)),
        ("hostIPC", json!(true)),
        ("volumes", json!([])),
        ("serviceAccount", json!("admin")),
        ("serviceAccountName", json!("admin")),
        ("securityContext", json!({})),
        ("resourceClaims", json!([])),
    ];
    for (field, value) in of_pods {
        forbidden.push((with_pod(json!({field: value})), "asks for namespaces of the node"));
    }
    let of_containers = [
        ("securityContext", json!({"privileged": true})),
        ("ports", json!([{"containerPort": 80, "hostPort": 80}])),
        ("env", json!([])),
        ("envFrom", json!([])),
        ("lifecycle", json!({})),
        ("livenessProbe", json!({})),
        ("readinessProbe", json!({})),
        ("startupProbe", json!({})),
    ];
    for (field, value) in of_containers {
        for list in ["containers", "initContainers"] {
            let pod = json!({list: [{"name": "b"}, {"name": "a", field: value.clone()}]});
            forbidden.push((with_pod(pod), "a container in spec.template has"));
        }
    }
    forbidden
}

#[apply(shared_test)]
async fn example_policy_has_no_warning_takes_what_it_says_and_refuses_the_rest(
    cx: &Test,
) -> Result<()> {
    let (policy, binding) = shipped(cx)?;
    let reported = warnings(cx, &policy).await?;
    ensure!(reported.is_empty(), "{reported:?}");
    let first = json!({"image": "x", "mountPath": "/"});
    decides(cx, &binding, &first, allowed(), forbidden()).await?;
    is_asked_at_updates_but_not_of_status(cx).await?;

    let trusted = json!({"metadata": {"labels": {TRUSTED: ""}}});
    merge(&cx.all::<Namespace>(), &cx.namespace, trusted).await?;
    until_refused(cx, &first, false).await?;
    delete_policy(cx).await
}

/// Binds a policy that forbids `first`, and sees what it takes and what it says of the rest.
pub(crate) async fn decides(
    cx: &Test,
    binding: &ValidatingAdmissionPolicyBinding,
    first: &Value,
    allowed: Vec<Value>,
    forbidden: Vec<(Value, &str)>,
) -> Result<()> {
    // Not forbidden yet, which makes it certain that what refuses it below is the policy.
    ensure!(refusal(cx, first).await?.is_none());
    cx.all().create(&PostParams::default(), binding).await?;
    until_refused(cx, first, true).await?;
    for spec in allowed {
        let refusal = refusal(cx, &spec).await?;
        ensure!(refusal.is_none(), "{spec}: {refusal:?}");
    }
    for (spec, message) in forbidden {
        let refusal = refusal(cx, &spec).await?.with_context(|| format!("{spec} is taken"))?;
        let is_so = refusal.contains("denied request: ") && refusal.contains(message);
        ensure!(is_so, "{spec}: {refusal}");
    }
    Ok(())
}

/// An edit of a Job is refused as a new one is; the operator's writes are not the policy's matter.
async fn is_asked_at_updates_but_not_of_status(cx: &Test) -> Result<()> {
    let job = cx.apply(&manifest("edited")).await?;
    let error = cx.apply(&manifest("edited").mount("/")).await.err().context("an edit is taken")?;
    let error = format!("{error:#}");
    ensure!(error.contains("spec.mountPath is neither"), "{error}");
    let status = Patch::Merge(json!({"status": {"phase": "Running"}}));
    cx.api::<Job>().patch_status("edited", &PatchParams::default(), &status).await?;
    job.delete().await
}

/// Has the API server deny what does not meet an expression, in the test's namespace.
pub(crate) async fn deny(cx: &Test, what: Value, expression: &str, message: &str) -> Result<()> {
    let mut policy = serde_json::from_value(json!({
        "metadata": {},
        "spec": {
            "matchConstraints": {"resourceRules": [what]},
            "validations": [{"expression": expression, "message": message}],
        },
    }))?;
    let mut binding = serde_json::from_value(json!({
        "metadata": {}, "spec": {"policyName": "", "validationActions": ["Deny"]},
    }))?;
    scope(cx, &mut policy, &mut binding);
    let params = PostParams::default();
    cx.all::<ValidatingAdmissionPolicy>().create(&params, &policy).await?;
    cx.all::<ValidatingAdmissionPolicyBinding>().create(&params, &binding).await?;
    Ok(())
}

pub(crate) async fn delete_policy(cx: &Test) -> Result<()> {
    let params = DeleteParams::default();
    cx.all::<ValidatingAdmissionPolicyBinding>().delete(&cx.namespace, &params).await?;
    cx.all::<ValidatingAdmissionPolicy>().delete(&cx.namespace, &params).await?;
    Ok(())
}

/// So that no warning means something.
#[apply(shared_test)]
async fn policy_that_mistakes_the_schema_is_warned_of(cx: &Test) -> Result<()> {
    let (mut policy, _) = shipped(cx)?;
    let mistakes = ["object.spec.mountPath == 1", "has(object.spec.template.metadata.lables)"];
    let mistakes = mistakes.map(|expression| Validation {
        expression: expression.to_owned(),
        ..Validation::default()
    });
    policy.spec.as_mut().context("a spec")?.validations = Some(mistakes.to_vec());
    let reported = warnings(cx, &policy).await?;
    let policies = cx.all::<ValidatingAdmissionPolicy>();
    policies.delete(&cx.namespace, &DeleteParams::default()).await?;
    ensure!(reported.len() == 2, "{reported:?}");
    ensure!(reported[0].contains("no matching overload"), "{reported:?}");
    ensure!(reported[1].contains("undefined field 'lables'"), "{reported:?}");
    Ok(())
}
