//! The operator installed for one namespace.

use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{DeleteParams, PostParams};
use kube::{Api, ResourceExt as _};

use super::scene::Scene;
use super::{install, job, manifest, rights};
use crate::kustomize::Kustomization;

/// The Job in its namespace.
const JOB: &str = "done";

/// The Job elsewhere.
const LEFT_ALONE: &str = "left-alone";

/// Jobs of the namespace that it is installed in are done, others are left alone, and it has no rights
/// but to do so.
pub(super) async fn keeps_to_its_namespace(scene: &Scene<'_>) -> Result<()> {
    let elsewhere = format!("{}-elsewhere", scene.namespace());
    let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
    let own = Kustomization {
        namespace: Some(scene.namespace()),
        resources: vec![PathBuf::from("deploy/kustomize/namespaced")],
        ..Kustomization::default()
    };
    own.write(folder.path())?;
    let namespaces: Api<Namespace> = Api::all(scene.cx.client.clone());
    let mut other = Namespace::default();
    other.metadata.name = Some(elsewhere.clone());
    let result = install::with(scene, folder.path(), async |deployed| {
        ensure!(deployed.namespace == scene.namespace(), "{deployed:?}");
        rights::of_one_namespace(scene, deployed).await?;
        namespaces.create(&PostParams::default(), &other).await?;
        let script = format!(
            "trap 'exit 0' TERM; touch /basetarget/{JOB}; echo done; while :; do sleep 1; done"
        );
        let manifest = manifest::shell(scene, JOB, &script);
        let there = Api::<api::v1beta1::Job>::namespaced(scene.cx.client.clone(), &elsewhere);
        let mut left_alone = manifest.clone();
        left_alone["metadata"]["name"] = LEFT_ALONE.into();
        there.create(&PostParams::default(), &serde_json::from_value(left_alone)?).await?;

        let nodes = scene.nodes.len();
        let text = manifest.to_string();
        scene.job(JOB).until_deleted(scene.apply(&text)).await?;
        let ran = scene.nodes_with(JOB).await?;
        ensure!(ran.len() == nodes, "{JOB} has run on {ran:?} of {nodes} nodes");
        scene.settle().await;
        let job = there.get(LEFT_ALONE).await?;
        let is_observed = job.status.as_ref().is_some_and(|status| status.is_observed());
        ensure!(!is_observed, "it was not left alone: {}", job::describe(&job));
        let sets = Api::<DaemonSet>::namespaced(scene.cx.client.clone(), &elsewhere);
        let sets = sets.list(&Default::default()).await?.items;
        let names: Vec<_> = sets.iter().map(|set| set.name_any()).collect();
        ensure!(names.is_empty(), "it was not left alone: {names:?}");
        there.delete(LEFT_ALONE, &DeleteParams::default()).await?;
        Ok(())
    })
    .await;
    let gone = namespaces.delete(&elsewhere, &DeleteParams::default()).await;
    result.and(gone.map(drop).map_err(Into::into))
}
