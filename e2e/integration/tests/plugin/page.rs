//! The page of the plugin shows what the commands print.

use anyhow::{Context as _, Result, ensure};
use harness::pages::{self, TRANSCRIPT};
use serde_json::json;

use crate::kubectl::Kubectl;
use crate::test::{Test, shared_test};

/// The page.
const PAGE: &str = "docs/kubectl-dsjob.md";

/// A text without what differs from run to run: times, durations, widths.
fn normal(text: &str, namespace: &str) -> Vec<String> {
    let word = |word: &str| {
        let is_time = word.len() > 18 && word.ends_with('Z') && word.contains('T');
        let digits = word.trim_end_matches(|c: char| ",.;)".contains(c));
        let is_duration = digits.starts_with(|c: char| c.is_ascii_digit())
            && digits.ends_with(['s', 'm', 'h'])
            && digits.chars().all(|c| c.is_ascii_digit() || "smh".contains(c));
        match (is_time, is_duration) {
            (true, _) => "TIME".to_owned(),
            (_, true) => word.replace(digits, "AGE"),
            _ => word.to_owned(),
        }
    };
    let text = text.replace(namespace, "default");
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    lines.map(|line| line.split_whitespace().map(word).collect::<Vec<_>>().join(" ")).collect()
}

/// The commands of the page with what is shown below them.
fn transcripts() -> Result<Vec<(String, String)>> {
    let pages = pages::all()?;
    let page = pages.iter().find(|page| page.path.as_os_str() == PAGE).context("no page")?;
    let mut transcripts: Vec<(String, String)> = Vec::new();
    for block in page.blocks().into_iter().filter(|block| block.language == TRANSCRIPT) {
        for line in block.lines {
            match (line.strip_prefix("$ kubectl dsjob "), transcripts.last_mut()) {
                (Some(command), _) => transcripts.push((command.to_owned(), String::new())),
                (None, Some((_, shown))) => *shown += &format!("{line}\n"),
                (None, None) => {}
            }
        }
    }
    transcripts.retain(|(_, shown)| !shown.is_empty());
    Ok(transcripts)
}

#[apply(shared_test)]
async fn page_shows_what_the_commands_print(cx: &Test) -> Result<()> {
    let _processes = cx.both().await?;
    let manifest = json!({
        "apiVersion": "daemonset.darkowlzz.space/v1beta1", "kind": "Job", "metadata": {"name": "rotate"},
        "spec": {
            "image": "example.org/rotate:1", "completionMode": "ExitCode", "backoffLimitPerNode": 0,
            "ttlSecondsAfterFinished": 3600,
        },
    });
    let job = cx.apply(&manifest).await?;
    job.fail_on_worker_1(1, "cp: /etc/ssl: Read-only file system\n").await?;
    job.until_stopped().await?;
    let dsjob = &Kubectl::admin(cx)?;
    let transcripts = transcripts()?;
    ensure!(transcripts.len() >= 4, "{transcripts:?}");
    for (command, shown) in transcripts {
        let printed = dsjob.run(&command).await?;
        let (printed, shown) =
            (normal(&printed.stdout, &cx.namespace), normal(&shown, &cx.namespace));
        ensure!(printed == shown, "{PAGE}: {command}\nprints {printed:#?}\nis {shown:#?}");
    }
    Ok(())
}
