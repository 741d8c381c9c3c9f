//! `kubectl dsjob run`: a Job in one line, its output, its exit code.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use api::job::Job;
use testbed::simulation::SimPod;

use crate::cluster::{NODES, artifacts};
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
    let work = async {
        let pod = cx.sim().wait_for(&cx.namespace, "pod on worker-1", |pod| {
            pod.node().as_deref() == Some("worker-1") && pod.is_running()
        });
        let pod = pod.await?;
        pod.log("first run\n")?;
        pod.exit_with(1, "")?;
        tokio::time::sleep(Duration::from_millis(500)).await;
        pod.restart()?;
        pod.log("second run\n")?;
        // The connection breaks in the middle of it.
        tokio::time::sleep(Duration::from_millis(700)).await;
        pod.cut_log_streams();
        pod.log("after the cut\n")?;
        tokio::time::sleep(Duration::from_millis(300)).await;
        pod.exit(0)
    };
    let line = "run again --image busybox --on kubernetes.io/hostname=worker-1 --follow -- work";
    let (ended, work) = futures::join!(dsjob.run(line), work);
    work?;
    let ended = ended?;
    ensure!(ended.code == 0, "{ended:?}");
    let said: Vec<_> = ended.stdout.lines().collect();
    let expected =
        ["first run", "second run", "after the cut"].map(|it| format!("[worker-1] {it}"));
    ensure!(said == expected, "{said:?}");
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

/// The most time between a line of a pod and the same line on standard output, on a busy machine.
///
/// The scenario `plugin-runs-watches-and-collects` says how much it is.
const PROMPT: Duration = Duration::from_secs(1);

#[apply(shared_test)]
async fn line_of_a_pod_is_printed_as_it_comes(cx: &Test) -> Result<()> {
    let _processes = cx.both().await?;
    let file = artifacts().join(&cx.namespace).join("prompt.txt");
    let dsjob = &Kubectl::admin(cx)?;
    let delays = async {
        let mut delays = Vec::new();
        for node in NODES {
            let running = cx.sim().wait_for(&cx.namespace, "pod", |pod| {
                pod.node().as_deref() == Some(node) && pod.is_running()
            });
            let pod = running.await?;
            pod.until_log_requests(1).await?;
            let spoken = Instant::now();
            pod.log(format!("word of {node}\n"))?;
            let word = format!("[{node}] word of {node}");
            while !std::fs::read_to_string(&file).unwrap_or_default().contains(&word) {
                ensure!(spoken.elapsed() < Duration::from_secs(60), "{word} is not printed");
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            delays.push(spoken.elapsed());
            pod.exit(0)?;
        }
        Ok(delays)
    };
    let line = "run prompt --image busybox --follow -- work";
    let (ended, delays) = futures::join!(dsjob.print_to(line, &file), delays);
    let delays = delays?;
    ensure!(ended?.code == 0);
    // Other tests keep the machine busy.
    ensure!(delays.iter().min().is_some_and(|delay| *delay < PROMPT), "{delays:?}");
    Ok(())
}
