//! Runs, watches, collects, retries, suspends and cancels Jobs by the plugin alone.

use anyhow::{Context as _, Result, ensure};
use harness::images::BUSYBOX;
use serde_json::json;

use super::kubectl::Plugin;
use super::prompt;
use crate::support::env::ScenarioEnv;

/// The number of nodes at work, in a status.
const ACTIVE: &str = "/counts/active";

/// Says something when it begins, when it goes on and when it ends, and fails where `bad` is.
const TALK: &str = "trap 'exit 143' TERM; echo begin; until [ -e /basetarget/go ]; do sleep 0.1; done; \
                    echo middle; until [ -e /basetarget/leave ]; do sleep 0.1; done; \
                    echo end; [ ! -e /basetarget/bad ]";
/// Works until it is stopped.
const WORK: &str = "trap 'exit 143' TERM; while :; do sleep 0.1; done";

/// Two Jobs at the same time: one talks, fails on one node and is retried, the other is stopped.
pub(crate) async fn watches_and_collects(env: &ScenarioEnv<'_>) -> Result<()> {
    let plugin = Plugin::new(env).await?;
    let listed = plugin.end(plugin.kubectl(&["plugin", "list"])).await?;
    ensure!(listed.stdout.contains("kubectl-dsjob"), "{listed:?}");
    plugin.install("kubectl_complete-dsjob", &plugin.ok("completion kubectl").await?)?;
    let (delays, _, ()) =
        futures::try_join!(talks(&plugin), is_stopped(&plugin), is_installed(&plugin))?;
    env.cx.phase.outcome(delays);
    Ok(())
}

/// The installation is as it should be, which a Job on one node shows.
async fn is_installed(plugin: &Plugin<'_>) -> Result<()> {
    let node = plugin.env.nodes.last().context("a node")?.name();
    let said = plugin.ok(&format!("check --run-on {node}")).await?;
    let is_well = !said.contains('✗') && said.contains(&format!("a Job on {node} was done after"));
    ensure!(is_well, "{said}");
    let version = plugin.json("version -o json").await?;
    ensure!(version["kubernetes"].is_string(), "{version}");
    Ok(())
}

/// Output of all nodes, exit code 1, evidence, and a retry where it failed; says how late the output is.
async fn talks(plugin: &Plugin<'_>) -> Result<String> {
    let env = plugin.env;
    let file = plugin.path("talk.txt");
    let folder = env.folder();
    let words = ["run", "talk", "--image", BUSYBOX, "--mount", &folder, "--retries", "0"];
    let words = [&words[..], &["--follow", "--", "sh", "-c", TALK]].concat();
    let follow = plugin.end(plugin.dsjob(&words).stdout_file(&file));
    let meanwhile = async {
        let (begun, running) =
            futures::join!(prompt::printed(env, &file, "begin"), prompt::running(env));
        let said = prompt::said(env, "talk", "begin").await?;
        let first = prompt::shortest(&said, &begun).context("nothing was printed")?;
        let own = prompt::shortest(&prompt::later(&said, &running?), &begun);
        let own = own.context("nothing runs")?;
        is_shown(plugin).await?;
        env.touch(&env.nodes, "go").await?;
        let printed = prompt::printed(env, &file, "middle").await;
        let said = prompt::said(env, "talk", "middle").await?;
        let next = prompt::shortest(&said, &printed).context("nothing was printed")?;
        let (bad, _) = env.special_node()?;
        env.touch([bad], "bad").await?;
        env.touch(&env.nodes, "leave").await?;
        anyhow::Ok((first, own, next))
    };
    let (ended, delays) = futures::join!(follow, meanwhile);
    let ((first, own, next), ended) = (delays?, ended?);
    let text = fs_err::read_to_string(&file)?;
    let (bad, _) = env.special_node()?;
    for node in &env.nodes {
        // The kubelet runs what has failed again, until the end of the Job stops it.
        let most = if node.name() == bad.name() { usize::MAX } else { 1 };
        for word in ["begin", "middle", "end"] {
            let line = format!("[{}] {word}", node.name());
            let count = text.lines().filter(|printed| *printed == line).count();
            ensure!((1..=most).contains(&count), "{line}: {count} times in {text}");
        }
    }
    let is_named = ended.stderr.contains("NodesFailed") && ended.stderr.contains(bad.name());
    ensure!(ended.code == 1 && is_named, "{ended:?}");
    has_failed(plugin, bad.name()).await?;
    bad.remove(&[&format!("{folder}/bad")]).await?;
    plugin.ok("retry talk --failed-only").await?;
    plugin.ok("wait talk --timeout 60s").await?;
    let status = plugin.json("status talk -o json").await?;
    ensure!(status["counts"]["done"] == json!(env.nodes.len()), "{status}");
    let delays = format!(
        "first line {first:.0?} after the pod's own, of which {own:.0?} since its container was reported to run; \
         later ones {next:.0?}"
    );
    Ok(delays)
}

/// What is seen of a Job that runs everywhere.
async fn is_shown(plugin: &Plugin<'_>) -> Result<()> {
    let env = plugin.env;
    let nodes = env.nodes.len();
    plugin.until_status("talk", ACTIVE, &json!(nodes)).await?;
    let listed = plugin.ok("list").await?;
    ensure!(listed.contains("talk") && listed.contains(&env.of_all(0)), "{listed}");
    let folder = plugin.path("logs");
    plugin.ok(&format!("logs talk --output-dir {}", folder.display())).await?;
    for node in &env.nodes {
        let text = fs_err::read_to_string(folder.join(format!("{}.log", node.name())))?;
        ensure!(text == "begin\n", "{}: {text:?}", node.name());
    }
    let completed = plugin.end(plugin.kubectl(&["__complete", "dsjob", "status", "ta"])).await?;
    ensure!(completed.stdout.lines().any(|line| line == "talk"), "{completed:?}");
    Ok(())
}

/// The evidence of a Job that failed on this node, whose pods are gone.
async fn has_failed(plugin: &Plugin<'_>, bad: &str) -> Result<()> {
    plugin.env.job("talk").until_stopped().await?;
    let explained = plugin.ends("explain talk -o json", 1).await?.stdout;
    ensure!(explained.contains("NodesFailed") && explained.contains(bad), "{explained}");
    let results = plugin.ok("results talk --failed -o csv").await?;
    // The output of a node has lines of its own.
    ensure!(records(&results, plugin) == [bad], "{results}");
    let output = plugin.ok("logs talk --failed").await?;
    ensure!(output.contains(&format!("[{bad}] end")), "{output}");
    let page = plugin.ok("report talk").await?;
    ensure!(page.starts_with("<!doctype html>") && page.contains(bad), "{page:.200}");
    let status = plugin.ok("status talk").await?;
    let first = status.lines().skip_while(|line| !line.starts_with("NODE ")).nth(1);
    let is_first = first.is_some_and(|line| line.starts_with(bad) && line.contains("Failed"));
    ensure!(is_first, "{status}");
    Ok(())
}

/// The nodes that have a record in a table of comma-separated values.
fn records<'p>(table: &str, plugin: &'p Plugin<'_>) -> Vec<&'p str> {
    let names = plugin.env.nodes.iter().map(|node| node.name());
    let has_record = |name: &&str| {
        let start = format!("{name},");
        table.lines().any(|line| line.starts_with(&start))
    };
    names.filter(has_record).collect()
}

/// Exit code 2, suspension, resumption and the end.
async fn is_stopped(plugin: &Plugin<'_>) -> Result<()> {
    let env = plugin.env;
    let words = ["run", "slow", "--image", BUSYBOX, "--follow", "--timeout", "1s"];
    let words = [&words[..], &["--", "sh", "-c", WORK]].concat();
    let ended = plugin.end(plugin.dsjob(&words)).await?;
    let is_named = ended.stderr.contains("kubectl dsjob cancel slow");
    ensure!(ended.code == 2 && is_named, "{ended:?}");
    let nodes = json!(env.nodes.len());
    plugin.until_status("slow", ACTIVE, &nodes).await?;
    plugin.ok("suspend slow").await?;
    plugin.until_status("slow", "/phase", &json!("Suspended")).await?;
    plugin.ok("resume slow").await?;
    plugin.until_status("slow", ACTIVE, &nodes).await?;
    plugin.ok("cancel slow").await?;
    env.job("slow").until_gone().await
}
