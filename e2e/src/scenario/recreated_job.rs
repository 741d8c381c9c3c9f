//! A Job that follows another one of the same name.

use anyhow::{Context as _, Result, ensure};
use api::v1beta1::Phase;
use k8s_openapi::api::apps::v1::DaemonSet;
use kube::ResourceExt as _;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::json;

use super::job;
use super::scene::{HOLD, Scene};
use crate::images::BUSYBOX;

const JOB: &str = "again";

/// While the earlier Job's DaemonSet is there, its pods run, and complete, and none of that counts
/// for the Job that was made anew from the very same manifest.
pub(super) async fn waits_for_its_predecessor(scene: &Scene<'_>) -> Result<()> {
    let manifest = manifest(scene);
    let sets = scene.api::<DaemonSet>();
    let hold = |finalizers: &[&str]| Patch::Merge(json!({"metadata": {"finalizers": finalizers}}));
    scene.apply(&manifest).await?;
    let job = scene.job(JOB);
    let old = job.daemon_set().await?;
    sets.patch(&old.name_any(), &PatchParams::default(), &hold(&[HOLD])).await?;
    scene.until_running_everywhere().await?;
    let earlier = job.get().await?;

    job.api().delete(JOB, &DeleteParams::default()).await?;
    scene.apply(&manifest).await?;
    let later = job
        .until("a Job of its own that is pending", |job| {
            job.uid() != earlier.uid() && job::status(job).phase == Some(Phase::Pending)
        })
        .await?;
    scene.touch(&scene.nodes, "go-first").await?;
    scene.settle().await;
    let waiting = job.get().await?;
    ensure!(
        waiting.uid() == later.uid() && job::status(&waiting).phase == Some(Phase::Pending),
        "the earlier Job's pods counted: {}",
        job::describe(&waiting)
    );
    let held = sets.get(&old.name_any()).await?;
    ensure!(held.uid() == old.uid(), "the earlier Job's DaemonSet was replaced while it was held");

    sets.patch(&old.name_any(), &PatchParams::default(), &hold(&[])).await?;
    let nodes = i32::try_from(scene.nodes.len())?;
    let running = job
        .until("pods of its own", |job| {
            let status = job::status(job);
            status.phase == Some(Phase::Running) && status.active == nodes
        })
        .await?;
    ensure!(job::status(&running).succeeded == 0, "{}", job::describe(&running));
    let new = job.daemon_set().await?;
    ensure!(new.uid() != old.uid(), "it took the earlier Job's DaemonSet over");
    let (life, ()) = job.until_deleted(scene.touch(&scene.nodes, "go-second")).await?;
    ensure!(later.uid().context("the Job has no UID")? == life.uid, "a third Job appeared");
    Ok(())
}

/// A Job that waits for the file `go-first` in its first run on a node, and for `go-second` in
/// later ones.
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
      go=go-second
      mkdir /basetarget/ran && go=go-first
      until [ -e /basetarget/$go ]; do sleep 0.2; done
      echo done
      while :; do sleep 1; done
"#
    )
}
