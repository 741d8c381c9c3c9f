//! `kubectl dsjob` as users call it: the real kubectl finds the plugin, which asks a real API server.

mod change;
mod explain;
mod outage;
mod page;
mod read;
mod report;
mod rights;
mod run;
mod terminal;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use harness::process::{Cmd, Ended};
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use serde_json::{Value, json};
use testbed::manifests;

use crate::cluster::artifacts;
use crate::kubectl::Kubectl;
use crate::test::Test;

impl Kubectl {
    /// `kubectl` with these words, whatever comes of it.
    async fn kubectl(&self, words: &[&str]) -> Result<Ended> {
        Ok(self.command(words.iter().copied()).end(&self.logs).await?)
    }

    fn dsjob(&self, line: &str) -> Cmd {
        let words = ["dsjob"].into_iter().chain(line.split_whitespace());
        self.command(words).cwd(artifacts()).name("kubectl-dsjob")
    }

    /// `kubectl dsjob` with the words of this line.
    async fn run(&self, line: &str) -> Result<Ended> {
        Ok(self.dsjob(line).end(&self.logs).await?)
    }

    /// The same, printing into a file that can be read meanwhile.
    async fn print_to(&self, line: &str, file: &Path) -> Result<Ended> {
        Ok(self.dsjob(line).stdout_file(file).end(&self.logs).await?)
    }

    /// `kubectl dsjob`, which must end well. Returns what it prints.
    async fn ok(&self, line: &str) -> Result<String> {
        let ended = self.run(line).await?;
        ensure!(ended.code == 0, "{line}: {ended:?}");
        Ok(ended.stdout)
    }

    /// The same, which must print JSON.
    async fn json(&self, line: &str) -> Result<Value> {
        let text = self.ok(line).await?;
        serde_json::from_str(&text).with_context(|| format!("{line}: {text}"))
    }

    /// The same, which must fail with this code. Returns what it says.
    async fn fails(&self, line: &str, code: i32) -> Result<String> {
        let ended = self.run(line).await?;
        ensure!(ended.code == code, "{line}: {ended:?}");
        Ok(ended.stderr)
    }
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

/// The plugin, whose user may do this in the namespace and nothing else.
async fn with_rules(cx: &Test, rules: &Value) -> Result<Kubectl> {
    cx.create::<Role>(json!({"metadata": {"name": "limited"}, "rules": rules})).await?;
    let binding = manifests::binding("limited", "Role", "limited", &cx.namespace, "default");
    cx.create::<RoleBinding>(binding).await?;
    Kubectl::of_account(cx, "default").await
}

/// The plugin, whose user may see Jobs in the namespace and nothing else.
async fn viewer(cx: &Test) -> Result<Kubectl> {
    let rules = json!([{
        "apiGroups": ["daemonset.darkowlzz.space"], "resources": ["jobs"],
        "verbs": ["get", "list", "watch"],
    }]);
    with_rules(cx, &rules).await
}
