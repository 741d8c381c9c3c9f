//! The connection to the API server is cut while a command watches.

use std::time::Duration;

use anyhow::{Result, ensure};
use harness::process::{Ended, LogDir};
use k8s_openapi::api::rbac::v1::RoleBinding;
use kube::api::DeleteParams;

use super::{Printed, viewer};
use crate::cluster::{NODES, artifacts};
use crate::job::{exit_code_manifest, exit_well};
use crate::kubectl::Kubectl;
use crate::outage::Way;
use crate::test::{Test, settle, shared_test};

/// Long enough for some attempts to go on.
const OUTAGE: Duration = Duration::from_secs(3);

/// The same user, whose way to the API server can be cut.
pub(super) async fn on_a_way(cx: &Test, user: &Kubectl) -> Result<(Way, Kubectl)> {
    let (way, config) = Way::into(&std::fs::read_to_string(&user.config)?).await?;
    let folder = artifacts().join(&cx.namespace);
    let file = folder.join("way.kubeconfig");
    std::fs::write(&file, config)?;
    Ok((way, Kubectl::with_config(file, LogDir::create(&folder)?, &[])?))
}

/// Says that the watch was interrupted, once, and that nothing is missing.
fn verify_goes_on(ended: &Ended) -> Result<()> {
    ensure!(ended.code == 0, "{ended:?}");
    ensure!(ended.stderr.matches("is interrupted and goes on").count() == 1, "{ended:?}");
    ensure!(!ended.stderr.contains("output is missing"), "{ended:?}");
    Ok(())
}

#[apply(shared_test)]
async fn commands_that_watch_go_on_after_an_outage_and_lose_no_line(cx: &Test) -> Result<()> {
    let _processes = cx.both().await?;
    let (_, waited) = cx.running(&exit_code_manifest("waited")).await?;
    let (way, dsjob) = on_a_way(cx, &Kubectl::admin(cx)?).await?;
    let [status, wait, logs, run] =
        ["status", "wait", "logs", "run"].map(|name| Printed::new(cx, name));
    let commands = futures::future::join4(
        dsjob.print_to("status waited --watch", &status.0),
        dsjob.print_to("wait waited --timeout 2m", &wait.0),
        dsjob.print_to("logs waited --follow", &logs.0),
        dsjob.print_to("run runs --image busybox --follow -- work", &run.0),
    );
    let work = async {
        let runs = cx.job("runs").pods().await?;
        let say = |words: &str| {
            waited.iter().chain(&runs).try_for_each(|pod| pod.log(format!("{words}\n")))
        };
        say("before")?;
        for node in NODES {
            for printed in [&logs, &run] {
                printed.until(cx, &format!("[{node}] before")).await?;
            }
        }
        status.until(cx, "0/3").await?;
        way.open.send_replace(false);
        say("meanwhile")?;
        tokio::time::sleep(OUTAGE).await;
        way.open.send_replace(true);
        for node in NODES {
            for printed in [&logs, &run] {
                printed.until(cx, &format!("[{node}] meanwhile")).await?;
            }
        }
        say("after")?;
        for node in NODES {
            for printed in [&logs, &run] {
                printed.until(cx, &format!("[{node}] after")).await?;
            }
        }
        exit_well(waited.iter().chain(&runs))
    };
    let ((of_status, of_wait, of_logs, of_run), work) = futures::join!(commands, work);
    work?;
    let of_status = of_status?;
    ensure!(of_status.code == 0 && status.text().contains("3/3"), "{of_status:?}");
    ensure!(status.text().lines().last().is_some_and(|line| line.contains("Completed")));
    for ended in [of_wait?, of_logs?, of_run?] {
        verify_goes_on(&ended)?;
    }
    ensure!(wait.text().contains("complete"), "{}", wait.text());
    for node in NODES {
        for words in ["before", "meanwhile", "after"] {
            for printed in [&logs, &run] {
                let line = format!("[{node}] {words}");
                ensure!(printed.count(&line) == 1, "{line}:\n{}", printed.text());
            }
        }
    }
    Ok(())
}

#[apply(shared_test)]
async fn connections_that_die_in_silence_are_given_up_and_no_line_is_lost(cx: &Test) -> Result<()> {
    let _processes = cx.both().await?;
    let (_, pods) = cx.running(&exit_code_manifest("silent")).await?;
    let (way, dsjob) = on_a_way(cx, &Kubectl::admin(cx)?).await?;
    let logs = Printed::new(cx, "logs");
    let command = dsjob.print_to("logs silent --follow", &logs.0);
    let work = async {
        let say = |words: &str| pods.iter().try_for_each(|pod| pod.log(format!("{words}\n")));
        say("before")?;
        for node in NODES {
            logs.until(cx, &format!("[{node}] before")).await?;
        }
        way.forget();
        say("meanwhile")?;
        for node in NODES {
            logs.until(cx, &format!("[{node}] meanwhile")).await?;
        }
        exit_well(&pods)
    };
    let (ended, work) = futures::join!(command, work);
    work?;
    let ended = ended?;
    ensure!(ended.code == 0, "{ended:?}");
    ensure!(!ended.stderr.contains("output is missing"), "{ended:?}");
    for node in NODES {
        for words in ["before", "meanwhile"] {
            let line = format!("[{node}] {words}");
            ensure!(logs.count(&line) == 1, "{line}:\n{}", logs.text());
        }
    }
    Ok(())
}

#[apply(shared_test)]
async fn end_that_an_outage_hides_is_noticed_and_lost_output_is_reported(cx: &Test) -> Result<()> {
    let _processes = cx.both().await?;
    let (job, pods) = cx.running(&exit_code_manifest("hidden")).await?;
    let (way, dsjob) = on_a_way(cx, &Kubectl::admin(cx)?).await?;
    let [status, wait, logs] = ["status", "wait", "logs"].map(|name| Printed::new(cx, name));
    let commands = futures::future::join3(
        dsjob.print_to("status hidden --watch", &status.0),
        dsjob.print_to("wait hidden --timeout 2m", &wait.0),
        dsjob.print_to("logs hidden --follow", &logs.0),
    );
    let work = async {
        pods.iter().try_for_each(|pod| pod.log("before\n"))?;
        logs.until(cx, "[worker-2] before").await?;
        status.until(cx, "0/3").await?;
        settle().await;
        way.open.send_replace(false);
        pods.iter().try_for_each(|pod| pod.log("nobody hears this\n"))?;
        exit_well(&pods)?;
        job.until_all_done().await?;
        job.until_stopped().await?;
        way.open.send_replace(true);
        anyhow::Ok(())
    };
    let ((of_status, of_wait, of_logs), work) = futures::join!(commands, work);
    work?;
    let (of_status, of_wait, of_logs) = (of_status?, of_wait?, of_logs?);
    ensure!(of_status.code == 0 && status.text().contains("3/3"), "{of_status:?}");
    verify_goes_on(&of_wait)?;
    // The pods are gone, and with them what they said.
    ensure!(of_logs.code == 1, "{of_logs:?}");
    ensure!(of_logs.stderr.contains("some output is missing"), "{of_logs:?}");
    Ok(())
}

#[apply(shared_test)]
async fn commands_without_an_api_server_end_with_an_error_and_make_nothing(
    cx: &Test,
) -> Result<()> {
    cx.apply(&exit_code_manifest("far")).await?;
    let (way, dsjob) = on_a_way(cx, &Kubectl::admin(cx)?).await?;
    way.open.send_replace(false);
    for line in [
        "list",
        "status far",
        "status far --watch",
        "wait far",
        "explain far",
        "logs far --follow",
        "results far",
        "report far",
        "retry far",
        "suspend far",
        "cancel far",
        "check",
        "run new --image busybox --follow -- true",
    ] {
        let said = dsjob.fails(line, 1).await?;
        ensure!(said.starts_with("error: ") && said.contains("API server"), "{line}: {said}");
    }
    way.open.send_replace(true);
    let names = dsjob.ok("list -o name").await?;
    ensure!(names == "job.daemonset.darkowlzz.space/far\n", "{names}");
    Ok(())
}

#[apply(shared_test)]
async fn watch_that_may_not_go_on_ends_with_the_error(cx: &Test) -> Result<()> {
    let _processes = cx.both().await?;
    cx.running(&exit_code_manifest("secret")).await?;
    let (way, dsjob) = on_a_way(cx, &viewer(cx).await?).await?;
    let work = async {
        way.until_taken().await?;
        way.open.send_replace(false);
        cx.api::<RoleBinding>().delete("limited", &DeleteParams::default()).await?;
        settle().await;
        way.open.send_replace(true);
        anyhow::Ok(())
    };
    let (said, work) = futures::join!(dsjob.fails("wait secret --timeout 1m", 1), work);
    work?;
    let said = said?;
    ensure!(said.contains("you lack the right to"), "{said}");
    Ok(())
}
