//! The log of the binaries, as people and as machines read it.

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::job::manifest;
use crate::test::{Test, shared_test};

/// Runs a Job from its start to its end.
async fn run_a_job(cx: &Test, name: &str) -> Result<()> {
    let job = cx.apply(&manifest(name)).await?;
    job.complete_by_word().await
}

fn said<'l>(lines: &'l [Value], beginning: &str) -> Vec<&'l Value> {
    let begins = |line: &&Value| {
        line["message"].as_str().is_some_and(|message| message.starts_with(beginning))
    };
    lines.iter().filter(begins).collect()
}

#[apply(shared_test)]
async fn json_lines_carry_level_time_and_what_they_are_about(cx: &Test) -> Result<()> {
    let env = [("LOG_FORMAT", "json"), ("RUST_LOG", "info,operator=debug,terminator=debug")];
    let [operator, terminator] = cx.programs(&env).await?;
    run_a_job(cx, "logged").await?;
    terminator.until_log(|log| log.contains("deleted the finished Job")).await?;
    let (of_operator, of_terminator) = (operator.lines()?, terminator.lines()?);
    for line in of_operator.iter().chain(&of_terminator) {
        for field in ["timestamp", "level", "message"] {
            ensure!(line[field].is_string(), "no {field} in {line}");
        }
    }
    // One line for each thing, with the Job that it is about.
    for (lines, beginning, count) in [
        (&of_operator, "Job started", 1),
        (&of_operator, "Job finished: done on 3 of 3 nodes", 1),
        (&of_terminator, "node is done", 3),
        (&of_terminator, "deleted the finished Job", 1),
    ] {
        let found = said(lines, beginning);
        ensure!(found.len() == count, "{beginning}: {found:?}");
        for line in found {
            ensure!(line["span"]["job"] == "logged", "{line}");
            ensure!(line["span"]["namespace"] == cx.namespace.as_str(), "{line}");
        }
    }
    let finished = said(&of_operator, "Job finished")[0];
    ensure!(finished["reason"] == "Completed", "{finished}");
    ensure!(finished["completed"] == "3/3", "{finished}");
    ensure!(finished["duration_seconds"].as_f64().is_some(), "{finished}");
    let mut nodes: Vec<_> = said(&of_terminator, "node is done")
        .iter()
        .map(|line| line["span"]["node"].as_str().context("a line without a node"))
        .collect::<Result<_>>()?;
    nodes.sort_unstable();
    ensure!(nodes == crate::cluster::NODES, "{nodes:?}");
    operator.end().await?;
    terminator.end().await
}

#[apply(shared_test)]
async fn text_has_one_line_for_each_thing_that_happens_to_a_job(cx: &Test) -> Result<()> {
    let [operator, terminator] = cx.programs(&[]).await?;
    run_a_job(cx, "read-by-people").await?;
    for (program, last, expected) in
        [(&operator, "Job finished", 2), (&terminator, "deleted the finished Job", 1)]
    {
        program.until_log(|log| log.contains(last)).await?;
        let log = program.log()?;
        let about_it = log.lines().filter(|line| line.contains("job=\"read-by-people\""));
        let about_it: Vec<_> = about_it.collect();
        ensure!(about_it.len() == expected, "{about_it:#?}");
        ensure!(about_it.iter().all(|line| line.contains(" INFO ")), "{about_it:#?}");
    }
    operator.end().await?;
    terminator.end().await
}
