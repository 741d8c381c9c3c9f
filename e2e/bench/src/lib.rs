//! How fast a finished Job is noticed, and what that costs: from three nodes to thousands.
//!
//! The nodes are [simulated](testbed::simulation), all that they report to is real: a control plane of this
//! benchmark's own ([`cluster`]), which nobody else has heard of and which ends with this process. Operator and
//! terminator are the binaries that the images hold, run as processes of this machine, with the rights
//! that `deploy/` gives them. Nothing here can be pointed at another cluster; [`real`] measures on a kind
//! cluster, and takes only one that the harness has made.
//!
//! The time at which pods end is taken where they do, in the simulator, and the arrival of requests from
//! the API server's audit log: both by the clock of this machine.

mod baseline;
mod cells;
pub mod cluster;
pub mod cost;
pub mod jobs;
mod memory;
mod plot;
mod plugin;
pub mod real;
mod recovery;
pub mod report;
mod rollouts;
pub mod states;
mod summary;
mod table;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use harness::proc_file;
use harness::progress::{Phase, Progress};
use serde_json::json;
use testbed::simulated_work::Distribution;

use self::cluster::{Programs, Testbed};
use self::jobs::Mode;
use self::report::{Machine, Report, Size};
use self::states::States;

pub use self::table::renew;

/// From this many nodes on, one run of each is enough: it has thousands of pods.
const ONCE: u32 = 5000;

/// The number of nodes on which memory and recovery are measured as well, and from there on.
const LARGE: u32 = 1000;

/// A part of the benchmark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Part {
    /// Jobs by word: detection, whole Job, requests; floors and polling baseline.
    Words,
    /// Jobs by exit codes.
    ExitCodes,
    /// Memory and processor time.
    Memory,
    /// Processes started again.
    Recovery,
    /// Jobs whose nodes take turns, beside a rolling update of a DaemonSet.
    Rollouts,
    /// The kubectl plugin.
    Plugin,
    /// Three real nodes.
    Kind,
}

/// What is to be measured, and how.
#[derive(Clone, Debug)]
pub struct Options {
    /// The image of the control plane.
    pub image: String,
    /// The binaries.
    pub programs: Programs,
    /// The kubectl plugin, if it is measured.
    pub plugin: Option<PathBuf>,
    /// Numbers of simulated nodes.
    pub sizes: Vec<u32>,
    /// Runs of each, but for 5,000 nodes and more, where it is one.
    pub runs: u32,
    /// The parts.
    pub parts: Vec<Part>,
    /// Where all draws begin.
    pub seed: u64,
    /// Where results go.
    pub folder: PathBuf,
}

/// Measures on simulated nodes, and writes the report after each part.
pub async fn run(options: &Options, progress: &Progress) -> Result<Report> {
    let started = Instant::now();
    let mut report = Report {
        started: harness::paths::run_name(),
        machine: machine()?,
        seed: options.seed,
        ..Report::default()
    };
    for &nodes in &options.sizes {
        let testbed = progress
            .phase(&format!("{nodes} nodes"), async |phase| {
                let folder = options.folder.join(format!("{nodes}-nodes"));
                phase.detail("control plane, and nodes");
                let testbed =
                    Testbed::start(&options.image, nodes, options.programs.clone(), &folder)
                        .await?;
                report.machine.kubernetes = testbed.client.apiserver_version().await?.git_version;
                anyhow::Ok(testbed)
            })
            .await?;
        if options.parts.contains(&Part::Kind) && report.states.is_none() {
            report.states = Some(progress.phase("states", async |_| states(&testbed).await).await?);
        }
        report.sizes.push(Size { nodes, ..Size::default() });
        for &part in &options.parts {
            let Some(size) = report.sizes.last_mut() else { continue };
            measure(&testbed, part, options, size, progress).await?;
            report.seconds = started.elapsed().as_secs_f64();
            write(&report, &options.folder)?;
        }
    }
    Ok(report)
}

/// Measures one part, if these are enough nodes for it.
async fn measure(
    testbed: &Testbed,
    part: Part,
    options: &Options,
    size: &mut Size,
    progress: &Progress,
) -> Result<()> {
    let nodes = size.nodes;
    let (is_large, is_huge) = (nodes >= LARGE, nodes >= ONCE);
    let runs = if is_huge { 1 } else { options.runs };
    let times = |run| times(nodes, options.seed, run);
    match part {
        Part::Words => {
            for run in 0..runs {
                let (times, of) = (times(run), (run, runs));
                let measure = async |phase: &Phase| word(testbed, times, of, size, phase).await;
                progress.phase(&format!("word {}/{runs}", run + 1), measure).await?;
            }
        }
        Part::ExitCodes => {
            let measure = async |phase: &Phase| {
                for run in 0..runs {
                    phase.detail(format_args!("{}/{runs}", run + 1));
                    let mut both = testbed.start_both()?;
                    both.ready().await?;
                    let (job, _) = jobs::run(testbed, &both, Mode::ExitCode, times(0)).await?;
                    both.end().await?;
                    phase.outcome(format_args!("detection {:.0} ms", job.detection * 1e3));
                    size.exit_codes.push(job);
                }
                anyhow::Ok(())
            };
            progress.phase("exit codes", measure).await?;
        }
        Part::Memory if is_large => {
            let measure = async |phase: &Phase| {
                phase.detail("idle, one Job, many Jobs");
                size.memory = memory::measure(testbed, times(0)).await?;
                if !is_huge {
                    phase.detail("much to read");
                    size.memory.extend(memory::measure_logs(testbed, times(0)).await?);
                }
                anyhow::Ok(())
            };
            progress.phase("memory", measure).await?;
        }
        Part::Recovery if is_large => {
            let measure = async |phase: &Phase| {
                for run in 0..runs.min(3) {
                    phase.detail(format_args!("{}/{runs}", run + 1));
                    size.recoveries.push(recovery::measure(testbed, times(run)).await?);
                }
                anyhow::Ok(())
            };
            progress.phase("recovery", measure).await?;
        }
        Part::Rollouts if is_large => {
            // Fifty of five thousand nodes at a time would take minutes, and show the same.
            let limits = if is_huge { &[json!("10%")][..] } else { &[json!(50), json!("10%")] };
            let measure = async |_: &Phase| rollouts::measure(testbed, limits).await;
            size.rollouts = progress.phase("rollouts", measure).await?;
        }
        Part::Plugin if is_large => {
            let program = options.plugin.as_ref().context("no plugin was built")?;
            let folder = options.folder.join(format!("{nodes}-nodes"));
            let measure =
                async |_: &Phase| plugin::measure(testbed, program, &folder, options.runs).await;
            size.plugin = progress.phase("plugin", measure).await?;
        }
        _ => {}
    }
    Ok(())
}

/// What simulated nodes tell of pods, to be compared with what real ones do.
async fn states(testbed: &Testbed) -> Result<States> {
    let namespace = testbed.namespace("states").await?;
    let end_init = || {
        for pod in testbed.sim.pods(&namespace) {
            // Some may not have started; one is enough.
            let _ = pod.exit(0);
        }
    };
    let states = states::observe(&testbed.client, &namespace, end_init).await?;
    testbed.clear(&namespace).await?;
    Ok(states)
}

/// One Job by word, with its baseline.
async fn word(
    testbed: &Testbed,
    times: Distribution,
    run: (u32, u32),
    size: &mut Size,
    phase: &Phase,
) -> Result<()> {
    phase.detail("a Job");
    let mut both = testbed.start_both()?;
    size.starts.push(both.ready().await?.as_secs_f64());
    let (job, daemon_set) = jobs::run(testbed, &both, Mode::Word, times).await?;
    both.end().await?;
    phase.detail("its baseline");
    let baseline = baseline::measure(testbed, daemon_set, times, run).await?;
    phase.outcome(format_args!(
        "detection {:.0} ms, floor {:.0} ms, polling {:.1} s; whole {:.2} s, floor {:.2} s",
        job.detection * 1e3,
        baseline.follow * 1e3,
        baseline.polling,
        job.whole,
        baseline.whole,
    ));
    size.words.push(job);
    size.baselines.push(baseline);
    Ok(())
}

/// When pods end: a few seconds after their start, the more so the more there are.
fn times(nodes: u32, seed: u64, run: u32) -> Distribution {
    let mean = Duration::from_millis(if nodes >= LARGE { 3000 } else { 1000 });
    Distribution { mean, cap: 4 * mean, seed: seed.wrapping_add(u64::from(run)) }
}

/// Writes the report, its tables and its plots.
pub fn write(report: &Report, folder: &Path) -> Result<()> {
    fs_err::write(folder.join("report.json"), serde_json::to_vec_pretty(report)?)?;
    fs_err::write(folder.join("report.md"), table::markdown(report))?;
    plot::write(report, folder)
}

/// Reads a report that was written before.
pub fn read(path: &Path) -> Result<Report> {
    serde_json::from_slice(&fs_err::read(path)?)
        .with_context(|| format!("{} is no report", path.display()))
}

fn machine() -> Result<Machine> {
    let processors = fs_err::read_to_string("/proc/cpuinfo")?;
    let model = processors.lines().find_map(|line| line.strip_prefix("model name"));
    let memory = proc_file::bytes(&fs_err::read_to_string("/proc/meminfo")?, "MemTotal");
    let load = fs_err::read_to_string("/proc/loadavg")?;
    Ok(Machine {
        processors: std::thread::available_parallelism()?.get(),
        memory: memory.unwrap_or_default(),
        model: model.unwrap_or_default().trim_start_matches(['\t', ':', ' ']).to_owned(),
        kubernetes: String::new(),
        load: load.split(' ').next().and_then(|load| load.parse().ok()).unwrap_or_default(),
    })
}
