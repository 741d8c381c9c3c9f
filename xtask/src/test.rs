//! `cargo xtask test`: every check and every test of the project.

mod deny;
mod libtest;

use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use e2e::process::{Cmd, LogDir};
use e2e::progress::{Progress, Tally};

use crate::cargo::cargo;
use crate::context::{Context, Verdict};
use crate::provision::{self, Provision};
use crate::test::deny::Advisories;
use crate::{codegen, control_plane, e2e as end_to_end, node_image};

/// A build of everything on a small machine, and then the tests.
const TIMEOUT: Duration = Duration::from_secs(45 * 60);

#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Fail where the database of known vulnerabilities cannot be reached. Without this, the output
    /// says that they were not checked.
    #[arg(long)]
    require_advisories: bool,
}

pub(crate) async fn run(args: Args, cx: &Context) -> Result<Verdict> {
    let started = Instant::now();
    let mut run = Run {
        logs: cx.logs("test")?,
        progress: Progress::new(),
        tally: Tally::default(),
        failures: Vec::new(),
    };
    tokio::select! {
        () = run.checks(&args, cx) => {}
        () = cx.interrupted.cancelled() => return Err(anyhow!("interrupted")),
    }
    // It cleans up after itself, so it minds interrupts itself.
    let (tally, verdict) = end_to_end::run_scenarios(
        end_to_end::Options::default(),
        Some(end_to_end::Selection::ci()),
        cx,
    )
    .await?;
    run.tally += tally;
    if verdict != Verdict::Passed {
        run.failures.push("e2e: see above".to_owned());
    }
    for failure in &run.failures {
        run.progress.say(format_args!("FAILED {failure}"));
    }
    run.progress.say(format_args!("total {:.1?}", started.elapsed()));
    run.tally.print();
    Ok(match (run.tally.failed, verdict) {
        (0, verdict) => verdict,
        (_, Verdict::Broken) if run.failures.len() == 1 => Verdict::Broken,
        _ => Verdict::Failed,
    })
}

/// One run of all checks; one that fails does not keep the others from running.
struct Run {
    logs: LogDir,
    progress: Progress,
    tally: Tally,
    failures: Vec<String>,
}

impl Run {
    async fn checks(&mut self, args: &Args, cx: &Context) {
        let fmt = cargo().args(["fmt", "--all", "--check"]);
        self.check("fmt", fmt).await;
        let clippy =
            cargo().args(["clippy", "--workspace", "--all-targets", "--", "--deny", "warnings"]);
        self.check("clippy", clippy).await;
        self.codegen().await;
        self.dependencies(args, cx).await;
        // Integration tests are targets of their own, which these two leave out.
        let unit = cargo().args(["test", "--workspace", "--no-fail-fast", "--lib", "--bins"]);
        self.tests("unit tests", unit).await;
        let doc = cargo().args(["test", "--workspace", "--no-fail-fast", "--doc"]);
        self.tests("doc tests", doc).await;
        self.integration(cx).await;
        let endings = cargo().args(["test", "--package", "xtask", "--test", "endings"]);
        self.tests("endings of runs", endings).await;
    }

    /// Runs a command that either passes or fails.
    async fn check(&mut self, name: &str, cmd: Cmd) {
        let cmd = cmd.timeout(TIMEOUT).name(name);
        let result = self.progress.phase(name, async |_| cmd.run(&self.logs).await).await;
        self.count(name, result.map(|_| ()).map_err(Into::into));
    }

    async fn codegen(&mut self) {
        let name = "codegen";
        let result = self.progress.phase(name, async |_| codegen::check()).await;
        self.count(name, result);
    }

    async fn dependencies(&mut self, args: &Args, cx: &Context) {
        let name = "dependencies";
        let provision = Provision::new(cx, &self.logs, &self.progress);
        let result = self
            .progress
            .phase(name, async |phase| match deny::check(&provision, phase).await? {
                Advisories::Checked => {
                    phase.outcome("licences, bans, sources, advisories");
                    Ok(())
                }
                Advisories::Unreachable(reason) if args.require_advisories => {
                    Err(anyhow!("the database of advisories cannot be fetched: {reason}"))
                }
                Advisories::Unreachable(reason) => {
                    phase.outcome("licences, bans, sources; advisories NOT checked");
                    self.progress.say(format_args!(
                        "advisories were NOT checked, for their database cannot be fetched: {reason}"
                    ));
                    Ok(())
                }
            })
            .await;
        self.count(name, result);
    }

    fn count(&mut self, name: &str, result: Result<()>) {
        self.tally.count(result.is_ok());
        if let Err(error) = result {
            self.failures.push(format!("{name}: {error:#}"));
        }
    }

    /// Runs `cargo test` and counts its tests.
    async fn tests(&mut self, name: &str, cmd: Cmd) {
        let cmd = cmd.timeout(TIMEOUT).name(name);
        let result = self
            .progress
            .phase(name, async |phase| {
                let result = cmd.run(&self.logs).await;
                let stdout = match &result {
                    Ok(output) => &output.stdout,
                    Err(error) => &error.stdout,
                };
                let report = libtest::parse(&String::from_utf8_lossy(stdout));
                phase.outcome(report.tally);
                match result {
                    Ok(_) if report.failed.is_empty() => Ok(report),
                    Ok(output) => Err((report, format!("log: {}", output.log.display()))),
                    Err(error) => Err((report, error.to_string())),
                }
            })
            .await;
        match result {
            Ok(report) => self.tally += report.tally,
            Err((report, error)) => {
                self.tally += report.tally;
                if report.tally.failed == 0 {
                    // It did not build, or a process died: no test that ran says so.
                    self.tally.count(false);
                }
                let failed = report.failed.join(", ");
                self.failures.push(format!("{name}: {failed}\n{error}"));
            }
        }
    }

    /// The tests against a real API server, which needs Docker and an image.
    async fn integration(&mut self, cx: &Context) {
        let provision = Provision::new(cx, &self.logs, &self.progress);
        let image = self
            .progress
            .phase("control plane", async |phase| {
                provision::docker::ensure(&provision).await?;
                let sources = node_image::control_plane_sources(&provision, phase).await?;
                let image = control_plane::ensure(&sources, &self.logs).await?;
                phase.outcome(&image);
                let kubectl = node_image::kubectl(&provision).await?;
                let promtool = provision::PROMTOOL.ensure(&provision).await?;
                anyhow::Ok((image, kubectl, promtool))
            })
            .await;
        match image {
            Ok((image, kubectl, promtool)) => {
                let integration = cargo()
                    .args(["test", "--workspace", "--no-fail-fast"])
                    // The others make cargo build the binaries, which the first starts.
                    .args(["--test", "integration", "--test", "shutdown", "--test", "version"])
                    .env(control_plane::ENVIRONMENT, image)
                    .env("KUBECTL", kubectl)
                    .env("PROMTOOL", promtool)
                    .env("RUST_TEST_THREADS", control_plane::TEST_THREADS);
                self.tests("integration", integration).await;
            }
            Err(error) => self.count("integration tests did not run", Err(error)),
        }
    }
}
