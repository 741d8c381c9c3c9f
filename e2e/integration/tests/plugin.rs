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

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use harness::process::Cmd;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use serde_json::{Value, json};
use testbed::manifests;
use tokio::sync::mpsc;

use crate::cluster::artifacts;
use crate::kubectl::Kubectl;
use crate::test::Test;

/// How a command has ended.
#[derive(Debug)]
struct Ended {
    code: i32,
    stdout: String,
    stderr: String,
}

impl Kubectl {
    /// `kubectl` with these words, whatever comes of it.
    async fn kubectl(&self, words: &[&str]) -> Result<Ended> {
        self.end(self.command(words.iter().copied())).await
    }

    fn dsjob(&self, line: &str) -> Cmd {
        let words = ["dsjob"].into_iter().chain(line.split_whitespace());
        self.command(words).cwd(artifacts()).name("kubectl-dsjob")
    }

    /// `kubectl dsjob` with the words of this line.
    async fn run(&self, line: &str) -> Result<Ended> {
        self.end(self.dsjob(line)).await
    }

    /// The same, printing into a file that can be read meanwhile.
    async fn print_to(&self, line: &str, file: &Path) -> Result<Ended> {
        self.end(self.dsjob(line).stdout_file(file)).await
    }

    async fn end(&self, command: Cmd) -> Result<Ended> {
        let (sender, mut lines) = mpsc::unbounded_channel();
        let command = command.stderr_lines(sender);
        let (code, stdout) = match command.run(&self.logs).await {
            Ok(output) => (0, output.stdout),
            Err(error) => {
                let Some(code) = error.code() else { return Err(error.into()) };
                (code, error.stdout)
            }
        };
        let mut stderr = String::new();
        while let Ok(line) = lines.try_recv() {
            stderr += &line;
            stderr.push('\n');
        }
        Ok(Ended { code, stdout: String::from_utf8_lossy(&stdout).into_owned(), stderr })
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

/// The plugin, whose user may do this in the namespace and nothing else.
async fn with_rules(cx: &Test, rules: &Value) -> Result<Kubectl> {
    cx.create::<Role>(json!({"metadata": {"name": "limited"}, "rules": rules})).await?;
    let binding = manifests::binding("limited", "Role", "limited", &cx.namespace, "default");
    cx.create::<RoleBinding>(binding).await?;
    Kubectl::of_account(cx, "default").await
}
