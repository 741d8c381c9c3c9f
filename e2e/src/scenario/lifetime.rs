//! How long Jobs run, and how long they stay.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::jiff::{SignedDuration, Timestamp};

use super::failures::stays_when_all_is_stopped;
use super::job;
use super::scene::Scene;
use crate::images::BUSYBOX;

const JOB: &str = "limited";

/// `activeDeadlineSeconds` of the Job.
const DEADLINE: Duration = Duration::from_secs(10);

/// `ttlSecondsAfterFinished` of the Job.
const TTL: Duration = Duration::from_secs(6);

/// How much later things may happen. It takes well below a second, but times on objects are whole
/// seconds, and a dozen scenarios share the machine.
const SLACK: Duration = Duration::from_secs(5);

/// A Job that runs for longer than it may is failed, its pods are stopped, and it stays.
pub(super) async fn deadline_stops_what_is_not_done(scene: &Scene<'_>) -> Result<()> {
    let seconds = DEADLINE.as_secs();
    scene
        .apply(&format!(
            r#"
apiVersion: daemonset.darkowlzz.space/v1beta1
kind: Job
metadata:
  name: {JOB}
spec:
  activeDeadlineSeconds: {seconds}
  image: {BUSYBOX}
  command: [sleep, "3600"]
  template:
    spec:
      terminationGracePeriodSeconds: 1
"#
        ))
        .await?;
    let job = scene.job(JOB);
    let (failed, condition) = job.until_finished().await?;
    ensure!(
        condition.reason == "DeadlineExceeded"
            && condition.message.contains("spec.activeDeadlineSeconds; not done: "),
        "{}",
        job::describe(&failed)
    );
    let start = job::status(&failed).start_time.context("a finished Job has a start time")?;
    let ran = condition.last_transition_time.0.duration_since(start.0);
    ensure!(
        within(ran, DEADLINE),
        "it was failed after {ran:?}, and activeDeadlineSeconds is {seconds}"
    );
    stays_when_all_is_stopped(scene, job).await
}

/// A completed Job can be waited for by its condition and looked at until its TTL has passed.
pub(super) async fn finished_job_stays_for_its_ttl(scene: &Scene<'_>) -> Result<()> {
    let seconds = TTL.as_secs();
    scene
        .apply(&format!(
            r#"
apiVersion: daemonset.darkowlzz.space/v1beta1
kind: Job
metadata:
  name: {JOB}
spec:
  ttlSecondsAfterFinished: {seconds}
  image: {BUSYBOX}
  command: [sh, -c]
  args:
    - |
      trap 'exit 0' TERM
      echo done
      while :; do sleep 1; done
"#
        ))
        .await?;
    let job = scene.job(JOB);
    let name = format!("dsjob/{JOB}");
    let wait = async {
        scene.kubectl(&["wait", "--for=condition=Complete", "--timeout=5m", &name], "").await
    };
    let (life, ()) = job.until_deleted(wait).await?;
    let now = Timestamp::now();
    let finished = life.status.completion_time.context("a completed Job has a completion time")?;
    let stayed = now.duration_since(finished.0);
    ensure!(
        within(stayed, TTL),
        "it stayed for {stayed:?}, and ttlSecondsAfterFinished is {seconds}"
    );
    Ok(())
}

fn within(measured: SignedDuration, wanted: Duration) -> bool {
    Duration::try_from(measured)
        .is_ok_and(|measured| measured >= wanted && measured <= wanted + SLACK)
}
