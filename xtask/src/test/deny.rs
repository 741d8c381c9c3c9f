//! What may be among the dependencies: `deny.toml`, checked by cargo-deny.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};
use harness::paths;
use harness::process::{Cmd, LogDir};
use harness::progress::Phase;

use crate::cargo::cargo;
use crate::offline::provision::{CARGO_DENY, Provision};

/// What needs no network. The first part of each name is cargo-deny's.
const LOCAL: [&str; 3] = ["licenses", "bans", "sources"];

/// The known vulnerabilities, which lie in a repository of their own.
const ADVISORIES: &str = "advisories";

/// How long crates, or the database of advisories, may take to arrive.
const FETCH_TIMEOUT: Duration = Duration::from_secs(120);

/// What was found about the advisories.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Advisories {
    /// No dependency has a known one.
    Checked,
    /// The database could not be fetched, for this reason.
    Unreachable(String),
}

/// Checks the dependencies; advisories only where their database can be fetched.
pub(super) async fn check(provision: &Provision, phase: &Phase) -> Result<Advisories> {
    let deny = Deny { program: CARGO_DENY.ensure(provision).await?, logs: provision.logs() };
    phase.detail("fetching the crates that no build here needs");
    // cargo-deny reads the metadata of all crates of Cargo.lock.
    let fetch = cargo().args(["fetch", "--locked"]).timeout(FETCH_TIMEOUT).name("fetch");
    fetch.run(deny.logs).await.context("cannot fetch all crates: get cargo to reach crates.io")?;
    phase.detail(LOCAL.join(", "));
    deny.check(&LOCAL, "--offline").await?;
    phase.detail("fetching the database of advisories");
    if let Err(error) = deny.command(["fetch", "db"]).timeout(FETCH_TIMEOUT).run(deny.logs).await {
        return Ok(Advisories::Unreachable(error.reason()));
    }
    phase.detail(ADVISORIES);
    deny.check(&[ADVISORIES], "--locked").await?;
    Ok(Advisories::Checked)
}

struct Deny<'a> {
    program: PathBuf,
    logs: &'a LogDir,
}

impl Deny<'_> {
    fn command<const N: usize>(&self, args: [&str; N]) -> Cmd {
        Cmd::new(&self.program).args(args).cwd(paths::workspace())
    }

    async fn check(&self, checks: &[&str], network: &str) -> Result<()> {
        // What deny.toml allows and nobody asks for any more has to go from there.
        let command = self.command([
            network,
            "check",
            "--hide-inclusion-graph",
            "--deny=unmatched-skip",
            "--deny=unnecessary-skip",
        ]);
        command.args(checks).run(self.logs).await.context(
            "a dependency is not as deny.toml has it; `cargo tree --invert NAME` tells who wants it",
        )?;
        Ok(())
    }
}
