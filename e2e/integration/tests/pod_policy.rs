//! The policy that confines the operator's right to change pods, enforced by the API server.

mod subresources;

use anyhow::{Context as _, Result, bail, ensure};
use api::labels::TURN_GATE;
use k8s_openapi::api::core::v1::{Pod, ServiceAccount};
use k8s_openapi::api::rbac::v1::RoleBinding;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use serde_json::{Value, json};
use testbed::control_plane::Requests;
use testbed::manifests;

use crate::admission::warnings_of;
use crate::test::{Test, shared_test};

/// Name of the policy, and of its binding.
const POLICY: &str = "daemonset-job-pods";

/// A gate that somebody else removes.
const OTHER_GATE: &str = "example.com/other";

/// Media type of a JSON patch.
const JSON_PATCH: &str = "application/json-patch+json";

/// A pod that waits for its node's turn and for somebody else, with these labels.
async fn create_pod(cx: &Test, name: &str, labels: Value) -> Result<Pod> {
    let container = |name: &str| json!({"name": name, "image": "example.com/work:1"});
    let owner = cx.api::<ServiceAccount>().get("default").await?;
    let pod = json!({
        "metadata": {
            "name": name, "labels": labels, "annotations": {"note": "a"},
            "ownerReferences": [owned_by(&owner, false)],
        },
        "spec": {
            "containers": [container("main")],
            "initContainers": [container("first")],
            "nodeSelector": {"disk": "ssd"},
            "affinity": {"nodeAffinity": required(&[in_zones()])},
            "tolerations": [toleration(5)],
            "activeDeadlineSeconds": 600,
            "schedulingGates": [{"name": OTHER_GATE}, {"name": TURN_GATE}],
        },
    });
    cx.create(pod).await
}

fn owned_by(owner: &ServiceAccount, blocks_its_deletion: bool) -> Value {
    json!({
        "apiVersion": "v1", "kind": "ServiceAccount", "blockOwnerDeletion": blocks_its_deletion,
        "name": owner.metadata.name, "uid": owner.metadata.uid,
    })
}

fn toleration(seconds: u32) -> Value {
    json!({
        "key": "example.com/taint", "operator": "Exists", "effect": "NoExecute",
        "tolerationSeconds": seconds,
    })
}

/// A node affinity without which the pod does not run.
fn required(expressions: &[Value]) -> Value {
    let terms = json!([{"matchExpressions": expressions}]);
    json!({"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}})
}

fn in_zones() -> Value {
    json!({"key": "zone", "operator": "In", "values": ["a", "b"]})
}

/// The pods of the test's namespace, for the operator's account.
async fn as_operator(cx: &Test) -> Result<Api<Pod>> {
    let (clients, _) = cx.clients().await?;
    Ok(Api::namespaced(clients.call, &cx.namespace))
}

fn delete(gate: &str) -> Value {
    json!({"$patch": "delete", "name": gate})
}

/// Changes of a pod, each of which the API server takes from an administrator, as strategic merge patches.
///
/// These are all that it leaves open: its `ValidatePodUpdate` names the fields of the spec. One more, a negative grace
/// period that becomes 1, is out of reach, for the API server makes it so as it reads the pod.
/// <https://github.com/kubernetes/kubernetes/blob/v1.37.2/pkg/apis/core/validation/validation.go>
fn changes(pod: &Pod, owner: &ServiceAccount) -> Result<Vec<(&'static str, Value)>> {
    let known = json!(pod.spec.as_ref().context("a spec")?.tolerations);
    let mut more_tolerations = known.clone();
    more_tolerations.as_array_mut().context("tolerations")?.push(json!({"operator": "Exists"}));
    let mut longer = known;
    for known in longer.as_array_mut().context("tolerations")? {
        if known["key"] == toleration(5)["key"] {
            *known = toleration(600);
        }
    }
    let narrower = required(&[in_zones(), json!({"key": "disk", "operator": "Exists"})]);
    let mut preferred = required(&[in_zones()]);
    let term = json!({"matchExpressions": [{"key": "disk", "operator": "Exists"}]});
    preferred["preferredDuringSchedulingIgnoredDuringExecution"] =
        json!([{"weight": 1, "preference": term}]);
    let owner_less = json!({"$patch": "delete", "uid": owner.metadata.uid});
    let image = |name: &str| json!([{"name": name, "image": "example.com/other:1"}]);
    let metadata = |field: &str, value: Value| json!({"metadata": {field: value}});
    let spec = |field: &str, value: Value| json!({"spec": {field: value}});
    let with_turn = |mut change: Value| {
        change["spec"]["schedulingGates"] = json!([delete(TURN_GATE)]);
        change
    };
    Ok(vec![
        ("a new label", metadata("labels", json!({"a": "b"}))),
        ("another value of a label", metadata("labels", json!({"team": "b"}))),
        ("a label less", metadata("labels", json!({"team": null}))),
        ("the label of Jobs' pods less", metadata("labels", json!({"daemonset-job": null}))),
        ("a new annotation", metadata("annotations", json!({"a": "b"}))),
        ("an annotation less", metadata("annotations", json!({"note": null}))),
        ("a finalizer", metadata("finalizers", json!(["example.com/hold"]))),
        ("an owner that blocks", metadata("ownerReferences", json!([owned_by(owner, true)]))),
        ("an owner less", metadata("ownerReferences", json!([owner_less]))),
        ("a prefix of names", metadata("generateName", json!("other-"))),
        ("an image", spec("containers", image("main"))),
        ("an image of an init container", spec("initContainers", image("first"))),
        ("a toleration", spec("tolerations", more_tolerations)),
        ("a longer toleration", spec("tolerations", longer)),
        ("a narrower node selector", spec("nodeSelector", json!({"zone": "a"}))),
        ("a narrower node affinity", spec("affinity", json!({"nodeAffinity": narrower}))),
        ("a preference for nodes", spec("affinity", json!({"nodeAffinity": preferred}))),
        ("a shorter deadline", spec("activeDeadlineSeconds", json!(5))),
        ("the gate of somebody else", spec("schedulingGates", json!([delete(OTHER_GATE)]))),
        ("both gates", spec("schedulingGates", json!([{"$patch": "replace"}]))),
        ("our gate and a label", with_turn(metadata("labels", json!({"a": "b"})))),
        ("our gate and an image", with_turn(spec("containers", image("main")))),
        ("our gate and a node selector", with_turn(spec("nodeSelector", json!({"zone": "a"})))),
    ])
}

/// The policy's message about a patch, which must be why it is refused.
async fn refused(
    pods: &Api<Pod>,
    name: &str,
    params: &PatchParams,
    patch: &Patch<Value>,
) -> Result<String> {
    is_by_policy(pods.patch(name, params, patch).await).with_context(|| format!("{patch:?}"))
}

/// The policy's message in an answer, which must be a refusal by it.
fn is_by_policy(answer: kube::Result<Pod>) -> Result<String> {
    match answer {
        Ok(_) => bail!("it is taken"),
        Err(kube::Error::Api(status)) => {
            let prefix = format!("ValidatingAdmissionPolicy '{POLICY}' with binding '{POLICY}'");
            ensure!(status.message.contains(&prefix), "{}", status.message);
            Ok(status.message.clone())
        }
        Err(error) => Err(error.into()),
    }
}

/// Waits until the API server enforces the policy, which was applied a moment ago.
async fn until_enforced(cx: &Test, pods: &Api<Pod>, name: &str) -> Result<()> {
    let params = PatchParams::default().dry_run();
    let patch = Patch::Merge(json!({"metadata": {"labels": {"a": "b"}}}));
    let is_so = async || Ok(pods.patch(name, &params, &patch).await.is_err());
    cx.until("the policy is enforced", is_so).await
}

fn of_a_job() -> Value {
    json!({"daemonset-job": "true", "team": "a"})
}

#[apply(shared_test)]
async fn operator_may_change_nothing_of_a_pod_but_its_turn_gate(cx: &Test) -> Result<()> {
    let warnings = warnings_of(cx, POLICY).await?;
    ensure!(warnings.is_empty(), "{warnings:?}");
    let pod = create_pod(cx, "waits", of_a_job()).await?;
    let owner = cx.api::<ServiceAccount>().get("default").await?;
    let (admin, operator) = (cx.api::<Pod>(), as_operator(cx).await?);
    until_enforced(cx, &operator, "waits").await?;
    let (params, dry_run) = (PatchParams::default(), PatchParams::default().dry_run());
    for (what, change) in changes(&pod, &owner)? {
        let patch = Patch::Strategic(change);
        // Nothing but the policy refuses it.
        admin.patch("waits", &dry_run, &patch).await.with_context(|| what.to_owned())?;
        refused(&operator, "waits", &params, &patch).await.with_context(|| what.to_owned())?;
    }
    // The other kinds of patches go the same way.
    let label = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "waits", "labels": {"a": "b"}},
    });
    refused(&operator, "waits", &params, &Patch::Merge(label.clone())).await?;
    let forced = PatchParams::apply("me").force();
    refused(&operator, "waits", &forced, &Patch::Apply(label)).await?;
    let (clients, _) = cx.clients().await?;
    let add = json!([{"op": "add", "path": "/metadata/labels/a", "value": "b"}]);
    let path = format!("/api/v1/namespaces/{}/pods/waits", cx.namespace);
    let request = http::Request::patch(path).header("Content-Type", JSON_PATCH);
    let request = request.body(add.to_string().into_bytes())?;
    is_by_policy(clients.call.request::<Pod>(request).await)?;
    let now = admin.get("waits").await?;
    ensure!(now.metadata.resource_version == pod.metadata.resource_version, "{now:?}");
    Ok(())
}

#[apply(shared_test)]
async fn operator_removes_the_turn_gate_of_that_very_pod_and_leaves_the_others(
    cx: &Test,
) -> Result<()> {
    let pod = create_pod(cx, "waits", of_a_job()).await?;
    let operator = as_operator(cx).await?;
    let params = PatchParams::default();
    let release = |uid: &str| {
        let gates = json!({"schedulingGates": [delete(TURN_GATE)]});
        Patch::Strategic(json!({"metadata": {"uid": uid}, "spec": gates}))
    };
    // Another pod of that name is left alone, which the client can tell from other answers.
    let error = operator.patch("waits", &params, &release("another")).await.err();
    let error = error.context("the pod of another UID was released")?;
    ensure!(runtime::client::is_other_pod(&error), "{error:?}");
    let uid = pod.metadata.uid.context("a UID")?;
    // Once more does no harm.
    for _ in 0..2 {
        let released = operator.patch("waits", &params, &release(&uid)).await?;
        let gates = released.spec.and_then(|spec| spec.scheduling_gates).unwrap_or_default();
        let gates: Vec<_> = gates.iter().map(|gate| gate.name.as_str()).collect();
        ensure!(gates == [OTHER_GATE], "{gates:?}");
    }
    Ok(())
}

#[apply(shared_test)]
async fn operator_may_not_touch_pods_that_are_none_of_a_job(cx: &Test) -> Result<()> {
    create_pod(cx, "other", json!({"team": "a"})).await?;
    let operator = as_operator(cx).await?;
    until_enforced(cx, &operator, "other").await?;
    let params = PatchParams::default();
    let gate = json!({"schedulingGates": [delete(TURN_GATE)]});
    let release = Patch::Strategic(json!({"spec": gate}));
    let message = refused(&operator, "other", &params, &release).await?;
    ensure!(message.contains("pods of Jobs alone"), "{message}");
    // Nor may it make a pod one of a Job's first, or create one by a patch.
    let label = json!({"metadata": {"labels": {"daemonset-job": "true"}}, "spec": gate});
    refused(&operator, "other", &params, &Patch::Strategic(label)).await?;
    let new = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "new", "labels": of_a_job()},
        "spec": {"containers": [{"name": "main", "image": "example.com/work:1"}]},
    });
    let forced = PatchParams::apply("me").force();
    let error = operator.patch("new", &forced, &Patch::Apply(new)).await.err();
    let is_forbidden =
        |error: &kube::Error| matches!(error, kube::Error::Api(status) if status.code == 403);
    ensure!(error.as_ref().is_some_and(is_forbidden), "{error:?}");
    Ok(())
}

#[apply(shared_test)]
async fn other_accounts_may_change_pods_of_jobs_as_before(cx: &Test) -> Result<()> {
    create_pod(cx, "waits", of_a_job()).await?;
    until_enforced(cx, &as_operator(cx).await?, "waits").await?;
    // The same name in another namespace is another account.
    let name = &cx.cluster.service_account.name;
    cx.create::<ServiceAccount>(json!({"metadata": {"name": name}})).await?;
    let role = "cluster-admin";
    let binding = manifests::binding("edits-pods", "ClusterRole", role, &cx.namespace, name);
    cx.create::<RoleBinding>(binding).await?;
    let control_plane = &cx.cluster.control_plane;
    let client: Client =
        control_plane.service_account_client(&cx.namespace, name, &Requests::default()).await?;
    let pods: Api<Pod> = Api::namespaced(client, &cx.namespace);
    let label = Patch::Merge(json!({"metadata": {"labels": {"a": "b"}}}));
    // RBAC takes a moment to know the binding.
    let params = PatchParams::default();
    let is_taken = async || Ok(pods.patch("waits", &params, &label).await.map(|_| true)?);
    cx.until("the patch is taken", is_taken).await
}
