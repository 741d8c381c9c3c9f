//! Jobs that are for some nodes only.

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::Node as KubeNode;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::json;

use super::scene::Scene;
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
    scene.apply(&manifest(scene)).await?;
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

async fn label(scene: &Scene<'_>, node: &str, value: Option<&str>) -> Result<()> {
    let nodes: Api<KubeNode> = Api::all(scene.cx.client.clone());
    let patch = Patch::Merge(json!({"metadata": {"labels": {LABEL: value}}}));
    nodes.patch(node, &PatchParams::default(), &patch).await?;
    Ok(())
}

fn manifest(scene: &Scene<'_>) -> String {
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
