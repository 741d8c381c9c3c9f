//! Operator and terminator as the processes that users run, with flags, signals, logs and HTTP.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;
use testbed::program::{self, Process};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::cluster::artifacts;
use crate::test::{TIMEOUT, Test};

/// A running binary. It is killed when this is dropped.
pub(crate) struct Program(Process);

impl Test {
    /// Starts both binaries for the test's namespace, and waits until they are ready.
    pub(crate) async fn programs(&self, env: &[(&str, &str)]) -> Result<[Program; 2]> {
        let kubeconfig = self.kubeconfig().await?;
        let mut programs = [
            self.program("operator", &kubeconfig, env)?,
            self.program("terminator", &kubeconfig, env)?,
        ];
        for program in &mut programs {
            program.0.ready().await?;
        }
        Ok(programs)
    }

    /// Starts a binary, `operator` or `terminator`, for the test's namespace.
    pub(crate) fn program(
        &self,
        name: &'static str,
        kubeconfig: &str,
        env: &[(&str, &str)],
    ) -> Result<Program> {
        let folder = artifacts().join(&self.namespace);
        std::fs::create_dir_all(&folder)?;
        let file = folder.join(format!("{name}.kubeconfig"));
        std::fs::write(&file, kubeconfig)?;
        let program = program::Program { name, path: binary(name)? };
        let env: Vec<_> =
            [("NAMESPACE", self.namespace.as_str())].iter().chain(env).copied().collect();
        Ok(Program(Process::start_with(&program, &file, &folder, &env)?))
    }

    /// A kubeconfig with the rights that `deploy/` gives.
    pub(crate) async fn kubeconfig(&self) -> Result<String> {
        let account = &self.cluster.service_account;
        let control_plane = &self.cluster.control_plane;
        control_plane.service_account_kubeconfig(&account.namespace, &account.name).await
    }
}

/// The binary of this name, which cargo builds beside this test where both are asked for.
pub(crate) fn binary(name: &str) -> Result<PathBuf> {
    let test = std::env::current_exe()?;
    let path = test.ancestors().nth(2).unwrap_or(Path::new("")).join(name);
    ensure!(
        path.exists(),
        "{} is missing: run these tests with `cargo xtask test`, or add `--workspace --test shutdown --test scale`",
        path.display()
    );
    Ok(path)
}

impl Program {
    /// Status code, header and body of an answer.
    pub(crate) async fn get(&self, path: &str) -> Result<(u16, String, String)> {
        let ask = async {
            let mut stream = TcpStream::connect(self.0.address()).await?;
            let request = format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n");
            stream.write_all(request.as_bytes()).await?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await?;
            std::io::Result::Ok(answer)
        };
        let answer = tokio::time::timeout(TIMEOUT, ask).await.context("no answer in time")??;
        let (header, body) = answer.split_once("\r\n\r\n").context("an answer without a body")?;
        let code = header.split(' ').nth(1).context("a header without a code")?.parse()?;
        Ok((code, header.to_owned(), body.to_owned()))
    }

    /// The status code of an answer; none while it does not listen.
    pub(crate) async fn code(&self, path: &str) -> Option<u16> {
        self.get(path).await.ok().map(|(code, _, _)| code)
    }

    /// What it has logged so far.
    pub(crate) fn log(&self) -> Result<String> {
        Ok(std::fs::read_to_string(self.0.log())?)
    }

    /// What it has logged so far as JSON, of which each line must be an object.
    pub(crate) fn lines(&self) -> Result<Vec<Value>> {
        let log = self.log()?;
        let parse = |line: &str| {
            let object: Value = serde_json::from_str(line).with_context(|| line.to_owned())?;
            ensure!(object.is_object(), "{line}");
            Ok(object)
        };
        log.lines().map(parse).collect()
    }

    /// Waits until its log, up to the last whole line, is as wanted.
    pub(crate) async fn until_log(&self, matches: impl Fn(&str) -> bool) -> Result<()> {
        for _ in 0..TIMEOUT.as_millis() / 50 {
            let log = self.log()?;
            if matches(log.rsplit_once('\n').map_or("", |(whole, _)| whole)) {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        bail!(
            "not logged within {TIMEOUT:?}; {} has only:\n{}",
            self.0.log().display(),
            self.log()?
        )
    }

    /// Ends it by SIGTERM.
    pub(crate) async fn end(self) -> Result<()> {
        self.0.end().await
    }
}
