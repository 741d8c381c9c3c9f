//! `kubectl apply` for tests: manifests from files to the API server, by server-side apply.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use harness::paths;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{DynamicObject, GroupVersionKind, Patch, PatchParams};
use kube::core::discovery::Scope;
use kube::{Api, Client, ResourceExt as _, discovery};

use crate::manifests;

const FIELD_MANAGER: &str = "daemonset-job-tests";

/// How long a custom resource may take from its definition until it is served.
const SERVED_TIMEOUT: Duration = Duration::from_secs(30);

pub(super) async fn apply(client: &Client, path: &Path) -> Result<()> {
    for file in files(path)? {
        let text = fs_err::read_to_string(&file)?;
        let objects =
            manifests::objects(&text).with_context(|| format!("in {}", file.display()))?;
        for object in objects {
            apply_object(client, object)
                .await
                .with_context(|| format!("cannot apply {}", file.display()))?;
        }
    }
    Ok(())
}

/// The file itself, or the YAML files of a folder by name, as kubectl takes them.
fn files(path: &Path) -> Result<Vec<PathBuf>> {
    if path.is_file() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = paths::entries(path)?;
    files.retain(|file| {
        let extension = file.extension().unwrap_or_default();
        file.is_file() && (extension == "yaml" || extension == "yml")
    });
    ensure!(!files.is_empty(), "no YAML file in {}", path.display());
    Ok(files)
}

/// Sees whether the API server would take objects, and returns the kinds of those that it does not, with why.
pub(super) async fn dry_run(
    client: &Client,
    objects: Vec<DynamicObject>,
) -> Vec<(String, anyhow::Error)> {
    let params = PatchParams::apply(FIELD_MANAGER).force().dry_run();
    let mut refused = Vec::new();
    for object in objects {
        let kind = object.types.as_ref().map(|types| types.kind.clone()).unwrap_or_default();
        if let Err(error) = patch(client, &object, &params).await {
            refused.push((kind, error));
        }
    }
    refused
}

async fn apply_object(client: &Client, object: DynamicObject) -> Result<()> {
    patch(client, &object, &PatchParams::apply(FIELD_MANAGER).force()).await?;
    if object.types.is_some_and(|types| types.kind == "CustomResourceDefinition") {
        served(client, &object.metadata.name.unwrap_or_default()).await?;
    }
    Ok(())
}

async fn patch(client: &Client, object: &DynamicObject, params: &PatchParams) -> Result<()> {
    let types = object.types.as_ref().context("an object without a kind")?;
    let name = object.name_any();
    let gvk = GroupVersionKind::try_from(types)?;
    let (resource, capabilities) = discovery::pinned_kind(client, &gvk)
        .await
        .with_context(|| format!("the API server does not serve {}", types.kind))?;
    let api: Api<DynamicObject> = match capabilities.scope {
        Scope::Cluster => Api::all_with(client.clone(), &resource),
        Scope::Namespaced => {
            let namespace = object.namespace().unwrap_or_else(|| "default".to_owned());
            Api::namespaced_with(client.clone(), &namespace, &resource)
        }
    };
    api.patch(&name, params, &Patch::Apply(object))
        .await
        .with_context(|| format!("{} {name}", types.kind))?;
    Ok(())
}

/// Waits until a custom resource can be listed.
async fn served(client: &Client, name: &str) -> Result<()> {
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    let established = kube::runtime::wait::await_condition(
        definitions,
        name,
        kube::runtime::conditions::is_crd_established(),
    );
    tokio::time::timeout(SERVED_TIMEOUT, established)
        .await
        .with_context(|| format!("{name} is not served after {SERVED_TIMEOUT:?}"))??;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_a_folder_come_in_the_order_of_their_names() {
        let dir = tempfile::tempdir().expect("a folder");
        for name in ["10-b.yaml", "2-c.yml", "00-a.yaml", "README.md"] {
            std::fs::write(dir.path().join(name), "").expect("written");
        }
        std::fs::create_dir(dir.path().join("samples.yaml")).expect("a folder");
        let names: Vec<_> = files(dir.path())
            .expect("files")
            .iter()
            .map(|file| file.file_name().expect("a name").to_owned())
            .collect();
        assert_eq!(names, ["00-a.yaml", "10-b.yaml", "2-c.yml"]);
    }

    #[test]
    fn the_manifests_use_only_what_every_supported_kubernetes_serves() {
        let list = paths::workspace().join("hack/served-apis.txt");
        let list = std::fs::read_to_string(list).unwrap();
        let served: Vec<&str> = list.lines().filter(|line| !line.starts_with('#')).collect();
        let files = files(&paths::workspace().join("deploy")).unwrap();
        assert!(files.len() >= 4, "{files:?}");
        for file in files {
            for object in manifests::objects(&std::fs::read_to_string(&file).unwrap()).unwrap() {
                let types = object.types.unwrap();
                let kind = format!("{} {}", types.api_version, types.kind);
                assert!(served.contains(&kind.as_str()), "{kind} in {}", file.display());
            }
        }
    }
}
