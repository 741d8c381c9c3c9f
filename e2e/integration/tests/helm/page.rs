//! `docs/helm.md`: its commands, its values, and that it names all of them.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, ensure};
use harness::pages::{self, Block, CONSOLE, Page};
use harness::paths;
use serde_json::Value;

use super::{CHART, Helm};
use crate::cluster::artifacts;

/// The language of blocks with values of the chart.
const VALUES: &str = "yaml values";

/// The language of blocks with objects of Flux and Argo CD.
const GITOPS: &str = "yaml gitops";

fn page() -> Result<Page> {
    let pages = pages::all()?;
    pages.into_iter().find(|page| page.path.ends_with("helm.md")).context("docs/helm.md")
}

#[tokio::test]
async fn helm_lines_on_pages_are_understood_by_helm() -> Result<()> {
    let helm = Helm::new()?;
    let mut count = 0;
    for page in pages::all()? {
        for (place, command) in page.commands(CONSOLE) {
            let Some(words) = command.strip_prefix("helm ") else { continue };
            // helm refuses unknown commands and flags before it helps.
            let words = words.split_whitespace().chain(["--help"]);
            helm.run(words).await.with_context(|| format!("{place}: {command}"))?;
            for path in command.split_whitespace().filter(|word| word.starts_with("deploy/")) {
                ensure!(paths::workspace().join(path).exists(), "{place}: no {path}");
            }
            count += 1;
        }
    }
    ensure!(count >= 8, "only {count} were found");
    ensure!(helm.run(["uninstall", "a", "--four", "--help"]).await.is_err());
    Ok(())
}

/// The values in a block: all of it, or those in an object of Flux or Argo CD.
fn values(block: &Block<'_>) -> Result<Option<Value>> {
    let text = block.lines.join("\n");
    match block.language {
        VALUES => Ok(Some(serde_saphyr::from_str(&text)?)),
        GITOPS => {
            let object: Value = serde_saphyr::from_str(&text)?;
            let flux = object.pointer("/spec/values");
            let argo = object.pointer("/spec/source/helm/valuesObject");
            flux.or(argo).cloned().map(Some).with_context(|| format!("no values in {object}"))
        }
        _ => Ok(None),
    }
}

#[tokio::test]
async fn values_on_the_page_are_taken_by_the_chart() -> Result<()> {
    let helm = Helm::new()?;
    let page = page()?;
    let mut count = 0;
    for block in page.blocks() {
        let Some(values) = values(&block)? else { continue };
        let file = artifacts().join(format!("values-{}.yaml", block.number));
        // JSON is YAML.
        std::fs::write(&file, values.to_string())?;
        let linted = helm.lint(&["--values", &file.display().to_string()]).await;
        linted.with_context(|| format!("docs/helm.md:{}", block.number))?;
        count += 1;
    }
    ensure!(count >= 4, "only {count} were found");
    Ok(())
}

/// Paths of the values that hold no others, such as `crds.keep`.
fn leaves(value: &Value, path: &str, found: &mut BTreeSet<String>) {
    match value.as_object() {
        Some(fields) if !fields.is_empty() => {
            for (name, value) in fields {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                leaves(value, &path, found);
            }
        }
        _ => {
            found.insert(path.to_owned());
        }
    }
}

#[test]
fn page_names_every_value_of_the_chart_and_no_other() -> Result<()> {
    let text = std::fs::read_to_string(paths::workspace().join(CHART).join("values.yaml"))?;
    let mut leaves = BTreeSet::new();
    self::leaves(&serde_saphyr::from_str(&text)?, "", &mut leaves);
    let page = page()?;
    let rows = page.text.lines().filter_map(|line| line.strip_prefix("| "));
    let first = rows.filter_map(|row| row.split(" | ").next());
    let named: BTreeSet<_> = first.flat_map(|cell| cell.split('`').skip(1).step_by(2)).collect();
    let is_of = |leaf: &str, name: &str| {
        leaf.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    for name in &named {
        ensure!(leaves.iter().any(|leaf| is_of(leaf, name)), "no value {name}");
    }
    for leaf in &leaves {
        ensure!(named.iter().any(|name| is_of(leaf, name)), "{leaf} is not on the page");
    }
    Ok(())
}
