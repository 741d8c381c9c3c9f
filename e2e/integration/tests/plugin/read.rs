//! Commands that only read: list, status, wait, logs, results, report, check, version, completion.

use std::os::unix::fs::PermissionsExt as _;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use testbed::simulation::SimPod;

use super::Printed;
use super::outage::on_a_way;
use crate::cluster::artifacts;
use crate::job::{exit_code_manifest, exit_well, log_done, manifest};
use crate::kubectl::Kubectl;
use crate::test::{Test, shared_test};

#[apply(shared_test)]
async fn plugin_is_found_by_kubectl_and_knows_its_commands(cx: &Test) -> Result<()> {
    let dsjob = &Kubectl::admin(cx)?;
    let listed = dsjob.kubectl(&["plugin", "list"]).await?;
    ensure!(listed.stdout.contains("kubectl-dsjob"), "{listed:?}");
    let help = dsjob.ok("--help").await?;
    for command in ["run", "list", "status", "wait", "explain", "logs", "results", "report"] {
        ensure!(help.contains(&format!("\n  {command} ")), "{command}: {help}");
    }
    let usage = dsjob.fails("stats", 1).await?;
    ensure!(usage.contains("status"), "the likely command: {usage}");
    Ok(())
}

#[apply(shared_test)]
async fn failed_job_is_listed_shown_and_keeps_its_evidence(cx: &Test) -> Result<()> {
    let _processes = cx.both().await?;
    let (job, pods) = cx.running(&exit_code_manifest("mixed").backoff_limit(0)).await?;
    for pod in &pods {
        pod.log(format!("hello from {}\n", pod.node().unwrap_or_default()))?;
    }
    job.fail_on_worker_1(3, "no space left on device\n").await?;
    let dsjob = &Kubectl::admin(cx)?;
    is_listed(cx, dsjob).await?;
    is_shown(cx, dsjob).await?;
    has_evidence(dsjob).await?;
    let said = dsjob.fails("wait mixed", 1).await?;
    ensure!(said.contains("NodesFailed"), "{said}");
    Ok(())
}

/// `list` in every format, with another Job beside it.
async fn is_listed(cx: &Test, dsjob: &Kubectl) -> Result<()> {
    cx.apply(&manifest("well")).await?.pods().await?;
    let text = dsjob.ok("list").await?;
    let lines: Vec<_> = text.lines().collect();
    ensure!(lines.len() == 3 && lines[0].starts_with("NAME "), "{text}");
    ensure!(lines[1].starts_with("mixed ") && lines[1].contains("Failed"), "{text}");
    ensure!(!dsjob.ok("list --failed").await?.contains("well"));
    let everywhere = dsjob.ok("list -A").await?;
    ensure!(everywhere.starts_with("NAMESPACE ") && everywhere.contains(&cx.namespace));
    let json = dsjob.json("list -o json").await?;
    let items = json["items"].as_array().context("items")?;
    ensure!(items.len() == 2 && items[0]["kind"] == "Job", "{json}");
    ensure!(items[0]["metadata"]["managedFields"].is_null(), "{json}");
    ensure!(dsjob.ok("list -o yaml").await?.contains("kind: List"));
    let names = dsjob.ok("list -o name").await?;
    ensure!(names.lines().next() == Some("job.daemonset.darkowlzz.space/mixed"), "{names}");
    ensure!(dsjob.ok("list -o wide").await?.contains("NodesFailed"));
    let none = dsjob.run("list -l no=such").await?;
    ensure!(none.stdout.is_empty() && none.stderr.starts_with("No resources found"), "{none:?}");
    Ok(())
}

/// `status` lists failed nodes first, and done ones too.
async fn is_shown(cx: &Test, dsjob: &Kubectl) -> Result<()> {
    let text = dsjob.ok("status dsjob/mixed").await?;
    let first = text.lines().next().unwrap_or_default();
    ensure!(
        first.starts_with("mixed (") && first.contains("2/3") && first.contains("failed 1"),
        "{text}"
    );
    let nodes: Vec<_> =
        text.lines().skip_while(|line| !line.starts_with("NODE ")).skip(1).collect();
    ensure!(nodes.len() == 3 && nodes[0].starts_with("worker-1 "), "{text}");
    ensure!(nodes[0].contains("Failed") && nodes[0].contains("no space left on device"), "{text}");
    ensure!(nodes[1..].iter().all(|line| line.contains("Done")), "{text}");
    let json = dsjob.json("status mixed -o json").await?;
    let counts =
        json!({"desired": 3, "done": 2, "failed": 1, "active": 0, "waiting": 0, "missing": 0});
    ensure!(json["counts"] == counts, "{json}");
    ensure!(json["nodes"][0]["exitCode"] == 3, "{json}");
    let missing = dsjob.fails("status mixd", 1).await?;
    ensure!(missing.contains("did you mean mixed?"), "{missing}");
    let missing = dsjob.fails("explain never-was", 1).await?;
    ensure!(missing.contains("no Job \"never-was\""), "{missing}");
    let elsewhere = dsjob.fails("status mixed -n default", 1).await?;
    ensure!(elsewhere.contains(&cx.namespace), "{elsewhere}");
    Ok(())
}

/// `results`, `logs --failed` and `report` have what the failed node said.
async fn has_evidence(dsjob: &Kubectl) -> Result<()> {
    let json = dsjob.json("results mixed -o json").await?;
    let rows = json.as_array().context("rows")?;
    ensure!(rows.len() == 3 && rows[0]["state"] == "Failed", "{json}");
    ensure!(rows.iter().all(|row| row["uid"].is_string()), "{json}");
    let csv = dsjob.ok("results mixed -o csv").await?;
    ensure!(csv.starts_with("node,uid,state,") && csv.contains("no space left on device"), "{csv}");
    let failed = dsjob.ok("results mixed --failed").await?;
    ensure!(failed.lines().count() == 2 && failed.contains("worker-1"), "{failed}");
    let output = dsjob.ok("logs mixed --failed").await?;
    ensure!(output.contains("[worker-1] no space left on device"), "{output}");
    let page = dsjob.ok("report mixed").await?;
    ensure!(page.starts_with("<!doctype html>") && page.contains("no space left on device"));
    let data = page.split_once("application/json\">").context("data")?.1;
    let data: Value = serde_json::from_str(data.split_once("</script>").context("data")?.0)?;
    ensure!(data["job"]["counts"]["failed"] == 1 && data["image"].is_string(), "{data}");
    Ok(())
}

#[apply(shared_test)]
async fn wait_has_an_exit_code_for_each_end(cx: &Test) -> Result<()> {
    let _processes = cx.both().await?;
    let (_, pods) = cx.running(&manifest("deletes-itself")).await?;
    let dsjob = &Kubectl::admin(cx)?;
    let said = dsjob.fails("wait deletes-itself --timeout 1s", 2).await?;
    ensure!(said.contains("timed out"), "{said}");
    let (way, waiting) = on_a_way(cx, dsjob).await?;
    let work = async {
        way.until_taken().await?;
        log_done(&pods)
    };
    let (text, work) = futures::join!(waiting.ok("wait deletes-itself --timeout 1m"), work);
    work?;
    let text = text?;
    ensure!(text.contains("deletes-itself complete"), "{text}");
    cx.apply(&manifest("cancelled")).await?.pods().await?;
    let (way, waiting) = on_a_way(cx, dsjob).await?;
    let cancel = async {
        way.until_taken().await?;
        dsjob.ok("cancel cancelled").await
    };
    let (said, cancelled) = futures::join!(waiting.fails("wait cancelled", 1), cancel);
    cancelled?;
    let said = said?;
    ensure!(said.contains("deleted before it was done"), "{said}");
    Ok(())
}

#[apply(shared_test)]
async fn logs_are_prefixed_by_node_or_a_file_a_node(cx: &Test) -> Result<()> {
    let _processes = cx.both().await?;
    let job = cx.apply(&manifest("chatty")).await?;
    for pod in job.pods().await? {
        pod.log(format!("first of {0}\nlast of {0}\n", pod.node().unwrap_or_default()))?;
    }
    let dsjob = &Kubectl::admin(cx)?;
    let text = dsjob.ok("logs chatty").await?;
    ensure!(text.lines().count() == 6 && text.contains("[worker-1] first of worker-1\n"), "{text}");
    let tail = dsjob.ok("logs chatty --node worker-2 --tail 1").await?;
    ensure!(tail == "[worker-2] last of worker-2\n", "{tail}");
    let error = dsjob.fails("logs chatty --node worker2", 1).await?;
    ensure!(error.contains("worker-2"), "{error}");
    let folder = artifacts().join(&cx.namespace).join("collected");
    let line = format!("logs chatty --max-log-requests 2 --output-dir {}", folder.display());
    dsjob.ok(&line).await?;
    let mut names: Vec<_> = std::fs::read_dir(&folder)?
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect::<Result<_>>()?;
    names.sort();
    ensure!(names == ["control-plane.log", "worker-1.log", "worker-2.log"], "{names:?}");
    let text = std::fs::read_to_string(folder.join("worker-1.log"))?;
    ensure!(text == "first of worker-1\nlast of worker-1\n", "{text}");
    Ok(())
}

#[apply(shared_test)]
async fn check_and_version_describe_the_installation(cx: &Test) -> Result<()> {
    let dsjob = &Kubectl::admin(cx)?;
    // The operator of this test is no pod.
    let ended = dsjob.run("check").await?;
    ensure!(ended.code == 1, "{ended:?}");
    ensure!(ended.stdout.contains("✓ Kubernetes v1."), "{ended:?}");
    ensure!(ended.stdout.contains("v1beta1 jobs is served"), "{ended:?}");
    ensure!(ended.stdout.contains("✗ "), "{ended:?}");
    ensure!(
        ended.stdout.contains("create jobs.daemonset.darkowlzz.space in namespace"),
        "{ended:?}"
    );
    let json: Value = serde_json::from_str(&dsjob.run("check -o json").await?.stdout)?;
    ensure!(json.as_array().is_some_and(|items| items.len() > 10), "{json}");
    let version = dsjob.json("version -o json").await?;
    ensure!(version["client"].is_string() && version["kubernetes"].is_string(), "{version}");
    Ok(())
}

#[apply(shared_test)]
async fn kubectl_completes_commands_names_and_flags_of_the_plugin(cx: &Test) -> Result<()> {
    cx.apply(&manifest("completed-by-tab")).await?;
    let dsjob = &Kubectl::admin(cx)?;
    let script = dsjob.ok("completion kubectl").await?;
    let folder = artifacts().join(&cx.namespace).join("bin");
    std::fs::create_dir_all(&folder)?;
    let file = folder.join("kubectl_complete-dsjob");
    std::fs::write(&file, script)?;
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755))?;
    let logs = harness::process::LogDir::create(artifacts().join(&cx.namespace))?;
    let dsjob = Kubectl::with_config(dsjob.config.clone(), logs, &[&folder])?;
    for (typed, expected) in [
        (&["dsjob", "st"][..], "status"),
        (&["dsjob", "status", "comp"], "completed-by-tab"),
        (&["dsjob", "status", "x", "--wa"], "--watch"),
        (&["dsjob", "list", "-n", "kube-s"], "kube-system"),
        (&["dsjob", "logs", "x", "--node", "worker-"], "worker-1"),
    ] {
        let words: Vec<_> = std::iter::once("__complete").chain(typed.iter().copied()).collect();
        let ended = dsjob.kubectl(&words).await?;
        ensure!(ended.stdout.lines().any(|line| line == expected), "{typed:?}: {ended:?}");
    }
    for shell in ["bash", "zsh", "fish", "powershell"] {
        let script = dsjob.ok(&format!("completion {shell}")).await?;
        ensure!(script.contains("explain"), "{shell}");
    }
    Ok(())
}

#[apply(shared_test)]
async fn earlier_runs_and_running_ones_have_their_logs(cx: &Test) -> Result<()> {
    let _processes = cx.both().await?;
    let (_, [first, failing, third]) = cx.running(&exit_code_manifest("twice")).await?;
    failing.log("first run\n")?;
    failing.exit_with(1, "")?;
    failing.restart()?;
    failing.log("second run\n")?;
    let dsjob = &Kubectl::admin(cx)?;
    let earlier = async || {
        let printed = dsjob.run("logs twice --node worker-1 --previous").await?;
        Ok(printed.stdout == "[worker-1] first run\n")
    };
    cx.until("the log of the earlier run", earlier).await?;
    let current = dsjob.ok("logs twice --node worker-1").await?;
    ensure!(current == "[worker-1] second run\n", "{current}");
    let printed = Printed::new(cx, "followed");
    let work = async {
        printed.until(cx, "second run").await?;
        failing.log("last words\n")?;
        exit_well([&first, &failing, &third])
    };
    let (ended, work) = futures::join!(dsjob.print_to("logs twice -f", &printed.0), work);
    work?;
    let text = printed.text();
    ensure!(ended?.code == 0 && text.contains("[worker-1] last words\n"), "{text}");
    Ok(())
}

#[apply(shared_test)]
async fn check_runs_a_job_on_one_node_and_deletes_it(cx: &Test) -> Result<()> {
    let _processes = cx.both().await?;
    cx.sim().behave(&cx.namespace, |pod: SimPod| async move {
        // A pod that is gone meanwhile has nothing to do.
        let _ = pod.exit(0);
    });
    let dsjob = &Kubectl::admin(cx)?;
    let ended = dsjob.run("check --run-on worker-1").await?;
    ensure!(ended.stdout.contains("✓ a Job on worker-1 was done after"), "{ended:?}");
    ensure!(dsjob.run("list").await?.stderr.starts_with("No resources found"));
    let refused = dsjob.fails("check --image busybox", 1).await?;
    ensure!(refused.contains("--run-on"), "{refused}");
    Ok(())
}
