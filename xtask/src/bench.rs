//! `cargo xtask bench`: how fast a finished Job is noticed, and what that costs.
//!
//! What is measured, and how, lies in `e2e::bench`; here are the command line, the binaries and the
//! clusters.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use clap::ValueEnum;
use e2e::bench::bed::Programs;
use e2e::bench::process::Program;
use e2e::bench::report::{Kind, Report};
use e2e::bench::{self, Options, Part, real};
use e2e::cluster::Cluster;
use e2e::paths;
use e2e::process::{Cmd, LogDir};
use e2e::progress::Progress;

use crate::context::{Context, Verdict};
use crate::provision::{self, Provision};
use crate::{control_plane, image, node_image, output};

/// Making a kind cluster, building its node image included.
const UP: Duration = Duration::from_secs(45 * 60);

/// The name of the cluster that is made for this, and deleted afterwards.
const CLUSTER: &str = "bench";

/// The document that --docs renews, and the plots beside it.
const DOCUMENT: &str = "docs/performance.md";
const PLOTS: [&str; 2] = ["report.svg", "report.png"];

#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Numbers of simulated nodes.
    #[arg(long, value_delimiter = ',', default_value = "3,100,1000,5000", value_name = "N,…",
        value_parser = clap::value_parser!(u32).range(2..=10_000))]
    nodes: Vec<u32>,

    /// Runs of each measure; on 5,000 nodes it is one.
    #[arg(long, default_value_t = 5, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,

    /// Measure only these parts.
    #[arg(long, value_enum, value_delimiter = ',', value_name = "PART,…")]
    only: Vec<PartName>,

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
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum PartName {
    /// Jobs by word: detection, whole Job, requests; floors and polling baseline.
    Words,
    /// Jobs by exit codes.
    ExitCodes,
    /// Memory and processor time.
    Memory,
    /// Processes started again.
    Recovery,
    /// Three real nodes.
    Kind,
}

impl PartName {
    fn part(self) -> Part {
        match self {
            Self::Words => Part::Words,
            Self::ExitCodes => Part::ExitCodes,
            Self::Memory => Part::Memory,
            Self::Recovery => Part::Recovery,
            Self::Kind => Part::Kind,
        }
    }
}

pub(crate) async fn run(args: Args, cx: &Context) -> Result<Verdict> {
    if cfg!(debug_assertions) {
        return Err(crate::cargo::go_on_optimized()).context("cannot build this program optimized");
    }
    let (report, folder) = match &args.from {
        Some(file) => {
            let folder = file.parent().unwrap_or(Path::new("."));
            let report = bench::read(file)?;
            bench::write(&report, folder)?;
            (report, folder.to_owned())
        }
        None => {
            let folder = paths::target().join("bench").join(paths::run_name());
            (measure(&args, &folder, cx).await?, folder)
        }
    };
    let file = if args.json { "report.json" } else { "report.md" };
    let figures = std::fs::read_to_string(folder.join(file))?;
    output::write(&format!("{}\n", figures.trim_end()))?;
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

async fn measure(args: &Args, folder: &Path, cx: &Context) -> Result<Report> {
    let logs = LogDir::create(folder.join("logs"))
        .with_context(|| format!("cannot make {}", folder.display()))?;
    let progress = Progress::new();
    let started = Instant::now();
    let parts: Vec<Part> = match args.only.as_slice() {
        [] => PartName::value_variants().iter().map(|name| name.part()).collect(),
        only => only.iter().map(|name| name.part()).collect(),
    };
    // Dropping the work ends all that it has started, but for the kind cluster.
    let simulated = async {
        let options = prepare(args, parts.clone(), folder, &logs, &progress, cx).await?;
        bench::run(&options, &progress).await
    };
    let mut report = tokio::select! {
        report = simulated => report?,
        () = cx.interrupted.cancelled() => bail!("interrupted"),
    };
    if parts.contains(&Part::Kind) {
        let kind = match &args.cluster {
            Some(name) => on_cluster(name, args.runs, &logs, &progress, cx).await,
            None => on_new_cluster(args.runs, &logs, &progress, cx).await,
        };
        report.kind = Some(kind?);
    }
    report.seconds = started.elapsed().as_secs_f64();
    bench::write(&report, folder)?;
    Ok(report)
}

/// Builds what is measured, and what it is measured on.
async fn prepare(
    args: &Args,
    parts: Vec<Part>,
    folder: &Path,
    logs: &LogDir,
    progress: &Progress,
    cx: &Context,
) -> Result<Options> {
    let provision = Provision::new(cx, logs, progress);
    let image = progress
        .phase("control plane", async |phase| {
            provision::docker::ensure(&provision).await?;
            let sources = node_image::control_plane_sources(&provision, phase).await?;
            control_plane::ensure(&sources, logs).await
        })
        .await?;
    let binaries = progress
        .phase("binaries", async |_| {
            image::build_binaries(&["operator", "terminator"], image::Profile::Release, logs).await
        })
        .await?;
    let program = |name: &'static str| Program { name, path: binaries.folder.join(name) };
    Ok(Options {
        image,
        programs: Programs { operator: program("operator"), terminator: program("terminator") },
        // To compare the states of pods, a few nodes are enough.
        sizes: if parts == [Part::Kind] { vec![3] } else { args.nodes.clone() },
        runs: args.runs,
        parts,
        seed: args.seed,
        folder: folder.to_owned(),
    })
}

async fn on_new_cluster(
    runs: u32,
    logs: &LogDir,
    progress: &Progress,
    cx: &Context,
) -> Result<Kind> {
    let made = progress.phase("kind cluster", async |_| e2e("up", logs, cx).await).await;
    let measured = match made {
        Ok(()) => on_cluster(CLUSTER, runs, logs, progress, cx).await,
        Err(error) => Err(error),
    };
    // After an interrupt as well: it is not to stay.
    let gone = progress
        .phase("tear down", async |_| xtask(&["e2e", "down", "--cluster", CLUSTER]).run(logs).await)
        .await;
    let measured = measured?;
    gone?;
    Ok(measured)
}

async fn e2e(action: &str, logs: &LogDir, cx: &Context) -> Result<()> {
    let command = xtask(&["e2e", action, "--cluster", CLUSTER]).timeout(UP);
    tokio::select! {
        result = command.run(logs) => Ok(result.map(drop)?),
        () = cx.interrupted.cancelled() => bail!("interrupted"),
    }
}

/// This program, as a command of its own.
fn xtask(args: &[&str]) -> Cmd {
    let program = std::env::current_exe().unwrap_or_else(|_| PathBuf::from("cargo-xtask"));
    Cmd::new(program).args(args).cwd(paths::workspace())
}

/// Measures on a cluster of the harness: nothing else has a record in its folder.
async fn on_cluster(
    name: &str,
    runs: u32,
    logs: &LogDir,
    progress: &Progress,
    cx: &Context,
) -> Result<Kind> {
    let folder = paths::target().join("e2e").join(format!("cluster-{name}"));
    let cluster = Cluster::open(&folder, logs).await?.with_context(|| {
        format!("{name} is no cluster that `cargo xtask e2e up --cluster {name}` has made, so it is not touched")
    })?;
    let client = cluster.client().await?;
    let measure = progress.phase("real nodes", async |phase| {
        real::measure(&cluster, &client, runs.max(1) * 2, phase).await
    });
    tokio::select! {
        kind = measure => kind,
        () = cx.interrupted.cancelled() => {
            real::clean(&client).await?;
            bail!("interrupted")
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
        std::fs::copy(folder.join(plot), &to)
            .with_context(|| format!("cannot write {}", to.display()))?;
    }
    eprintln!("renewed {}", document.display());
    Ok(())
}
