//! `kubectl dsjob` as users call it: the real kubectl finds the plugin, which asks a real API server.

mod change;
mod explain;
mod page;
mod read;
mod report;
mod rights;
mod run;
mod terminal;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use harness::process::{Cmd, LogDir};
use k8s_openapi::api::rbac::v1::{ClusterRoleBinding, Role, RoleBinding};
use kube::Api;
use kube::api::{DeleteParams, PostParams};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::cluster::artifacts;
use crate::program::binary;
use crate::test::Test;

/// kubectl with the plugin on its path, as one user in the namespace of a test.
struct Dsjob {
    kubectl: PathBuf,
    path: OsString,
    config: PathBuf,
    logs: LogDir,
}

/// A path on which kubectl finds the plugin, and which has these folders.
pub(crate) fn search_path(kubectl: &Path, folders: &[&Path]) -> Result<OsString> {
    let plugin = binary("kubectl-dsjob")?;
    let own = [plugin.as_path(), kubectl].into_iter().filter_map(Path::parent);
    let inherited = std::env::var_os("PATH").unwrap_or_default();
    let inherited: Vec<_> = std::env::split_paths(&inherited).collect();
    let all = own.chain(folders.iter().copied()).chain(inherited.iter().map(PathBuf::as_path));
    Ok(std::env::join_paths(all)?)
}

/// How a command has ended.
#[derive(Debug)]
struct Ended {
    code: i32,
    stdout: String,
    stderr: String,
}

impl Dsjob {
    async fn of_account(cx: &Test, account: &str) -> Result<Self> {
        let control_plane = &cx.cluster.control_plane;
        let config = control_plane.service_account_kubeconfig(&cx.namespace, account).await?;
        let mut config: Value = serde_json::from_str(&config)?;
        config["contexts"][0]["context"]["namespace"] = json!(cx.namespace);
        let folder = artifacts().join(&cx.namespace);
        let logs = LogDir::create(&folder)?;
        let file = folder.join(format!("{account}.kubeconfig"));
        std::fs::write(&file, config.to_string())?;
        Self::with_config(file, logs, &[])
    }

    /// The plugin with this kubeconfig, and with these folders on its path as well.
    fn with_config(config: PathBuf, logs: LogDir, folders: &[&Path]) -> Result<Self> {
        let kubectl = std::env::var_os("KUBECTL").map_or_else(|| "kubectl".into(), PathBuf::from);
        Ok(Self { path: search_path(&kubectl, folders)?, kubectl, config, logs })
    }

    /// `kubectl` with these words, whatever comes of it.
    async fn kubectl(&self, words: &[&str]) -> Result<Ended> {
        self.end(self.command(words)).await
    }

    /// The same, printing into a file that can be read meanwhile.
    async fn print_to(&self, line: &str, file: &Path) -> Result<Ended> {
        let words: Vec<_> = std::iter::once("dsjob").chain(line.split_whitespace()).collect();
        self.end(self.command(&words).stdout_file(file)).await
    }

    fn command(&self, words: &[&str]) -> Cmd {
        Cmd::new(&self.kubectl)
            .args(words)
            .env("KUBECONFIG", &self.config)
            .env("PATH", &self.path)
            .env_remove("COLUMNS")
            .cwd(artifacts())
            .timeout(Duration::from_secs(120))
            .name("kubectl-dsjob")
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

    /// `kubectl dsjob` with the words of this line.
    async fn run(&self, line: &str) -> Result<Ended> {
        let words: Vec<_> = std::iter::once("dsjob").chain(line.split_whitespace()).collect();
        self.kubectl(&words).await
    }

    /// The same, which must end well. Returns what it prints.
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

/// Runs a test with the plugin, whose user is an administrator meanwhile.
async fn as_admin(cx: &Test, test: impl AsyncFnOnce(&Dsjob) -> Result<()>) -> Result<()> {
    let bindings: Api<ClusterRoleBinding> = Api::all(cx.client.clone());
    let binding = serde_json::from_value(json!({
        "metadata": {"name": cx.namespace},
        "roleRef": {
            "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin",
        },
        "subjects": [{"kind": "ServiceAccount", "name": "default", "namespace": cx.namespace}],
    }))?;
    bindings.create(&PostParams::default(), &binding).await?;
    let result = async { test(&Dsjob::of_account(cx, "default").await?).await }.await;
    bindings.delete(&cx.namespace, &DeleteParams::default()).await?;
    result
}

/// The plugin, whose user may do this in the namespace and nothing else.
async fn with_rules(cx: &Test, rules: &Value) -> Result<Dsjob> {
    let role = json!({"metadata": {"name": "limited"}, "rules": rules});
    cx.api::<Role>().create(&PostParams::default(), &serde_json::from_value(role)?).await?;
    let binding = json!({
        "metadata": {"name": "limited"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "limited"},
        "subjects": [{"kind": "ServiceAccount", "name": "default", "namespace": cx.namespace}],
    });
    cx.api::<RoleBinding>()
        .create(&PostParams::default(), &serde_json::from_value(binding)?)
        .await?;
    Dsjob::of_account(cx, "default").await
}
