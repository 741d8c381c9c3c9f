//! `cargo xtask test`: every check and every test of the project.

mod deny;
mod libtest;

use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};
use harness::command::{self, Verdict};
use harness::process::{Cmd, LogDir};
use harness::progress::{Progress, Tally};
use harness::provide::XTASK;
use rustix::process::{Pid, Signal, kill_process};

use crate::cargo::cargo;
use crate::codegen;
use crate::context::Context;
use crate::offline::provision::{self, Provision};
use crate::offline::{control_plane, node_image};
use crate::runner;
use crate::test::deny::Advisories;

/// A build of everything on a small machine, and then the tests.
const TIMEOUT: Duration = Duration::from_secs(45 * 60);

#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Fail if the database of known vulnerabilities is unreachable.
    /// Without this, the output says that vulnerabilities were not checked.
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
    let checks = async {
        run.checks(&args, cx).await;
        Ok(())
    };
    command::until_interrupted(&cx.interrupted, checks).await?;
    let (tally, verdict) = scenarios(cx).await?;
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

/// Runs the scenarios tagged `ci`, to their end: they clean up after themselves.
async fn scenarios(cx: &Context) -> Result<(Tally, Verdict)> {
    let build = runner::SCENARIOS.command(&["run", "--tag", "ci"], cx);
    let command = command::until_interrupted(&cx.interrupted, build).await?;
    let child = tokio::process::Command::from(command)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        // Its own group: Ctrl-C reaches only us.
        .process_group(0)
        .spawn()
        .context("cannot start the scenarios")?;
    let id = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
    let output = child.wait_with_output();
    tokio::pin!(output);
    let output = tokio::select! {
        output = &mut output => output,
        () = cx.interrupted.cancelled() => {
            if let Some(id) = id {
                kill_process(id, Signal::TERM).context("cannot end the scenarios")?;
            }
            output.await
        }
    };
    let output = output.context("the scenarios cannot be waited for")?;
    let printed = String::from_utf8_lossy(&output.stdout);
    let tally = printed.lines().last().and_then(Tally::parse);
    // Without a last line it ended before it began.
    let tally = tally.unwrap_or(Tally { passed: 0, failed: 1 });
    Ok((tally, command::verdict(output.status.code())))
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
        let generated = self.progress.phase("codegen", async |_| codegen::check()).await;
        self.count("codegen", generated);
        self.dependencies(args, cx).await;
        // Integration tests are targets of their own, which these two leave out.
        let unit = cargo().args(["test", "--workspace", "--no-fail-fast", "--lib", "--bins"]);
        self.tests("unit tests", unit).await;
        let doc = cargo().args(["test", "--workspace", "--no-fail-fast", "--doc"]);
        self.tests("doc tests", doc).await;
        self.integration(cx).await;
        match runner::this_program() {
            Ok(program) => {
                let endings = cargo().args(["test", "--package", "scenarios", "--test", "endings"]);
                self.tests("endings of runs", endings.env(XTASK, program)).await;
            }
            Err(error) => self.count("endings of runs", Err(error)),
        }
    }

    /// Runs a command that either passes or fails.
    async fn check(&mut self, name: &str, cmd: Cmd) {
        let cmd = cmd.timeout(TIMEOUT).name(name);
        let result = self.progress.phase(name, async |_| cmd.run(&self.logs).await).await;
        self.count(name, result.map(|_| ()).map_err(Into::into));
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
                let printed = report.printed.join("\n  ");
                self.failures.push(format!("{name}: {failed}\n  {printed}\n{error}"));
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
                // Pages name flags of Helm 4, which the one on PATH may not have.
                let helm = provision::HELM.build(&provision).await?;
                let gitops = provision::go::Module::read("hack/tools/gitops")?;
                let gitops = gitops.build(&provision, None).await?.join("gitops");
                for (program, purpose) in
                    [("chromium", "to look at reports"), ("tmux", "to look at live output")]
                {
                    if which::which(program).is_err() {
                        provision::apt::install(&provision, &[program], purpose).await?;
                    }
                }
                anyhow::Ok((image, kubectl, promtool, helm, gitops))
            })
            .await;
        match image {
            Ok((image, kubectl, promtool, helm, gitops)) => {
                let integration = cargo()
                    .args(["test", "--workspace", "--no-fail-fast"])
                    // The others make cargo build the binaries, which the first starts.
                    .args(["--test", "integration", "--test", "shutdown", "--test", "version"])
                    .args(["--test", "scale"])
                    .env(control_plane::ENVIRONMENT, image)
                    .env("KUBECTL", kubectl)
                    .env("PROMTOOL", promtool)
                    .env("HELM", helm)
                    .env("GITOPS", gitops)
                    .env("RUST_TEST_THREADS", control_plane::TEST_THREADS);
                self.tests("integration", integration).await;
            }
            Err(error) => self.count("integration tests did not run", Err(error)),
        }
    }
}
