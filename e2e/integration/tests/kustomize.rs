//! The kustomizations of `deploy/`, rendered by kubectl, against a real API server.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use harness::kustomize::{self, Kustomization, PARTS, READY};
use harness::process::LogDir;
use harness::{images, paths};
use kube::ResourceExt as _;
use kube::api::DynamicObject;
use serde_json::{Value, json};
use testbed::manifests;

use crate::cluster::artifacts;
use crate::kubectl;
use crate::test::{Test, shared_test};

/// The part that lies beside what it is about.
const MONITORING: &str = "deploy/monitoring";

/// The part for clusters with the Prometheus operator.
const PROMETHEUS_OPERATOR: &str = "deploy/monitoring/prometheus-operator";

/// Labels of all our objects:
/// <https://kubernetes.io/docs/concepts/overview/working-with-objects/common-labels>
const LABELS: [&str; 4] = ["name", "instance", "component", "part-of"];

pub(crate) async fn render(folder: &Path) -> Result<Vec<DynamicObject>> {
    manifests::render(&kubectl::program(), folder, &LogDir::create(artifacts())?).await
}

/// The objects of `kubectl apply -f deploy/`.
fn plain() -> Result<Vec<DynamicObject>> {
    let mut objects = Vec::new();
    for path in paths::entries(paths::workspace().join("deploy"))? {
        if path.extension().is_some_and(|extension| extension == "yaml") {
            objects.extend(manifests::objects(&std::fs::read_to_string(path)?)?);
        }
    }
    Ok(objects)
}

/// All parts together, as a team might have them that has images and a namespace of its own.
fn all_parts<'a>(namespace: &'a str, images: &[(&'a str, &'a str)]) -> Result<Kustomization<'a>> {
    let mut components = kustomize::folders(PARTS)?;
    components.push(MONITORING.into());
    Ok(Kustomization {
        namespace: Some(namespace),
        resources: vec![Path::new(READY).join("base")],
        components,
        images: images.to_vec(),
    })
}

async fn render_own(kustomization: &Kustomization<'_>, name: &str) -> Result<Vec<DynamicObject>> {
    let folder = artifacts().join(name);
    kustomization.write(&folder)?;
    render(&folder).await
}

/// Sees that the API server takes all of it.
async fn is_taken(cx: &Test, objects: Vec<DynamicObject>, what: &Path) -> Result<()> {
    let refused = cx.cluster.control_plane.dry_run(objects).await?;
    ensure!(refused.is_empty(), "{}: {refused:?}", what.display());
    Ok(())
}

fn kinds(objects: &[DynamicObject]) -> BTreeSet<String> {
    objects.iter().filter_map(|object| Some(object.types.as_ref()?.kind.clone())).collect()
}

/// The only object of a kind and name.
fn the<'a>(objects: &'a [DynamicObject], kind: &str, name: &str) -> Result<&'a DynamicObject> {
    let is_it = |object: &&DynamicObject| {
        object.types.as_ref().is_some_and(|types| types.kind == kind) && object.name_any() == name
    };
    let mut found = objects.iter().filter(is_it);
    let first = found.next().with_context(|| format!("no {kind} {name}"))?;
    ensure!(found.next().is_none(), "several {kind} {name}");
    Ok(first)
}

/// The value with `1.0` for `1`: kustomize makes no difference between them.
pub(crate) fn whole(value: Value) -> Value {
    match value {
        Value::Number(number) => json!(number.as_f64()),
        Value::Array(values) => values.into_iter().map(whole).collect(),
        Value::Object(fields) => {
            fields.into_iter().map(|(name, value)| (name, whole(value))).collect()
        }
        other => other,
    }
}

/// The images of both containers, and what idle pods run.
fn images_of(objects: &[DynamicObject]) -> Result<[String; 3]> {
    let deployment = the(objects, "Deployment", "daemonset-job")?;
    let containers = deployment.data.pointer("/spec/template/spec/containers");
    let containers = containers.and_then(Value::as_array).context("no containers")?;
    let container = |name: &str| containers.iter().find(|container| container["name"] == name);
    let operator = container("operator").context("no operator")?;
    let terminator = container("terminator").context("no terminator")?;
    let env = operator["env"].as_array().context("no environment")?;
    let pause = env.iter().find(|variable| variable["name"] == "PAUSE_IMAGE");
    let pause = &pause.context("no PAUSE_IMAGE")?["value"];
    Ok([&operator["image"], &terminator["image"], pause]
        .map(|image| image.as_str().unwrap_or_default().to_owned()))
}

#[tokio::test]
async fn base_is_what_kubectl_apply_takes_from_deploy() -> Result<()> {
    let sorted = |objects: Vec<DynamicObject>| -> Result<Vec<Value>> {
        let values = objects.iter().map(|object| Ok(whole(serde_json::to_value(object)?)));
        let mut values = values.collect::<Result<Vec<_>>>()?;
        values.sort_by_key(Value::to_string);
        Ok(values)
    };
    let base = sorted(render(&Path::new(READY).join("base")).await?)?;
    let plain = sorted(plain()?)?;
    ensure!(base.len() == plain.len());
    for (base, plain) in base.iter().zip(&plain) {
        ensure!(base == plain, "{} {}", base["kind"], base["metadata"]["name"]);
    }
    Ok(())
}

#[apply(shared_test)]
async fn every_kustomization_is_valid_confined_and_has_the_images_of_deploy(
    cx: &Test,
) -> Result<()> {
    let plain = plain()?;
    ensure!(!editors_may_create_jobs(&plain));
    let images = images_of(&plain)?;
    let name = |image| format!("{}/{image}:{}", images::REGISTRY, images::VERSION);
    let [operator, terminator] = [images::OPERATOR, images::TERMINATOR].map(name);
    ensure!(images == [operator.clone(), terminator, operator], "{images:?}");
    for folder in kustomize::folders(READY)? {
        let mut objects = render(&folder).await?;
        ensure!(images_of(&objects)? == images, "{}", folder.display());
        policy_confines_the_account(&objects, "").with_context(|| folder.display().to_string())?;
        ensure!(!editors_may_create_jobs(&objects), "{}", folder.display());
        if folder.ends_with("namespaced") {
            let own = Kustomization {
                namespace: Some(&cx.namespace),
                resources: vec![folder.clone()],
                ..Kustomization::default()
            };
            objects = render_own(&own, "namespaced").await?;
        }
        is_taken(cx, objects, &folder).await?;
    }
    Ok(())
}

#[apply(shared_test)]
async fn namespace_and_images_of_all_parts_are_set_in_one_place(cx: &Test) -> Result<()> {
    let name = |image| format!("{}/{image}", images::REGISTRY);
    let [operator, terminator] = [images::OPERATOR, images::TERMINATOR].map(name);
    let new = ["registry.example.org:5000/team/o:2", "registry.example.org:5000/team/t:3"];
    let replaced = [(operator.as_str(), new[0]), (terminator.as_str(), new[1])];
    let own = all_parts(&cx.namespace, &replaced)?;
    let objects = render_own(&own, "all-parts").await?;
    ensure!(images_of(&objects)? == [new[0], new[1], new[0]], "{:?}", images_of(&objects)?);
    for object in &objects {
        let namespace = object.namespace();
        ensure!(namespace.is_none_or(|name| name == cx.namespace), "{object:?}");
    }
    let without = objects.iter().filter(|object| object.namespace().is_none());
    let without: BTreeSet<_> = without.map(|object| object.name_any()).collect();
    let wide = ["daemonset-job", "daemonset-job-nodes"].map(str::to_owned);
    ensure!(without == wide.into(), "not of the namespace alone: {without:?}");
    is_taken(cx, objects, Path::new("all parts")).await
}

/// Sees that the binding of the policy for pods confines the account that the Deployment uses.
fn policy_confines_the_account(objects: &[DynamicObject], suffix: &str) -> Result<()> {
    let deployment = the(objects, "Deployment", &format!("daemonset-job{suffix}"))?;
    let account = &deployment.data["spec"]["template"]["spec"]["serviceAccountName"];
    let name = format!("daemonset-job-pods{suffix}");
    the(objects, "ValidatingAdmissionPolicy", &name)?;
    let binding = &the(objects, "ValidatingAdmissionPolicyBinding", &name)?.data["spec"];
    ensure!(binding["policyName"] == name, "{binding}");
    let confined = &binding["paramRef"];
    ensure!(confined["name"] == *account, "{confined} is not {account}");
    ensure!(confined["namespace"] == json!(deployment.namespace()), "{confined}");
    Ok(())
}

#[tokio::test]
async fn policy_for_pods_follows_the_account_of_another_namespace_and_name() -> Result<()> {
    let renamed = artifacts().join("renamed");
    let own = Kustomization {
        namespace: Some("team"),
        resources: vec![Path::new(READY).join("namespaced")],
        ..Kustomization::default()
    };
    own.write(&renamed)?;
    let file = renamed.join("kustomization.yaml");
    let mut own: Value = serde_saphyr::from_str(&std::fs::read_to_string(&file)?)?;
    own["nameSuffix"] = json!("-team");
    std::fs::write(&file, own.to_string())?;
    policy_confines_the_account(&render(&renamed).await?, "-team")
}

/// Whether those who may edit a namespace may create Jobs there.
fn editors_may_create_jobs(objects: &[DynamicObject]) -> bool {
    let is_chosen = |role: &DynamicObject| {
        let label = role.labels().get("rbac.authorization.k8s.io/aggregate-to-edit");
        role.name_any() == "daemonset-job-edit" && label.is_some_and(|value| value == "true")
    };
    objects.iter().any(is_chosen)
}

#[tokio::test]
async fn editors_may_create_jobs_by_choice() -> Result<()> {
    let chosen = Kustomization {
        resources: vec![Path::new(READY).join("base")],
        components: vec![Path::new(PARTS).join("edit-jobs")],
        ..Kustomization::default()
    };
    ensure!(editors_may_create_jobs(&render_own(&chosen, "edit-jobs").await?));
    Ok(())
}

#[tokio::test]
async fn rights_in_a_namespace_are_those_of_deploy_but_to_read_namespaces() -> Result<()> {
    let objects = render(&Path::new(READY).join("namespaced")).await?;
    let rules = |objects: &[DynamicObject], kind, name| -> Result<Vec<Value>> {
        let rules = the(objects, kind, name)?.data["rules"].as_array().cloned();
        rules.context("no rules")
    };
    let mut all = rules(&objects, "Role", "daemonset-job")?;
    all.extend(rules(&objects, "ClusterRole", "daemonset-job-nodes")?);
    let mut plain = rules(&plain()?, "ClusterRole", "daemonset-job")?;
    // What other namespaces allow is not asked.
    plain.retain(|rule| rule["resources"] != json!(["namespaces"]));
    all.sort_by_key(Value::to_string);
    plain.sort_by_key(Value::to_string);
    ensure!(all == plain, "{all:?}");
    for kind in ["CustomResourceDefinition", "Namespace"] {
        ensure!(!kinds(&objects).contains(kind), "{kind} is not the team's to delete");
    }
    Ok(())
}

#[tokio::test]
async fn every_object_has_the_recommended_labels() -> Result<()> {
    let mut own = all_parts("team", &[])?;
    own.components.push(PROMETHEUS_OPERATOR.into());
    let mut objects = render_own(&own, "all-labels").await?;
    ensure!(kinds(&objects).contains("PrometheusRule"), "{:?}", kinds(&objects));
    objects.extend(plain()?);
    for object in objects {
        for label in LABELS.map(|label| format!("app.kubernetes.io/{label}")) {
            ensure!(object.labels().contains_key(&label), "no {label}: {:?}", object.metadata);
        }
    }
    Ok(())
}

#[tokio::test]
async fn pod_monitor_selects_our_ports_and_the_rules_are_of_the_rule_file() -> Result<()> {
    let own = Kustomization {
        resources: vec![Path::new(READY).join("base")],
        components: vec![PROMETHEUS_OPERATOR.into()],
        ..Kustomization::default()
    };
    let objects = render_own(&own, "prometheus-operator").await?;
    let monitor = &the(&objects, "PodMonitor", "daemonset-job")?.data["spec"];
    let pods = &the(&objects, "Deployment", "daemonset-job")?.data["spec"]["template"];
    let selected = monitor["selector"]["matchLabels"].as_object().context("labels")?;
    let labels = &pods["metadata"]["labels"];
    ensure!(selected.iter().all(|(key, value)| labels[key] == *value), "{selected:?}");
    let endpoints = monitor["podMetricsEndpoints"].as_array().context("endpoints")?;
    let scraped: BTreeSet<_> = endpoints.iter().map(|it| it["port"].as_str()).collect();
    let containers = pods["spec"]["containers"].as_array().context("containers")?;
    let ports = containers.iter().filter_map(|container| container["ports"].as_array());
    let ports: BTreeSet<_> = ports.flatten().map(|port| port["name"].as_str()).collect();
    ensure!(scraped == ports && ports.len() == 2, "{scraped:?} of {ports:?}");

    let rules = &the(&objects, "PrometheusRule", "daemonset-job")?.data["spec"];
    let file = paths::workspace().join(MONITORING).join("alerts.yaml");
    let file: Value = serde_saphyr::from_str(&std::fs::read_to_string(file)?)?;
    ensure!(whole(rules.clone()) == whole(file), "{rules}");
    Ok(())
}
