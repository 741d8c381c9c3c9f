//! Pods that are lost when their work is done.

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use kube::api::DeleteParams;

use super::scene::{Scene, is_running};
use crate::images::BUSYBOX;

const JOB: &str = "runs-once";

/// The pod that takes the place of a completed one never completes, and the Job does.
pub(super) async fn takes_no_completion_back(scene: &Scene<'_>) -> Result<()> {
    let (first, others) = scene.special_node()?;
    scene.touch([first], "go").await?;
    scene.apply(&manifest(scene)).await?;
    let job = scene.job(JOB);
    job.until_completed(&scene.of_all(1)).await?;
    let replace_and_finish = async {
        let on_first = |pod: &Pod| {
            pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()) == Some(first.name())
        };
        let pods: Vec<Pod> = scene.api::<Pod>().list(&Default::default()).await?.items;
        let old = pods.iter().find(|pod| on_first(pod)).context("the completed node has no pod")?;
        scene.api::<Pod>().delete(&old.name_any(), &DeleteParams::default()).await?;
        scene
            .until_pods("another pod in place of the deleted one", |pods| {
                let is_new = |pod: &&&Pod| on_first(pod) && pod.uid() != old.uid();
                pods.iter().find(is_new).filter(|pod| is_running(pod)).map(|_| ())
            })
            .await?;
        scene.settle().await;
        scene.touch(others, "go").await
    };
    let (life, ()) = job.until_deleted(replace_and_finish).await?;
    ensure!(
        life.succeeded.is_sorted() && life.succeeded.first() == Some(&1),
        "nodes that were done one after the other: {:?}",
        life.succeeded
    );
    let ran = scene.nodes_with("ran").await?;
    ensure!(ran.len() == scene.nodes.len(), "the Job was deleted when it had run on {ran:?}");
    Ok(())
}

/// A Job that logs the word when the file `go` is there, in its first run only.
fn manifest(scene: &Scene<'_>) -> String {
    let folder = scene.folder();
    format!(
        r#"
apiVersion: daemonset.darkowlzz.space/v1beta1
kind: Job
metadata:
  name: {JOB}
spec:
  image: {BUSYBOX}
  mountPath: {folder}
  command: [sh, -c]
  args:
    - |
      trap 'exit 0' TERM
      until [ -e /basetarget/go ]; do sleep 0.2; done
      if [ ! -e /basetarget/ran ]; then
        touch /basetarget/ran
        echo done
      fi
      while :; do sleep 1; done
"#
    )
}
