//! Jobs that are done when their containers exit with 0.

use anyhow::{Context as _, Result, ensure};
use api::job::conditions::COMPLETE;
use api::job::{NodeState, Phase};
use k8s_openapi::api::apps::v1::DaemonSet;
use serde_json::{Value, json};

use crate::job::{
    condition, exit_code_manifest, exit_well, find_node, is_recorded, log_done, phase,
};
use crate::test::{Test, settle, shared_test};

#[apply(shared_test)]
async fn exited_containers_are_counted_and_the_last_ends_the_job_which_tells_all(
    cx: &Test,
) -> Result<()> {
    let _processes = cx.both().await?;
    let job = cx.apply(&exit_code_manifest("told")).await?;
    let name = job.daemon_set_name();
    for (done, pod) in (0..).zip(job.pods().await?) {
        let is_so = |set: &DaemonSet| set.status.as_ref().is_some_and(|it| it.number_ready == done);
        cx.wait().object(job.api(), &name, &format!("{done} ready"), is_so).await?;
        settle().await;
        ensure!(phase(&job.get().await?) == Some(Phase::Running));
        pod.exit(0)?;
    }
    let finished = job.until_ended("Completed", "done on 3 of 3 nodes").await?;
    ensure!(phase(&finished) == Some(Phase::Completed));
    let status = finished.status.clone().context("a status")?;
    ensure!((status.desired, status.succeeded) == (3, 3), "{status:?}");
    ensure!((status.active, status.failed) == (0, 0), "{status:?}");
    ensure!(status.completed.as_deref() == Some("3/3"), "{status:?}");
    ensure!(status.nodes.is_empty(), "{status:?}");
    ensure!(status.completed_nodes.as_ref().map(|set| set.len()) == Some(3), "{status:?}");
    ensure!(status.duration.is_some(), "{status:?}");
    let start = status.start_time.context("a start")?;
    ensure!(status.completion_time.context("a completion time")? >= start);
    ensure!(condition(&finished, COMPLETE).is_some());
    job.until_stopped().await
}

#[apply(shared_test)]
async fn no_log_is_read_and_no_word_ends_an_exit_code_job(cx: &Test) -> Result<()> {
    let (operator, terminator) = cx.both().await?;
    let (job, pods) = cx.running(&exit_code_manifest("silent")).await?;
    log_done(&pods)?;
    settle().await;
    job.until_completed("0/3").await?;
    for pod in &pods {
        ensure!(!is_recorded(&pod.object()));
        pod.exit(0)?;
    }
    job.until_completed("3/3").await?;
    for pod in &pods {
        // The containers that idle have a log as well.
        ensure!(pod.log_requests() == 0);
    }
    let reads = [operator.log_reads(), terminator.log_reads()].concat();
    ensure!(reads.is_empty(), "{reads:?}");
    let writes = terminator.writes();
    ensure!(writes.is_empty(), "{writes:?}");
    Ok(())
}

#[apply(shared_test)]
async fn failing_container_is_retried_and_reported_until_it_succeeds(cx: &Test) -> Result<()> {
    let _processes = cx.both().await?;
    let (job, [first, failing, third]) = cx.running(&exit_code_manifest("retried")).await?;
    failing.exit_with(3, "no space left on device\n")?;
    let node = job.until_node("worker-1", "has exited", |n| n.exit_code.is_some()).await?;
    ensure!((node.restarts, node.exit_code) == (0, Some(3)), "{node:?}");
    ensure!(node.state == NodeState::Pending, "{node:?}");
    let message = "Error: no space left on device";
    ensure!(node.message.as_deref() == Some(message), "{node:?}");

    failing.restart()?;
    let node = job.until_node("worker-1", "runs again", |n| n.restarts == 1).await?;
    ensure!(node.state == NodeState::Running, "{node:?}");
    ensure!(node.exit_code == Some(3), "{node:?}");
    ensure!(node.message.as_deref() == Some(message), "{node:?}");

    exit_well([&first, &third])?;
    job.until_completed("2/3").await?;
    failing.exit(0)?;
    let finished = job.until_ended("Completed", "done on 3 of 3 nodes").await?;
    ensure!(find_node(&finished, "worker-1").is_none(), "{finished:?}");
    Ok(())
}

#[apply(shared_test)]
async fn work_is_an_init_container_and_then_an_image_of_ours_idles(cx: &Test) -> Result<()> {
    let _operator = cx.operator().await?;
    let job = cx.apply(&exit_code_manifest("shape")).await?;
    let daemon_set = serde_json::to_value(job.daemon_set().await?)?;
    let pod = &daemon_set["spec"]["template"]["spec"];
    let names = |containers: &Value| -> Vec<Value> {
        let containers = containers.as_array().into_iter().flatten();
        containers.map(|container| container["name"].clone()).collect()
    };
    ensure!(names(&pod["initContainers"]) == ["job-container"], "{pod}");
    ensure!(names(&pod["containers"]) == ["idle"], "{pod}");
    ensure!(pod["containers"][0]["image"] == operator::Config::default().pause_image);
    ensure!(pod["containers"][0]["args"] == json!(["pause"]), "{pod}");
    ensure!(pod["readinessGates"].is_null(), "{pod}");
    let mounts = &pod["initContainers"][0]["volumeMounts"];
    ensure!(mounts[0]["mountPath"] == "/basetarget", "{pod}");
    Ok(())
}
