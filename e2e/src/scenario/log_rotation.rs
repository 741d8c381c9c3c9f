//! Logs that kubelets rotate: they do so with what is larger than 10 MiB, every ten seconds.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use api::names;
use api::v1beta1::NodeStatus;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::events::v1::Event;
use kube::ResourceExt as _;
use kube::api::DeleteParams;

use super::scene::Scene;
use super::{job, manifest};
use crate::cluster::Node;

const JOB: &str = "says-more-than-fits";

/// Logs more than fits into one file.
const FLOOD: &str = "yes \"$(printf %0999d 0)\" | head -c 12000000";

/// Waits until a container of the namespace `$1` has a log that was rotated.
const WAIT_ROTATED: &str = r#"
until ls /var/log/pods/"$1"_*/*/*.log.* > /dev/null 2>&1; do sleep 0.2; done
"#;

/// How long rotation may take: two looks of the kubelet, with a busy machine between them.
const ROTATION: Duration = Duration::from_secs(60);

/// A log that begins within ten seconds of its container passes for one that has its beginning: by then
/// kubelets may have rotated it already.
const BEGINNING: Duration = Duration::from_secs(11);

/// Within what time a word is to be noticed, however far the stream lags. A file is read from its beginning
/// within five seconds of being made, unless the log was silent before; the rest is for a busy machine.
const NOTICED: Duration = Duration::from_secs(20);

/// A kubelet that serves a log goes over to the next file when that is made, but loses its place when this was
/// before it first came to the end of the log: it looks for new files from then on. A word that is logged after
/// that is noticed all the same.
/// <https://github.com/kubernetes/cri-client/blob/v0.37.2/pkg/logs/logs.go>
pub(super) async fn word_after_it_is_noticed(scene: &Scene<'_>) -> Result<()> {
    let script = format!(
        r"
        trap 'exit 0' TERM
        {FLOOD}
        until [ -e /basetarget/go ]; do sleep 0.2; done
        echo done
        while :; do sleep 1; done
        "
    );
    scene.apply(&manifest::shell(scene, JOB, &script).to_string()).await?;
    let job = scene.job(JOB);
    scene.until_running_everywhere().await?;
    for node in &scene.nodes {
        until_rotated(scene, node).await?;
    }
    let logged = Instant::now();
    let (life, ()) = job.until_deleted(scene.touch(&scene.nodes, "go")).await?;
    let noticed = life.deletion.duration_since(logged);
    ensure!(noticed <= NOTICED, "the word was noticed after {noticed:.1?}");
    scene.cx.phase.outcome(format_args!("noticed after {noticed:.1?}"));
    Ok(())
}

/// A word that rotates away while the terminator is down is not guessed: the Job stays, says on which
/// node it may have been, and completes when that pod is deleted, as it says.
pub(super) async fn word_lost_to_it_is_reported(scene: &Scene<'_>) -> Result<()> {
    let result = lose_the_word(scene).await;
    result.and(scene.redeploy().await)
}

async fn lose_the_word(scene: &Scene<'_>) -> Result<()> {
    let script = format!(
        r"
        trap 'exit 0' TERM
        echo working
        until [ -e /basetarget/go ]; do sleep 0.2; done
        echo done
        if [ ! -e /basetarget/flooded ]; then
            touch /basetarget/flooded
            {FLOOD}
        fi
        # An empty log would tell nothing.
        while :; do echo still here; sleep 1; done
        "
    );
    let (first, others) = scene.special_node()?;
    scene.apply(&manifest::shell(scene, JOB, &script).to_string()).await?;
    let job = scene.job(JOB);
    scene.until_running_everywhere().await?;
    let beginning = tokio::time::sleep(BEGINNING);
    scale(scene, 0).await?;
    beginning.await;
    scene.touch([first], "go").await?;
    until_rotated(scene, first).await?;
    scale(scene, 1).await?;

    let told = job
        .until(&format!("{} on {}", names::LOG_ROTATED, first.name()), |job| {
            job::node(&job::status(job), first.name()).is_ok_and(is_rotated)
        })
        .await?;
    let status = job::status(&told);
    let suspects = status.nodes.iter().filter(|node| is_rotated(node)).count();
    ensure!(suspects == 1 && status.succeeded == 0, "{}", job::describe(&told));
    scene.touch(others, "go").await?;
    job.until_completed(&scene.of_all(others.len())).await?;
    scene.settle().await;
    let waiting = job.get().await?;
    ensure!(job::finished(&waiting).is_none(), "it guessed: {}", job::describe(&waiting));
    let events = scene.api::<Event>().list(&Default::default()).await?.items;
    let of_rotation =
        events.iter().filter(|event| event.reason.as_deref() == Some(names::LOG_ROTATED));
    ensure!(of_rotation.count() == 1, "one event is to tell of it: {events:?}");

    job.until_deleted(delete_pod(scene, first)).await?;
    Ok(())
}

fn is_rotated(node: &NodeStatus) -> bool {
    node.message.as_deref().is_some_and(|text| text.starts_with(names::LOG_ROTATED))
}

/// Runs so many pods of our own Deployment.
async fn scale(scene: &Scene<'_>, replicas: u8) -> Result<()> {
    let deployment = format!("deployment/{}", scene.cx.deployed.name);
    scene.kubectl_ours(&["scale", &deployment, &format!("--replicas={replicas}")]).await?;
    match replicas {
        0 => scene.until_ours_are_gone().await,
        _ => scene.kubectl_ours(&["rollout", "status", &deployment]).await,
    }
}

async fn until_rotated(scene: &Scene<'_>, node: &Node) -> Result<()> {
    scene.cx.phase.detail(format_args!("a rotated log on {}", node.name()));
    node.exec(["sh", "-c", WAIT_ROTATED, "sh", scene.namespace()])
        .timeout(ROTATION)
        .run(scene.cx.logs)
        .await
        .with_context(|| format!("the log of no container was rotated on {}", node.name()))?;
    Ok(())
}

async fn delete_pod(scene: &Scene<'_>, node: &Node) -> Result<()> {
    let pods = scene.api::<Pod>().list(&Default::default()).await?;
    let is_there = |pod: &&Pod| {
        pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()) == Some(node.name())
    };
    let pod = pods.items.iter().find(is_there).context("the node has no pod")?;
    scene.api::<Pod>().delete(&pod.name_any(), &DeleteParams::default()).await?;
    Ok(())
}
