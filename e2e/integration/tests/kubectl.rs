//! The real kubectl, which finds the plugin on its path.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::Result;
use harness::paths;
use harness::process::{Cmd, LogDir, Output};
use serde_json::{Value, json};

use crate::cluster::artifacts;
use crate::program::binary;
use crate::test::{TIMEOUT, Test};

/// The program; `cargo xtask test` sets this to the one that it uses.
pub(crate) fn program() -> PathBuf {
    std::env::var_os("KUBECTL").map_or_else(|| "kubectl".into(), PathBuf::from)
}

/// kubectl with the plugin on its path, as one user in the namespace of a test.
pub(crate) struct Kubectl {
    pub(crate) program: PathBuf,
    pub(crate) path: OsString,
    pub(crate) config: PathBuf,
    pub(crate) logs: LogDir,
}

impl Kubectl {
    /// As an administrator.
    pub(crate) fn admin(cx: &Test) -> Result<Self> {
        Self::of_user(cx, "admin", &cx.cluster.control_plane.admin_kubeconfig())
    }

    /// As a service account of the test's namespace.
    pub(crate) async fn of_account(cx: &Test, account: &str) -> Result<Self> {
        let control_plane = &cx.cluster.control_plane;
        let config = control_plane.service_account_kubeconfig(&cx.namespace, account).await?;
        Self::of_user(cx, account, &config)
    }

    fn of_user(cx: &Test, user: &str, config: &str) -> Result<Self> {
        let mut config: Value = serde_json::from_str(config)?;
        config["contexts"][0]["context"]["namespace"] = json!(cx.namespace);
        let folder = artifacts().join(&cx.namespace);
        let logs = LogDir::create(&folder)?;
        let file = folder.join(format!("{user}.kubeconfig"));
        std::fs::write(&file, config.to_string())?;
        Self::with_config(file, logs, &[])
    }

    /// With this kubeconfig, and with these folders on its path as well.
    pub(crate) fn with_config(config: PathBuf, logs: LogDir, folders: &[&Path]) -> Result<Self> {
        let program = program();
        let plugin = binary("kubectl-dsjob")?;
        let own = [plugin.as_path(), &program].into_iter().filter_map(Path::parent);
        let inherited = std::env::var_os("PATH").unwrap_or_default();
        let inherited: Vec<_> = std::env::split_paths(&inherited).collect();
        let all = own.chain(folders.iter().copied()).chain(inherited.iter().map(PathBuf::as_path));
        let path = std::env::join_paths(all)?;
        Ok(Self { program, path, config, logs })
    }

    /// `kubectl` with these words.
    pub(crate) fn command<'w>(&self, words: impl IntoIterator<Item = &'w str>) -> Cmd {
        Cmd::new(&self.program)
            .args(words)
            .env("KUBECONFIG", &self.config)
            .env("PATH", &self.path)
            .env_remove("COLUMNS")
            // Wherever a page says to type something, it is the root of the repository.
            .cwd(paths::workspace())
            .timeout(2 * TIMEOUT)
    }

    /// `kubectl` with the words of this line, which must end well.
    pub(crate) async fn output(&self, line: &str) -> Result<Output> {
        Ok(self.command(line.split_whitespace()).run(&self.logs).await?)
    }
}
