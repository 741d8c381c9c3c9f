//! `kubectl dsjob run`: a Job in one line, its output, its exit code.

use std::time::Duration;

use anyhow::{Result, ensure};
use api::job::Job;
use testbed::simulation::SimPod;

use super::Printed;
use crate::cluster::NODES;
use crate::kubectl::Kubectl;
use crate::test::{Test, shared_test};

/// Lets each pod of the test say something and exit, with this code on worker-1.
fn behave(cx: &Test, code: i32) {
    cx.sim().behave(&cx.namespace, move |pod: SimPod| async move {
        let node = pod.node().unwrap_or_default();
        // A pod that is gone meanwhile has nothing to say.
        let _ = pod.log(format!("begin on {node}\n"));
        tokio::time::sleep(Duration::from_millis(300)).await;
        let _ = pod.log(format!("end on {node}\n"));
        let _ = pod.exit_with(if node == "worker-1" { code } else { 0 }, "");
    });
}

#[apply(shared_test)]
async fn output_of_all_nodes_comes_prefixed_and_the_exit_code_is_the_jobs(cx: &Test) -> Result<()> {
    let _processes = cx.both().await?;
    behave(cx, 0);
    let dsjob = &Kubectl::admin(cx)?;
    let ended = dsjob.run("run greet --image busybox:1.36 --follow --rm -- greet").await?;
    ensure!(ended.code == 0, "{ended:?}");
    for node in NODES {
        for word in ["begin", "end"] {
            let line = format!("[{node}] {word} on {node}");
            let count = ended.stdout.lines().filter(|said| *said == line).count();
            ensure!(count == 1, "{line}: {count} times in {ended:?}");
        }
    }
    ensure!(ended.stderr.contains("3/3") && ended.stderr.contains("greet deleted"), "{ended:?}");
    ensure!(
        cx.api::<Job>()
            .get_opt("greet")
            .await?
            .is_none_or(|job| job.metadata.deletion_timestamp.is_some())
    );
    Ok(())
}

#[apply(shared_test)]
async fn failed_node_makes_the_exit_code_1_and_is_named_with_its_last_words(
    cx: &Test,
) -> Result<()> {
    let _processes = cx.both().await?;
    behave(cx, 4);
    let dsjob = &Kubectl::admin(cx)?;
    let ended = dsjob.run("run fails --image busybox --retries 0 --follow -- fail").await?;
    ensure!(ended.code == 1, "{ended:?}");
    ensure!(ended.stdout.contains("[worker-1] end on worker-1"), "{ended:?}");
    ensure!(ended.stderr.contains("NodesFailed") && ended.stderr.contains("worker-1"), "{ended:?}");
    // The evidence stays.
    ensure!(dsjob.ok("status fails").await?.contains("Failed"));
    Ok(())
}

#[apply(shared_test)]
async fn every_run_of_a_container_that_restarts_is_heard(cx: &Test) -> Result<()> {
    let _processes = cx.both().await?;
    let dsjob = &Kubectl::admin(cx)?;
    let printed = Printed::new(cx, "again");
    let work = async {
        let job = cx.job("again");
        let pod = job.pod("worker-1").await?;
        pod.log("first run\n")?;
        printed.until(cx, "first run").await?;
        pod.exit_with(1, "")?;
        job.until_node("worker-1", "has exited", |node| node.exit_code == Some(1)).await?;
        pod.restart()?;
        pod.log("second run\n")?;
        printed.until(cx, "second run").await?;
        // The connection breaks in the middle of it.
        pod.cut_log_streams();
        pod.log("after the cut\n")?;
        printed.until(cx, "after the cut").await?;
        pod.exit(0)
    };
    let line = "run again --image busybox --on kubernetes.io/hostname=worker-1 --follow -- work";
    let (ended, work) = futures::join!(dsjob.print_to(line, &printed.0), work);
    work?;
    let ended = ended?;
    ensure!(ended.code == 0, "{ended:?}");
    let lines = ["first run", "second run", "after the cut"];
    let expected = lines.map(|line| format!("[worker-1] {line}\n")).concat();
    ensure!(printed.text() == expected, "{}", printed.text());
    Ok(())
}

#[apply(shared_test)]
async fn timeout_has_exit_code_2_and_leaves_the_job_unless_it_is_to_go(cx: &Test) -> Result<()> {
    let _processes = cx.both().await?;
    let dsjob = &Kubectl::admin(cx)?;
    let ended = dsjob.run("run slow --image busybox --follow --timeout 2s -- sleep 100").await?;
    ensure!(ended.code == 2 && ended.stderr.contains("kubectl dsjob cancel slow"), "{ended:?}");
    ensure!(cx.api::<Job>().get_opt("slow").await?.is_some());
    let ended =
        dsjob.run("run gone --image busybox --follow --rm --timeout 2s -- sleep 100").await?;
    ensure!(ended.code == 2 && ended.stderr.contains("gone deleted"), "{ended:?}");
    Ok(())
}

#[apply(shared_test)]
async fn dry_runs_print_the_manifest_and_make_nothing(cx: &Test) -> Result<()> {
    let dsjob = &Kubectl::admin(cx)?;
    let line =
        "run dry --image busybox --parallelism 10% --deadline 10m --dry-run=client -o yaml -- true";
    let yaml = dsjob.ok(line).await?;
    for part in ["kind: Job", "parallelism: 10%", "activeDeadlineSeconds: 600", "name: dry"] {
        ensure!(yaml.contains(part), "{part}: {yaml}");
    }
    let text = dsjob.ok("run dry --image busybox --dry-run=client -- true").await?;
    ensure!(text == "job.daemonset.darkowlzz.space/dry created (dry run)\n", "{text}");
    let text = dsjob.ok("run dry --image busybox --dry-run=server -- true").await?;
    ensure!(text == "job.daemonset.darkowlzz.space/dry created (server dry run)\n", "{text}");
    ensure!(cx.api::<Job>().get_opt("dry").await?.is_none());
    let refused = dsjob.fails("run bad --image busybox --mount etc -- true", 1).await?;
    ensure!(refused.contains("must be an absolute path"), "{refused}");
    let refused = dsjob.fails("run Bad_Name --image busybox -- true", 1).await?;
    ensure!(refused.contains("did you mean \"bad-name\"?"), "{refused}");
    dsjob.ok("run twice --image busybox -- true").await?;
    let refused = dsjob.fails("run twice --image busybox -- true", 1).await?;
    ensure!(refused.contains("already exists"), "{refused}");
    Ok(())
}
