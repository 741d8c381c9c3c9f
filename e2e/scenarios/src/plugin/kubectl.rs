//! The real kubectl, which finds the plugin on its path.

use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use harness::process::{Cmd, Ended};
use harness::wait::State;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::env::ScenarioEnv;

/// Longest time that a command may take.
const LIMIT: Duration = Duration::from_secs(120);

/// Time between two looks at what cannot be watched.
pub(super) const LOOK: Duration = Duration::from_millis(200);

/// kubectl, the plugin and nothing else on the path, and the namespace of the scenario.
pub(super) struct Plugin<'s> {
    pub(super) env: &'s ScenarioEnv<'s>,
    folder: TempDir,
}

impl<'s> Plugin<'s> {
    pub(super) async fn new(env: &'s ScenarioEnv<'s>) -> Result<Self> {
        let plugin = env.cx.plugin.context("the scenario does not say that it needs the plugin")?;
        let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
        let this = Self { env, folder };
        let kubectl = &env.cx.cluster.record().kubectl;
        for (from, name) in [(kubectl.as_path(), "kubectl"), (plugin, "kubectl-dsjob")] {
            symlink(from, this.path(name)).with_context(|| format!("cannot make {name}"))?;
        }
        fs_err::copy(env.cx.cluster.kubeconfig(), this.path("kubeconfig"))?;
        let set = ["config", "set-context", "--current", "--namespace", env.namespace()];
        this.kubectl(&set).run(env.cx.logs).await?;
        Ok(this)
    }

    /// A path in the folder of this.
    pub(super) fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.folder.path().join(name)
    }

    /// `kubectl` with these words.
    pub(super) fn kubectl(&self, words: &[&str]) -> Cmd {
        let name = words.iter().take(2).copied().collect::<Vec<_>>().join("-");
        Cmd::new(self.path("kubectl"))
            .args(words)
            .env("KUBECONFIG", self.path("kubeconfig"))
            // kubectl looks there for the plugin.
            .env("PATH", self.folder.path())
            // kubectl remembers there what servers have.
            .env("HOME", self.folder.path())
            .env_remove("COLUMNS")
            .cwd(self.folder.path())
            .timeout(LIMIT)
            .name(format!("{name}-{}", self.env.namespace()))
    }

    /// `kubectl dsjob` with these words.
    pub(super) fn dsjob(&self, words: &[&str]) -> Cmd {
        self.kubectl(&[&["dsjob"], words].concat())
    }

    /// Runs a command, whatever comes of it.
    pub(super) async fn end(&self, command: Cmd) -> Result<Ended> {
        Ok(command.end(self.env.cx.logs).await?)
    }

    /// The words of a line, which must end with this code.
    pub(super) async fn ends(&self, line: &str, code: i32) -> Result<Ended> {
        let words: Vec<_> = line.split_whitespace().collect();
        let ended = self.end(self.dsjob(&words)).await?;
        ensure!(ended.code == code, "{line}: {ended:?}");
        Ok(ended)
    }

    /// What the words of a line print, which must end well.
    pub(super) async fn ok(&self, line: &str) -> Result<String> {
        Ok(self.ends(line, 0).await?.stdout)
    }

    /// The same as JSON.
    pub(super) async fn json(&self, line: &str) -> Result<Value> {
        let text = self.ok(line).await?;
        serde_json::from_str(&text).with_context(|| format!("{line}: {text}"))
    }

    /// Waits until the status of a Job has this, as JSON.
    pub(super) async fn until_status(
        &self,
        job: &str,
        pointer: &str,
        expected: &Value,
    ) -> Result<()> {
        let line = format!("status {job} -o json");
        let check = || async {
            let status = self.json(&line).await?;
            let is_so = status.pointer(pointer) == Some(expected);
            Ok(State::of(is_so.then_some(()), || status["phase"].to_string()))
        };
        self.env.wait.poll(&format!("{pointer} of {job} is {expected}"), LOOK, check).await
    }

    /// Makes a script that kubectl and others find.
    pub(super) fn install(&self, name: &str, script: &str) -> Result<()> {
        let file = self.path(name);
        fs_err::write(&file, script)?;
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755))?;
        Ok(())
    }
}
