//! Jobs that are for some nodes only.

use anyhow::{Context as _, Result, ensure};
use api::v1beta1::Phase;
use k8s_openapi::api::core::v1::Node as KubeNode;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::json;

use super::failures::stays_when_all_is_stopped;
use super::scene::Scene;
use super::{job, manifest};
use crate::images::BUSYBOX;

const JOB: &str = "selective";

/// The label of the nodes that the Job is for.
const LABEL: &str = "e2e.daemonset.darkowlzz.space/selected";

/// It runs where the label is, also where it comes later, and is complete without the other nodes.
pub(super) async fn decides_where_a_job_runs(scene: &Scene<'_>) -> Result<()> {
    for node in &scene.nodes {
        // An interrupted run may have left it.
        label(scene, node.name(), None).await?;
    }
    let (first, others) = scene.special_node()?;
    let (later, _) = others.split_first().context("the cluster has one node only")?;
    label(scene, first.name(), Some("true")).await?;
    scene.apply(&selective(scene)).await?;
    let job = scene.job(JOB);
    job.until_completed("0/1").await?;
    label(scene, later.name(), Some("true")).await?;
    job.until_completed("0/2").await?;
    let (life, ()) = job.until_deleted(scene.touch(&scene.nodes, "go")).await?;
    ensure!(life.status.desired == 2, "{:?}", life.status);
    let ran = scene.nodes_with("ran").await?;
    ensure!(ran == [later.name(), first.name()], "it ran on {ran:?}");
    for node in [first, later] {
        label(scene, node.name(), None).await?;
    }
    Ok(())
}

/// A Job that no node matches is complete, says why, and stays: most often its selector is mistyped.
/// Mended, it runs.
pub(super) async fn that_matches_no_node_is_told(scene: &Scene<'_>) -> Result<()> {
    let mut typo = manifest::shell(scene, JOB, "touch /basetarget/ran");
    typo["spec"]["completionMode"] = json!("ExitCode");
    let mended = typo.clone();
    typo["spec"]["template"] = manifest::only_on("no-such-node");
    scene.apply(&typo.to_string()).await?;
    let job = scene.job(JOB);
    let (complete, condition) = job.until_finished().await?;
    let status = job::status(&complete);
    ensure!(
        condition.reason == "NoMatchingNodes"
            && status.phase == Some(Phase::Completed)
            && status.completed.as_deref() == Some("0/0"),
        "{}",
        job::describe(&complete)
    );
    stays_when_all_is_stopped(scene, job).await?;
    ensure!(scene.nodes_with("ran").await?.is_empty(), "it ran");
    job.until_deleted(scene.apply(&mended.to_string())).await?;
    let ran = scene.nodes_with("ran").await?;
    ensure!(ran.len() == scene.nodes.len(), "mended, it was deleted when it had run on {ran:?}");
    Ok(())
}

async fn label(scene: &Scene<'_>, node: &str, value: Option<&str>) -> Result<()> {
    let nodes: Api<KubeNode> = Api::all(scene.cx.client.clone());
    let patch = Patch::Merge(json!({"metadata": {"labels": {LABEL: value}}}));
    nodes.patch(node, &PatchParams::default(), &patch).await?;
    Ok(())
}

fn selective(scene: &Scene<'_>) -> String {
    let folder = scene.folder();
    format!(
        r#"
apiVersion: daemonset.darkowlzz.space/v1beta1
kind: Job
metadata:
  name: {JOB}
spec:
  completionMode: ExitCode
  image: {BUSYBOX}
  mountPath: {folder}
  command: [sh, -c]
  args:
    - |
      trap 'exit 143' TERM
      touch /basetarget/ran
      until [ -e /basetarget/go ]; do sleep 0.2; done
  template:
    spec:
      nodeSelector:
        {LABEL}: "true"
"#
    )
}
