//! `cargo xtask bench`: the command line, the binaries and the clusters of the benchmark.

#![allow(clippy::print_stderr, reason = "a command-line program talks to its user")]

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use bench::cluster::Programs;
use bench::report::{Kind, Report};
use bench::{Options, Part, real};
use clap::{Parser, ValueEnum};
use harness::command::{self, Verdict};
use harness::process::LogDir;
use harness::progress::{Phase, Progress};
use harness::provide::{Profile, Provider};
use harness::{command_line, paths};
use testbed::kind::Cluster;
use testbed::program::Program;
use tokio_util::sync::CancellationToken;

/// Making a kind cluster, building its node image included.
const UP: Duration = Duration::from_secs(45 * 60);

/// The name of the cluster that is made for this, and deleted afterwards.
const CLUSTER: &str = "bench";

/// The document that --docs renews, and the plots beside it.
const DOCUMENT: &str = "docs/performance.md";
const PLOTS: [&str; 2] = ["report.svg", "report.png"];

/// Measures how fast a finished Job is noticed and what that costs, from 3 to 5,000 nodes.
#[derive(Debug, Parser)]
#[command(bin_name = "cargo xtask bench", version)]
struct Args {
    /// Numbers of simulated nodes.
    #[arg(long, value_delimiter = ',', default_value = "3,100,1000,5000", value_name = "N,…",
        value_parser = clap::value_parser!(u32).range(2..=10_000))]
    nodes: Vec<u32>,

    /// Runs of each measure; on 5,000 nodes it is one.
    #[arg(long, default_value_t = 5, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,

    /// Measure only these parts.
    #[arg(long, value_enum, value_delimiter = ',', value_name = "PART,…")]
    only: Vec<Part>,

    /// Where all draws begin: the same seed draws the same times.
    #[arg(long, default_value_t = 1, value_name = "SEED")]
    seed: u64,

    /// The kind cluster to measure on, as `cargo xtask e2e up --cluster` made it. Default: a new one.
    #[arg(long, value_name = "NAME")]
    cluster: Option<String>,

    /// Renew tables and plots of docs/performance.md.
    #[arg(long)]
    docs: bool,

    /// Print the figures as JSON, as report.json holds them, instead of tables.
    #[arg(long)]
    json: bool,

    /// Measure nothing, and take this report.json of an earlier run.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["nodes", "runs", "only", "seed", "cluster"])]
    from: Option<PathBuf>,

    /// Change nothing on this machine outside the repository: install nothing, start no daemon.
    #[arg(long)]
    no_provision: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    if let Some(code) = command_line::answer::<Args>() {
        return code;
    }
    let args = Args::parse();
    command::run(async |interrupted| run(args, &interrupted).await).await
}

async fn run(args: Args, interrupted: &CancellationToken) -> Result<Verdict> {
    let (report, folder) = match &args.from {
        Some(file) => {
            let folder = file.parent().unwrap_or(Path::new("."));
            let report = bench::read(file)?;
            bench::write(&report, folder)?;
            (report, folder.to_owned())
        }
        None => {
            let folder = paths::target().join("bench").join(paths::run_name());
            (measure(&args, &folder, interrupted).await?, folder)
        }
    };
    let file = if args.json { "report.json" } else { "report.md" };
    let figures = fs_err::read_to_string(folder.join(file))?;
    command::print(&format!("{}\n", figures.trim_end()))?;
    // Standard output has the figures alone, for those who pass them on.
    eprintln!("{}", folder.display());
    if args.docs {
        renew(&report, &folder)?;
    }
    Ok(match report.differences() {
        Some(lines) if !lines.is_empty() => Verdict::Failed,
        _ => Verdict::Passed,
    })
}

async fn measure(args: &Args, folder: &Path, interrupted: &CancellationToken) -> Result<Report> {
    let logs = LogDir::create(folder.join("logs"))?;
    let progress = Progress::new();
    let provider = Provider::new(args.no_provision, &logs)?;
    let started = Instant::now();
    let parts = if args.only.is_empty() { Part::value_variants() } else { &args.only }.to_vec();
    // Dropping the work ends all that it has started, but for the kind cluster.
    let simulated = async {
        let options = prepare(args, parts.clone(), folder, &provider, &progress).await?;
        bench::run(&options, &progress).await
    };
    let mut report = command::until_interrupted(interrupted, simulated).await?;
    if parts.contains(&Part::Kind) {
        let machine =
            Machine { provider: &provider, logs: &logs, progress: &progress, interrupted };
        let kind = match &args.cluster {
            Some(name) => machine.on_cluster(name, args.runs).await,
            None => machine.on_new_cluster(args.runs).await,
        };
        report.kind = Some(kind?);
    }
    report.seconds = started.elapsed().as_secs_f64();
    bench::write(&report, folder)?;
    Ok(report)
}

/// Builds the binaries that are measured, and the control plane that they are measured on.
async fn prepare(
    args: &Args,
    parts: Vec<Part>,
    folder: &Path,
    provider: &Provider,
    progress: &Progress,
) -> Result<Options> {
    let control_plane = async |phase: &Phase| {
        provider.docker(false, phase).await?;
        provider.control_plane(phase).await
    };
    let image = progress.phase("control plane", control_plane).await?;
    let binaries = async |phase: &Phase| provider.binaries(phase).await;
    let binaries = progress.phase("binaries", binaries).await?;
    let program = |name: &'static str| Program { name, path: binaries.join(name) };
    let plugin = match parts.contains(&Part::Plugin) {
        true => {
            let build = async |phase: &Phase| provider.plugin(Profile::Release, phase).await;
            Some(progress.phase("plugin", build).await?)
        }
        false => None,
    };
    Ok(Options {
        image,
        programs: Programs { operator: program("operator"), terminator: program("terminator") },
        plugin,
        // To compare the states of pods, a few nodes are enough.
        sizes: if parts == [Part::Kind] { vec![3] } else { args.nodes.clone() },
        runs: args.runs,
        parts,
        seed: args.seed,
        folder: folder.to_owned(),
    })
}

/// What it takes to measure on real nodes.
struct Machine<'a> {
    provider: &'a Provider,
    logs: &'a LogDir,
    progress: &'a Progress,
    interrupted: &'a CancellationToken,
}

impl Machine<'_> {
    async fn on_new_cluster(&self, runs: u32) -> Result<Kind> {
        let up = self.provider.xtask(&["e2e", "up", "--cluster", CLUSTER]).timeout(UP);
        let up = async |_: &Phase| {
            let up = async { Ok(up.run(self.logs).await?) };
            command::until_interrupted(self.interrupted, up).await
        };
        let measured = match self.progress.phase("kind cluster", up).await {
            Ok(_) => self.on_cluster(CLUSTER, runs).await,
            Err(error) => Err(error),
        };
        // After an interrupt as well: it is not to stay.
        let down = self.provider.xtask(&["e2e", "down", "--cluster", CLUSTER]);
        let down = async |_: &Phase| down.run(self.logs).await;
        let gone = self.progress.phase("tear down", down).await;
        let measured = measured?;
        gone?;
        Ok(measured)
    }

    /// Measures on a cluster of the harness: nothing else has a record in its folder.
    async fn on_cluster(&self, name: &str, runs: u32) -> Result<Kind> {
        let folder = paths::target().join("e2e").join(format!("cluster-{name}"));
        let cluster = Cluster::open(&folder, self.logs).await?.with_context(|| {
            format!("{name} is no cluster that `cargo xtask e2e up --cluster {name}` has made, so it is not touched")
        })?;
        let client = cluster.client().await?;
        let measure = self.progress.phase("real nodes", async |phase| {
            real::measure(&cluster, &client, runs.max(1) * 2, phase).await
        });
        tokio::select! {
            kind = measure => kind,
            () = self.interrupted.cancelled() => {
                real::clean(&client).await?;
                bail!("interrupted")
            }
        }
    }
}

/// Takes a report over into the documentation.
fn renew(report: &Report, folder: &Path) -> Result<()> {
    ensure!(!report.sizes.is_empty(), "a report without simulated nodes says too little");
    let document = paths::workspace().join(DOCUMENT);
    bench::renew(report, &document)?;
    for plot in PLOTS {
        let to = document.with_file_name(plot.replace("report", "performance"));
        fs_err::copy(folder.join(plot), to)?;
    }
    eprintln!("renewed {}", document.display());
    Ok(())
}

#[cfg(test)]
mod tests {
    use harness::pages;

    use super::*;

    #[test]
    fn every_command_of_this_program_on_a_page_is_one_that_it_knows() {
        pages::check_commands("cargo xtask bench", Args::try_parse_from).expect("known");
    }
}
