//! The Helm chart, by the real helm.

mod lifecycle;
mod page;
mod policy;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use harness::process::{Cmd, CommandError, LogDir, Output};
use harness::{images, paths};
use kube::ResourceExt as _;
use kube::api::DynamicObject;
use serde_json::{Value, json};
use testbed::manifests;

use crate::cluster::artifacts;

/// The chart, in the workspace.
const CHART: &str = "deploy/helm/daemonset-job";

/// Name of the release whose objects have the names of `deploy/`.
const RELEASE: &str = "daemonset-job";

/// Namespace of a plain install.
const NAMESPACE: &str = "daemonset-job-system";

/// Labels and annotations of objects that only Helm has.
const OF_HELM: [&str; 3] =
    ["app.kubernetes.io/managed-by", "helm.sh/chart", "helm.sh/resource-policy"];

/// Helm with its own folder for everything that it remembers.
struct Helm {
    program: PathBuf,
    kubeconfig: Option<PathBuf>,
    logs: LogDir,
}

impl Helm {
    /// The one that `cargo xtask test` has built.
    fn new() -> Result<Self> {
        let program = std::env::var_os("HELM")
            .context("HELM is not set: run these tests with `cargo xtask test`, which builds it")?;
        let logs = LogDir::create(artifacts())?;
        Ok(Self { program: program.into(), kubeconfig: None, logs })
    }

    async fn run<S: AsRef<str>>(
        &self,
        args: impl IntoIterator<Item = S>,
    ) -> Result<Output, CommandError> {
        let args: Vec<_> = args.into_iter().map(|arg| arg.as_ref().to_owned()).collect();
        let home = artifacts().join("helm");
        let none = PathBuf::from("/dev/null");
        Cmd::new(&self.program)
            .args(&args)
            .env("KUBECONFIG", self.kubeconfig.as_ref().unwrap_or(&none))
            .env("HELM_CACHE_HOME", home.join("cache"))
            .env("HELM_CONFIG_HOME", home.join("config"))
            .env("HELM_DATA_HOME", home.join("data"))
            .cwd(paths::workspace())
            .name(format!("helm-{}", args.first().map_or("", String::as_str)))
            .run(&self.logs)
            .await
    }

    /// The objects of a release, without those of `helm test`.
    async fn template(&self, namespace: &str, options: &[&str]) -> Result<Vec<DynamicObject>> {
        let template = ["template", RELEASE, CHART, "--skip-tests", "--namespace", namespace];
        let output = self.run(template.iter().chain(options)).await?;
        manifests::objects(&output.text())
    }

    /// Lints the chart with values, whose schema it checks.
    async fn lint(&self, options: &[&str]) -> Result<(), CommandError> {
        self.run(["lint", "--strict", CHART].iter().chain(options)).await.map(|_| ())
    }
}

#[tokio::test]
async fn chart_passes_the_linter_with_the_values_of_each_example() -> Result<()> {
    let helm = Helm::new()?;
    helm.lint(&[]).await?;
    let examples = paths::entries(paths::workspace().join(CHART).join("examples"))?;
    ensure!(examples.len() == 3, "{examples:?}");
    for example in examples {
        helm.lint(&["--values", &example.display().to_string()]).await?;
    }
    Ok(())
}

#[tokio::test]
async fn unknown_and_mistyped_values_are_refused_by_name() -> Result<()> {
    let helm = Helm::new()?;
    let unknown = |place, name| format!("at '{place}': additional properties '{name}' not allowed");
    let table = [
        ("replica=2", unknown("", "replica")),
        ("operator.image.tga=x", unknown("/operator/image", "tga")),
        ("policy.allowedHostPath={/tmp}", unknown("/policy", "allowedHostPath")),
        ("metrics.podMonitor.enable=true", unknown("/metrics/podMonitor", "enable")),
        ("tolerations[0].efect=NoSchedule", unknown("/tolerations/0", "efect")),
        ("containerSecurityContext.runasUser=0", unknown("/containerSecurityContext", "runasUser")),
        (
            "policy.allowedPodFeatures=null",
            "at '/policy': missing property 'allowedPodFeatures'".to_owned(),
        ),
        ("replicas=two", "at '/replicas': got string, want integer".to_owned()),
        ("crds.keep=no", "at '/crds/keep': got string, want boolean".to_owned()),
        ("nodeSelector.pool=1", "at '/nodeSelector/pool': got number, want string".to_owned()),
        ("watchNamespace=Team_A", "at '/watchNamespace': 'Team_A' does not match".to_owned()),
        ("policy.allowedHostPaths={tmp}", "at '/policy/allowedHostPaths/0': 'tmp'".to_owned()),
        (
            "policy.allowedPodFeatures={Root}",
            "at '/policy/allowedPodFeatures/0': value must be one of 'HostNamespaces'".to_owned(),
        ),
        ("terminator.image.digest=abc", "at '/terminator/image/digest': 'abc'".to_owned()),
        // The chart sets these itself, and Kubernetes refuses two variables of a name.
        ("operator.extraEnv[0].name=PAUSE_IMAGE", "at '/operator/extraEnv/0/name'".to_owned()),
    ];
    for (value, message) in table {
        let refused = helm.template(NAMESPACE, &["--set", value]).await.err();
        let error = refused.with_context(|| format!("{value} is accepted"))?;
        let error = format!("{error:#}");
        ensure!(error.contains(&message), "{value}: {error}");
    }
    Ok(())
}

/// Objects by kind, namespace and name, without the marks of Helm.
fn by_name(objects: Vec<DynamicObject>) -> Result<BTreeMap<[String; 3], Value>> {
    let mut found = BTreeMap::new();
    for mut object in objects {
        let types = object.types.clone().context("a kind")?;
        for marks in [&mut object.metadata.labels, &mut object.metadata.annotations] {
            if let Some(marks) = marks {
                marks.retain(|key, _| !OF_HELM.contains(&key.as_str()));
            }
            if marks.as_ref().is_some_and(BTreeMap::is_empty) {
                *marks = None;
            }
        }
        // kustomize takes policies for objects of a namespace, and the API server knows better.
        if types.kind.starts_with("ValidatingAdmissionPolicy") {
            object.metadata.namespace = None;
        }
        let namespace = object.namespace().unwrap_or_default();
        let name = [types.kind, namespace, object.name_any()];
        let value = crate::kustomize::whole(serde_json::to_value(&object)?);
        ensure!(found.insert(name.clone(), value).is_none(), "{name:?} twice");
    }
    Ok(found)
}

/// Names the namespace, and with it the Leases, as the chart does, which knows it.
fn with_the_name_of_the_namespace(objects: &mut BTreeMap<[String; 3], Value>, namespace: &str) {
    let own = json!({"name": "NAMESPACE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}});
    for ([kind, _, name], object) in objects {
        if kind == "Deployment" {
            let containers = object["spec"]["template"]["spec"]["containers"].as_array_mut();
            for container in containers.into_iter().flatten() {
                let env = container["env"].as_array_mut();
                for variable in env.into_iter().flatten().filter(|variable| **variable == own) {
                    *variable = json!({"name": "NAMESPACE", "value": namespace});
                }
            }
        }
        if kind == "Role" && name == "daemonset-job-leases" {
            let leases = ["operator", "terminator"];
            let leases = leases.map(|process| format!("daemonset-job-{process}-{namespace}"));
            object["rules"][0]["resourceNames"] = json!(leases);
        }
    }
}

#[tokio::test]
async fn chart_renders_the_objects_of_each_kustomization() -> Result<()> {
    let helm = Helm::new()?;
    for folder in harness::kustomize::folders(harness::kustomize::READY)? {
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let namespace = if name == "namespaced" { "team-a" } else { NAMESPACE };
        let example = format!("{CHART}/examples/{name}.yaml");
        let options: &[&str] = if name == "base" { &[] } else { &["--values", &example] };
        let chart = by_name(helm.template(namespace, options).await?)?;
        let mut kustomization = by_name(crate::kustomize::render(&folder).await?)?;
        // Helm creates no namespace by a template.
        kustomization.retain(|[kind, _, _], _| kind != "Namespace");
        if name == "namespaced" {
            with_the_name_of_the_namespace(&mut kustomization, namespace);
        }
        ensure!(
            chart.keys().eq(kustomization.keys()),
            "{name}: {:?} is not {:?}",
            chart.keys(),
            kustomization.keys()
        );
        for (object, expected) in &kustomization {
            ensure!(chart[object] == *expected, "{name}: {}\nis not\n{expected}", chart[object]);
        }
    }
    Ok(())
}

/// The objects of a kind.
fn of_kind<'o>(objects: &'o [DynamicObject], kind: &str) -> Vec<&'o DynamicObject> {
    let is_it = |object: &&DynamicObject| object.types.as_ref().is_some_and(|it| it.kind == kind);
    objects.iter().filter(is_it).collect()
}

#[tokio::test]
async fn registry_tag_and_digest_name_the_images_and_what_idle_pods_run() -> Result<()> {
    let helm = Helm::new()?;
    let digest = format!("sha256:{}", "0".repeat(64));
    let table = [
        ("", format!("{}/{}:{}", images::REGISTRY, images::OPERATOR, images::VERSION)),
        (
            "image.registry=registry.example.org:5000/team,operator.image.tag=v2",
            format!("registry.example.org:5000/team/{}:v2", images::OPERATOR),
        ),
        (
            "image.registry=a,operator.image.registry=b,operator.image.repository=c/d",
            format!("b/c/d:{}", images::VERSION),
        ),
        (
            &format!("operator.image.digest={digest}"),
            format!("{}/{}@{digest}", images::REGISTRY, images::OPERATOR),
        ),
        (
            &format!("operator.image.digest={digest},operator.image.tag=v2"),
            format!("{}/{}:v2@{digest}", images::REGISTRY, images::OPERATOR),
        ),
    ];
    for (values, expected) in table {
        let objects = helm.template(NAMESPACE, &["--set", values]).await?;
        let [deployment] = of_kind(&objects, "Deployment")[..] else {
            anyhow::bail!("not one Deployment");
        };
        let operator = &deployment.data["spec"]["template"]["spec"]["containers"][0];
        let env = operator["env"].as_array().context("variables")?;
        let pause = env.iter().find(|variable| variable["name"] == "PAUSE_IMAGE");
        let pause = &pause.context("PAUSE_IMAGE")?["value"];
        ensure!([&operator["image"], pause] == [&expected, &expected], "{values}: {operator}");
    }
    Ok(())
}

#[tokio::test]
async fn versions_of_chart_and_manifests_are_that_of_the_workspace() -> Result<()> {
    let helm = Helm::new()?;
    let chart = std::fs::read_to_string(paths::workspace().join(CHART).join("Chart.yaml"))?;
    let chart: Value = serde_saphyr::from_str(&chart)?;
    let versions = [&chart["version"], &chart["appVersion"]];
    ensure!(versions == [images::VERSION, images::VERSION], "{versions:?}");
    let base = crate::kustomize::render(Path::new("deploy/kustomize/base")).await?;
    for objects in [helm.template(NAMESPACE, &[]).await?, base] {
        let [deployment] = of_kind(&objects, "Deployment")[..] else {
            anyhow::bail!("not one Deployment");
        };
        let pods = &deployment.data["spec"]["template"]["metadata"]["labels"];
        let label = "app.kubernetes.io/version";
        ensure!(pods[label] == images::VERSION, "{pods}");
        let own = deployment.labels().get(label).map(String::as_str);
        ensure!(own == Some(images::VERSION), "{own:?}");
    }
    Ok(())
}

#[tokio::test]
async fn package_holds_no_more_than_the_chart() -> Result<()> {
    let helm = Helm::new()?;
    let folder = artifacts().join("helm-package");
    std::fs::create_dir_all(&folder)?;
    helm.run(["package", CHART, "--destination", &folder.display().to_string()]).await?;
    let archive = folder.join(format!("daemonset-job-{}.tgz", images::VERSION));
    let list = Cmd::new("tar").args(["--list", "--file"]).arg(&archive).run(&helm.logs).await?;
    let list = list.text();
    for file in ["Chart.yaml", "values.schema.json", "files/crd.yaml", "examples/ha.yaml"] {
        ensure!(list.contains(&format!("daemonset-job/{file}")), "no {file} in\n{list}");
    }
    ensure!(!list.contains("README"), "{list}");
    // The archive renders the same as the folder.
    let archive = archive.display().to_string();
    let template = ["template", RELEASE, &archive, "--skip-tests", "--namespace", NAMESPACE];
    let packed = manifests::objects(&helm.run(template).await?.text())?;
    ensure!(by_name(packed)? == by_name(helm.template(NAMESPACE, &[]).await?)?);
    Ok(())
}
