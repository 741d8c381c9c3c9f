//! The samples for Flux and Argo CD, and that `docs/gitops.md` has the same.

use anyhow::{Context as _, Result, ensure};
use harness::{pages, paths};
use serde_json::Value;

/// The key of the health script in the ConfigMap of Argo CD.
const SCRIPT: &str = "resource.customizations.health.daemonset.darkowlzz.space_Job";

/// The objects of a sample.
fn sample(name: &str) -> Result<Vec<Value>> {
    let file = paths::workspace().join("deploy/samples/gitops").join(name);
    let text = fs_err::read_to_string(file)?;
    Ok(serde_saphyr::from_multiple(&text)?)
}

/// The expressions for the health of Jobs, which the sample for Flux has.
pub(super) fn expressions() -> Result<Value> {
    let objects = sample("flux.yaml")?;
    let all = objects.first().and_then(|it| it.pointer("/spec/healthCheckExprs"));
    all.cloned().context("no healthCheckExprs")
}

/// The script for the health of Jobs, which the sample for Argo CD has.
pub(super) fn script() -> Result<String> {
    let objects = sample("argo-cd.yaml")?;
    let script = objects.iter().find_map(|object| object["data"][SCRIPT].as_str());
    script.map(str::to_owned).context("no script")
}

#[test]
fn page_has_the_expressions_the_script_and_the_job_of_the_samples() -> Result<()> {
    let pages = pages::all()?;
    let page = pages.iter().find(|page| page.path.ends_with("gitops.md")).context("no page")?;
    let blocks = page.blocks();
    let block = |language: &str| {
        let block = blocks.iter().find(|block| block.language == language);
        block.map(|block| block.lines.join("\n")).with_context(|| format!("no block {language}"))
    };
    let shown: Value = serde_saphyr::from_str(&block("yaml cel")?)?;
    ensure!(shown["healthCheckExprs"] == expressions()?, "{shown:#}");
    ensure!(block("lua")?.trim() == script()?.trim());
    let shown: Value = serde_saphyr::from_str(&block("yaml")?)?;
    ensure!(sample("job.yaml")? == [shown]);
    ensure!(page.text.contains(SCRIPT));
    Ok(())
}
