//! The connection to the API server is cut while a command watches.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use api::labels;
use harness::process::LogDir;
use k8s_openapi::api::rbac::v1::RoleBinding;
use kube::api::DeleteParams;
use serde_json::{Value, json};
use testbed::simulation::SimPod;

use super::{Ended, with_rules};
use crate::cluster::{NODES, artifacts};
use crate::job::{exit_code_manifest, exit_well};
use crate::kubectl::Kubectl;
use crate::outage::Way;
use crate::test::{Test, settle, shared_test};

/// Long enough for some attempts to go on.
const OUTAGE: Duration = Duration::from_secs(3);

/// The same user, whose way to the API server can be cut.
async fn on_a_way(cx: &Test, user: &Kubectl) -> Result<(Way, Kubectl)> {
    let mut config: Value = serde_json::from_str(&std::fs::read_to_string(&user.config)?)?;
    let server = &mut config["clusters"][0]["cluster"]["server"];
    let host = server.as_str().and_then(|url| url.strip_prefix("https://"));
    let way = Way::to(host.context("a server")?.trim_end_matches('/').to_owned()).await?;
    *server = json!(format!("https://{}", way.address));
    let folder = artifacts().join(&cx.namespace);
    let file = folder.join("way.kubeconfig");
    std::fs::write(&file, config.to_string())?;
    Ok((way, Kubectl::with_config(file, LogDir::create(&folder)?, &[])?))
}

/// The file of a command's output, and what is in it.
struct Printed(PathBuf);

impl Printed {
    fn new(cx: &Test, name: &str) -> Self {
        Self(artifacts().join(&cx.namespace).join(format!("{name}.txt")))
    }

    fn text(&self) -> String {
        std::fs::read_to_string(&self.0).unwrap_or_default()
    }

    /// Waits until it has this.
    async fn until(&self, cx: &Test, words: &str) -> Result<()> {
        cx.until(words, async || Ok(self.text().contains(words))).await
    }

    /// How often it has a line.
    fn count(&self, line: &str) -> usize {
        self.text().lines().filter(|printed| *printed == line).count()
    }
}

/// Waits until the pods of a Job run.
async fn pods_of(cx: &Test, job: &str) -> Result<Vec<SimPod>> {
    let prefix = format!("{}-", labels::daemon_set(job));
    let mut pods = Vec::new();
    for node in NODES {
        let is_it = |pod: &SimPod| {
            pod.is_running()
                && pod.name().starts_with(&prefix)
                && pod.node().as_deref() == Some(node)
        };
        pods.push(cx.sim().wait_for(&cx.namespace, "a running pod", is_it).await?);
    }
    Ok(pods)
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
        let runs = pods_of(cx, "runs").await?;
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
    let rules = json!([{
        "apiGroups": ["daemonset.darkowlzz.space"], "resources": ["jobs"],
        "verbs": ["get", "list", "watch"],
    }]);
    let (way, dsjob) = on_a_way(cx, &with_rules(cx, &rules).await?).await?;
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
