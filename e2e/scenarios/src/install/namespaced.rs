//! The operator installed for one namespace.

use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use harness::job_handle;
use harness::kustomize::Kustomization;
use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{DeleteParams, PostParams};
use kube::{Api, ResourceExt as _};

use crate::rights;
use crate::support::env::ScenarioEnv;
use crate::support::install;

/// The Job in its namespace.
const JOB: &str = "done";

/// The Job elsewhere.
const LEFT_ALONE: &str = "left-alone";

/// Jobs of its namespace are done, others left alone; it has no other rights.
pub(crate) async fn keeps_to_its_namespace(env: &ScenarioEnv<'_>) -> Result<()> {
    let elsewhere = format!("{}-elsewhere", env.namespace());
    let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
    let own = Kustomization {
        namespace: Some(env.namespace()),
        resources: vec![PathBuf::from("deploy/kustomize/namespaced")],
        ..Kustomization::default()
    };
    own.write(folder.path())?;
    let namespaces: Api<Namespace> = Api::all(env.cx.client.clone());
    let mut other = Namespace::default();
    other.metadata.name = Some(elsewhere.clone());
    let result = install::with(env.cx, folder.path(), async |deployed| {
        ensure!(deployed.namespace == env.namespace(), "{deployed:?}");
        rights::of_one_namespace(env, deployed).await?;
        namespaces.create(&PostParams::default(), &other).await?;
        let script = format!(
            "trap 'exit 0' TERM; touch /basetarget/{JOB}; echo done; while :; do sleep 1; done"
        );
        let there = Api::<api::job::Job>::namespaced(env.cx.client.clone(), &elsewhere);
        let left_alone = env.shell(LEFT_ALONE, &script);
        there.create(&PostParams::default(), left_alone.job()).await?;

        let nodes = env.nodes.len();
        let manifest = env.shell(JOB, &script);
        env.job(JOB).until_deleted(env.apply(&manifest)).await?;
        let ran = env.nodes_with(JOB).await?;
        ensure!(ran.len() == nodes, "{JOB} has run on {ran:?} of {nodes} nodes");
        env.settle().await;
        let job = there.get(LEFT_ALONE).await?;
        let is_observed = job.status.as_ref().is_some_and(|status| status.is_observed());
        ensure!(!is_observed, "it was not left alone: {}", job_handle::describe(&job));
        let sets = Api::<DaemonSet>::namespaced(env.cx.client.clone(), &elsewhere);
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
