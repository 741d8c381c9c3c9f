//! Whose word counts.

use anyhow::{Result, ensure};

use super::job;
use super::scene::Scene;
use crate::images::BUSYBOX;

const JOB: &str = "speaks";

/// The namespace of the other Job.
const OTHER_NAMESPACE: &str = "namespaces-keep-their-words-apart-other";

/// Two Jobs of one name in two namespaces run at once, each logging the other's word first.
pub(super) async fn namespaces_keep_theirs_apart(scene: &Scene<'_>) -> Result<()> {
    let other = Scene::open(scene.cx, OTHER_NAMESPACE).await?;
    let manifests = (speaker(scene, "swept", "mopped"), speaker(&other, "mopped", "swept"));
    tokio::try_join!(scene.apply(&manifests.0), other.apply(&manifests.1))?;
    let (one, two) = (scene.job(JOB), other.job(JOB));
    tokio::try_join!(scene.until_running_everywhere(), other.until_running_everywhere())?;
    scene.settle().await;
    for (scene, job) in [(scene, one), (&other, two)] {
        none_is_done(scene, &job.get().await?)?;
    }
    one.until_deleted(scene.touch(&scene.nodes, "go")).await?;
    none_is_done(&other, &two.get().await?)?;
    two.until_deleted(other.touch(&other.nodes, "go")).await?;
    other.close().await
}

/// A Job that logs `wrong` at once and `word`, its termination word, when the file `go` is there.
fn speaker(scene: &Scene<'_>, word: &str, wrong: &str) -> String {
    let folder = scene.folder();
    format!(
        r#"
apiVersion: daemonset.darkowlzz.space/v1beta1
kind: Job
metadata:
  name: {JOB}
spec:
  terminationWord: {word}
  image: {BUSYBOX}
  mountPath: {folder}
  command: [sh, -c]
  args:
    - |
      trap 'exit 0' TERM
      echo {wrong}
      until [ -e /basetarget/go ]; do sleep 0.2; done
      echo {word}
      while :; do sleep 1; done
"#
    )
}

/// Another container of the pod may log what it likes.
pub(super) async fn of_a_sidecar_completes_nothing(scene: &Scene<'_>) -> Result<()> {
    let sidecar = format!(
        r#"  template:
    spec:
      containers:
        - name: sidecar
          image: {BUSYBOX}
          command: [sh, -c]
          args:
            - |
              trap 'exit 0' TERM
              echo done
              while :; do sleep 1; done
"#
    );
    let manifest = speaker(scene, "done", "working") + &sidecar;
    scene.apply(&manifest).await?;
    let job = scene.job(JOB);
    scene.until_running_everywhere().await?;
    scene.settle().await;
    none_is_done(scene, &job.get().await?)?;
    job.until_deleted(scene.touch(&scene.nodes, "go")).await?;
    Ok(())
}

/// The Job says that no node is done.
pub(super) fn none_is_done(scene: &Scene<'_>, job: &api::v1beta1::Job) -> Result<()> {
    let none = scene.of_all(0);
    ensure!(
        job::status(job).completed.as_ref() == Some(&none),
        "expected {none} nodes done: {}",
        job::describe(job)
    );
    Ok(())
}
