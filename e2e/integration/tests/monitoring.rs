//! The dashboard and the alert rules of `deploy/monitoring`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use harness::process::LogDir;
use harness::{pages, paths};
use serde_json::{Value, json};

use crate::cluster::artifacts;
use crate::metrics::{promtool, registered};

fn folder() -> PathBuf {
    paths::workspace().join("deploy/monitoring")
}

fn read(file: &str) -> Result<String> {
    std::fs::read_to_string(folder().join(file)).with_context(|| format!("no {file}"))
}

/// All strings under a key, however deep.
fn strings<'v>(value: &'v Value, key: &str) -> Vec<&'v str> {
    let below: Box<dyn Iterator<Item = &Value>> = match value {
        Value::Object(fields) => Box::new(fields.values()),
        Value::Array(items) => Box::new(items.iter()),
        _ => Box::new(std::iter::empty()),
    };
    let own = value.get(key).and_then(Value::as_str);
    own.into_iter().chain(below.flat_map(|below| strings(below, key))).collect()
}

/// The metrics that a query asks for, of those that look like ours.
fn asked_for(query: &str) -> BTreeSet<&str> {
    let words = query.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let ours =
        words.filter(|word| word.starts_with("daemonset_job") || word.starts_with("process_"));
    let ends = ["_bucket", "_sum", "_count"];
    ours.map(|word| ends.iter().find_map(|end| word.strip_suffix(end)).unwrap_or(word)).collect()
}

fn ask_for_what_exists(queries: &[&str]) -> Result<()> {
    let registered = registered();
    for query in queries {
        let asked = asked_for(query);
        ensure!(!asked.is_empty(), "asks for nothing of ours: {query}");
        for name in asked {
            ensure!(registered.contains(name), "no process has {name}, asked for by {query}");
        }
    }
    Ok(())
}

fn queries(file: &str) -> Result<Vec<String>> {
    let rules: Value = serde_saphyr::from_str(&read(file)?)?;
    Ok(strings(&rules, "expr").into_iter().map(str::to_owned).collect())
}

#[test]
fn alerts_ask_for_metrics_that_exist_and_say_what_to_do() -> Result<()> {
    let alerts = queries("alerts.yaml")?;
    ask_for_what_exists(&alerts.iter().map(String::as_str).collect::<Vec<_>>())?;
    let rules: Value = serde_saphyr::from_str(&read("alerts.yaml")?)?;
    for key in ["alert", "severity", "summary", "description", "runbook_url"] {
        ensure!(strings(&rules, key).len() == alerts.len(), "some rule has no {key}");
    }
    let tested: Value = serde_saphyr::from_str(&read("alerts.test.yaml")?)?;
    let tested = serde_json::to_string(&tested)?;
    for alert in strings(&rules, "alert") {
        ensure!(tested.contains(alert), "{alert} has no test");
    }
    let pages = pages::all()?;
    let page = pages.iter().find(|page| page.path == Path::new("docs/alerts.md"));
    let sections = page.context("docs/alerts.md")?.anchors();
    for runbook in strings(&rules, "runbook_url") {
        let section = runbook.split_once("/docs/alerts.md#").context("another page")?.1;
        ensure!(sections.iter().any(|it| it == section), "no section {section}");
    }
    Ok(())
}

#[tokio::test]
async fn alerts_are_valid_and_go_off_when_they_should_and_only_then() -> Result<()> {
    let logs = LogDir::create(artifacts())?;
    promtool().args(["check", "rules"]).arg(folder().join("alerts.yaml")).run(&logs).await?;
    let tests = folder().join("alerts.test.yaml");
    promtool().args(["test", "rules"]).arg(tests).run(&logs).await?;
    Ok(())
}

#[tokio::test]
async fn dashboard_has_valid_queries_for_metrics_that_exist() -> Result<()> {
    let dashboard: Value = serde_json::from_str(&read("dashboard.json")?)?;
    let queries = strings(&dashboard, "expr");
    let panels = dashboard["panels"].as_array().context("panels")?;
    let charts = panels.iter().filter(|panel| panel["type"] != "row");
    for panel in charts {
        for field in ["title", "description"] {
            ensure!(panel[field].as_str().is_some_and(|text| !text.is_empty()), "{panel}");
        }
        ensure!(!strings(panel, "expr").is_empty(), "a panel without a query: {panel}");
    }
    ask_for_what_exists(&queries)?;
    for query in &queries {
        for variable in ["namespace", "pod"] {
            let filter = format!("{variable}=~\"${variable}\"");
            ensure!(query.contains(&filter), "not of the chosen {variable}: {query}");
        }
    }
    // Of queries alone promtool knows nothing, so they are made into rules.
    let rules: Vec<Value> = queries
        .iter()
        .enumerate()
        .map(|(number, query)| {
            let query = query.replace("$__rate_interval", "5m");
            json!({"record": format!("query{number}"), "expr": query})
        })
        .collect();
    let file = artifacts().join("queries.yaml");
    let groups = json!({"groups": [{"name": "dashboard", "rules": rules}]});
    std::fs::write(&file, serde_json::to_string(&groups)?)?;
    let logs = LogDir::create(artifacts())?;
    promtool().args(["check", "rules"]).arg(file).run(&logs).await?;
    Ok(())
}
