//! `/metrics` of the binaries: what they say after Jobs have run, and what the documentation says of it.

mod documentation;
mod exposition;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use harness::process::{Cmd, LogDir};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use runtime::metrics::Registry;
use serde_json::json;

use self::documentation::Documentation;
use self::exposition::Exposition;
use crate::cluster::{NODES, artifacts};
use crate::job::{exit_code_manifest, exit_well, manifest};
use crate::program::Program;
use crate::test::{TIMEOUT, Test, shared_test};
use crate::turns::patch;

/// promtool; `cargo xtask test` sets this to the one that it has fetched.
pub(crate) fn promtool() -> Cmd {
    Cmd::new(std::env::var_os("PROMTOOL").map_or_else(|| PathBuf::from("promtool"), PathBuf::from))
}

/// The names of all metrics of both processes.
pub(crate) fn registered() -> BTreeSet<&'static str> {
    registries().iter().flat_map(Registry::descriptions).map(|metric| metric.name).collect()
}

fn registries() -> [Registry; 2] {
    let [mut of_operator, mut of_terminator] = ["operator", "terminator"].map(Registry::new);
    let _ = operator::Metrics::new(&mut of_operator);
    let _ = terminator::Metrics::new(&mut of_terminator);
    [of_operator, of_terminator]
}

/// What a process says now.
pub(crate) async fn scrape(program: &Program) -> Result<(String, Exposition)> {
    let (code, header, text) = program.get("/metrics").await?;
    ensure!(code == 200, "{code}");
    ensure!(header.contains("content-type: text/plain; version=0.0.4; charset=utf-8"), "{header}");
    let exposition = Exposition::parse(&text)?;
    Ok((text, exposition))
}

/// Scrapes until a metric has this value: a gauge may be a watch event behind.
pub(crate) async fn until(
    program: &Program,
    name: &str,
    labels: &[(&str, &str)],
    wanted: f64,
) -> Result<()> {
    until_so(program, name, labels, |value| (value - wanted).abs() < 0.1).await
}

/// Scrapes until a metric has at least this value.
pub(crate) async fn until_at_least(
    program: &Program,
    name: &str,
    labels: &[(&str, &str)],
    least: f64,
) -> Result<()> {
    until_so(program, name, labels, |value| value >= least).await
}

async fn until_so(
    program: &Program,
    name: &str,
    labels: &[(&str, &str)],
    is_so: impl Fn(f64) -> bool,
) -> Result<()> {
    let deadline = Instant::now() + TIMEOUT;
    loop {
        let last = scrape(program).await?.1.value(name, labels);
        if last.as_ref().is_ok_and(|value| is_so(*value)) {
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "{name} {labels:?} stays at {last:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[apply(shared_test)]
async fn metrics_tell_of_jobs_that_run_and_of_those_that_have_run(cx: &Test) -> Result<()> {
    let [operator, terminator] = &cx.programs(&[]).await?;
    let by_word = cx.apply(&manifest("told-by-word")).await?;
    let pods = by_word.pods().await?;
    until(operator, "daemonset_job_jobs", &[("phase", "Running")], 1.0).await?;
    until(operator, "daemonset_job_nodes", &[("state", "Active")], 3.0).await?;
    until(terminator, "daemonset_job_logs", &[("state", "open")], 3.0).await?;
    for pod in &pods {
        pod.log("work\ndone\n")?;
    }
    by_word.until_gone().await?;
    let by_code = cx.apply(&exit_code_manifest("told-by-code")).await?;
    exit_well(by_code.pods().await?)?;
    by_code.until_finished().await?;

    until(operator, "daemonset_job_jobs", &[("phase", "Completed")], 1.0).await?;
    until(operator, "daemonset_job_jobs", &[("phase", "Running")], 0.0).await?;
    until(operator, "daemonset_job_nodes", &[("state", "Succeeded")], 3.0).await?;
    let (of_operator, reported) = scrape(operator).await?;
    let completed = [("reason", "Completed")];
    let by_exit = [("completion_mode", "ExitCode")];
    let writes = [("verb", "patch"), ("resource", "jobs/status"), ("code", "200")];
    for (name, labels, least, most) in [
        ("daemonset_job_leader", &[][..], 1.0, 1.0),
        ("daemonset_job_job_duration_seconds_count", &completed, 2.0, 2.0),
        ("daemonset_job_detection_latency_seconds_count", &by_exit, 1.0, 1.0),
        ("daemonset_job_detection_latency_seconds_sum", &by_exit, 0.0, 60.0),
        ("daemonset_job_reconcile_duration_seconds_count", &[], 4.0, 1e6),
        ("daemonset_job_api_requests_total", &writes, 2.0, 1e6),
        ("daemonset_job_oldest_unfinished_job_age_seconds", &[], 0.0, 0.0),
        ("process_resident_memory_bytes", &[], 1e6, 1e9),
    ] {
        let value = reported.value(name, labels)?;
        ensure!((least..=most).contains(&value), "{name} {labels:?} is {value}");
    }

    until(terminator, "daemonset_job_logs", &[("state", "open")], 0.0).await?;
    // The answer may be behind the event of what was recorded.
    let records = [("verb", "patch"), ("resource", "pods/status"), ("code", "200")];
    until(terminator, "daemonset_job_api_requests_total", &records, 3.0).await?;
    let (of_terminator, reported) = scrape(terminator).await?;
    let by_word = [("completion_mode", "TerminationWord")];
    let read = (3 * "work\ndone\n".len()) as f64;
    for (name, labels, least, most) in [
        ("daemonset_job_leader", &[][..], 1.0, 1.0),
        ("daemonset_job_words_found_total", &[], 3.0, 3.0),
        ("daemonset_job_log_read_bytes_total", &[], read, read),
        ("daemonset_job_log_follower_slots", &[], 500.0, 500.0),
        ("daemonset_job_record_duration_seconds_count", &[], 3.0, 3.0),
        ("daemonset_job_detection_latency_seconds_count", &by_word, 1.0, 1.0),
        ("daemonset_job_detection_latency_seconds_sum", &by_word, 0.001, 60.0),
        ("daemonset_job_jobs_deleted_total", &[], 1.0, 1.0),
        ("daemonset_job_log_followers_ended_total", &[("outcome", "broken")], 0.0, 0.0),
        ("daemonset_job_logs_rotated_total", &[], 0.0, 0.0),
    ] {
        let value = reported.value(name, labels)?;
        ensure!((least..=most).contains(&value), "{name} {labels:?} is {value}");
    }

    for text in [&of_operator, &of_terminator] {
        let names = [&["told-by", cx.namespace.as_str()][..], &NODES].concat();
        for name in names {
            ensure!(!text.contains(name), "{name} is in a label:\n{text}");
        }
        is_as_documented(&Exposition::parse(text)?)?;
        let logs = LogDir::create(artifacts())?;
        promtool().args(["check", "metrics"]).stdin(text.as_str()).run(&logs).await?;
    }
    Ok(())
}

#[apply(shared_test)]
async fn metrics_tell_of_nodes_that_take_turns_and_of_suspended_jobs(cx: &Test) -> Result<()> {
    let [operator, _terminator] = &cx.programs(&[]).await?;
    let parallelism = Some(IntOrString::Int(1));
    let in_turn = exit_code_manifest("told-in-turn").set(|spec| spec.parallelism = parallelism);
    let job = cx.apply(&in_turn).await?;
    let first = job.another_pod(&[]).await?;
    until(operator, "daemonset_job_nodes", &[("state", "Waiting")], 2.0).await?;
    until(operator, "daemonset_job_nodes", &[("state", "Active")], 1.0).await?;
    until(operator, "daemonset_job_places_in_use", &[], 1.0).await?;
    first.exit(0)?;
    job.another_pod(&[first]).await?;
    until(operator, "daemonset_job_nodes", &[("state", "Waiting")], 1.0).await?;
    until(operator, "daemonset_job_nodes", &[("state", "Missing")], 0.0).await?;
    until(operator, "daemonset_job_hand_over_latency_seconds_count", &[], 1.0).await?;
    let (text, reported) = scrape(operator).await?;
    let latency = reported.value("daemonset_job_hand_over_latency_seconds_sum", &[])?;
    ensure!((0.001..60.0).contains(&latency), "{latency}");
    is_as_documented(&Exposition::parse(&text)?)?;

    patch(&job, json!({"suspend": true})).await?;
    until(operator, "daemonset_job_jobs", &[("phase", "Suspended")], 1.0).await?;
    until(operator, "daemonset_job_nodes", &[("state", "Succeeded")], 1.0).await?;
    until(operator, "daemonset_job_nodes", &[("state", "Waiting")], 0.0).await?;
    until(operator, "daemonset_job_places_in_use", &[], 0.0).await
}

#[apply(shared_test)]
async fn logs_share_a_connection(cx: &Test) -> Result<()> {
    let [_operator, terminator] = &cx.programs(&[]).await?;
    let files = async || scrape(terminator).await?.1.value("process_open_fds", &[]);
    let logs = |open| until(terminator, "daemonset_job_logs", &[("state", "open")], open);
    // The first one opens the connection.
    cx.apply(&manifest("first")).await?.pods().await?;
    logs(3.0).await?;
    let before = files().await?;
    for job in ["second", "third", "fourth"] {
        cx.apply(&manifest(job)).await?.pods().await?;
    }
    logs(12.0).await?;
    let after = files().await?;
    // One for each log would be nine more.
    ensure!(after < before + 5.0, "{before} files with three logs, {after} with twelve");
    Ok(())
}

/// Whether names, types, labels and their values are those of the documentation.
fn is_as_documented(exposition: &Exposition) -> Result<()> {
    let documentation = Documentation::read()?;
    for sample in &exposition.samples {
        let name = exposition.metric(&sample.name).context("a series without a metric")?;
        let row = documentation.metrics.get(name).with_context(|| name.to_owned())?;
        for (label, value) in &sample.labels {
            let is_of_all = ["process", "le"].contains(&label.as_str());
            ensure!(is_of_all || row.labels.contains(label), "{name} has the label {label}");
            ensure!(documentation.has(label, value), "{name} has {label}={value:?}");
        }
        for label in &row.labels {
            ensure!(sample.labels.contains_key(label), "{name} lacks the label {label}");
        }
    }
    Ok(())
}

#[test]
fn every_metric_is_documented_and_every_row_is_about_a_metric() {
    let documentation = Documentation::read().expect("docs/metrics.md");
    let mut found = BTreeSet::new();
    for (process, registry) in ["operator", "terminator"].into_iter().zip(registries()) {
        for metric in registry.descriptions() {
            let row = documentation.metrics.get(metric.name);
            let row = row.unwrap_or_else(|| panic!("docs/metrics.md lacks {}", metric.name));
            assert_eq!(row.kind, metric.kind, "{}", metric.name);
            assert!(row.processes.contains(&process), "{} is of the {process}", metric.name);
            assert!(found.insert((process, metric.name)), "{} is registered twice", metric.name);
        }
    }
    for (name, row) in &documentation.metrics {
        for process in &row.processes {
            assert!(found.contains(&(*process, name.as_str())), "the {process} has no {name}");
        }
    }
}
