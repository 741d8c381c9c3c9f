//! `cargo xtask e2e`: the operator on a real cluster, from nothing to torn down.
//!
//! The phases lie in [`prepare`], what belongs to one run in [`session`], clusters that stay in
//! [`leftover`].

mod leftover;
mod prepare;
mod session;

use std::time::{Duration, Instant};

use anyhow::Result;
use clap::{Subcommand, ValueEnum};
use e2e::cluster::ResidentMemory;
use e2e::progress::Tally;
use e2e::scenario::{self, sample_job};
use e2e::statistics::median_and_maximum;

use self::prepare::Ready;
use self::session::Session;
use crate::context::{Context, Verdict};

#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Option<Action>,

    #[command(flatten)]
    options: Options,
}

#[derive(Clone, Copy, Debug, Subcommand)]
enum Action {
    /// Make a cluster with the operator deployed, and leave it running.
    Up,
    /// Run all scenarios (the default).
    Run,
    /// Delete the clusters that `up`, --reuse, --keep or a crash left.
    Down,
}

/// How a run goes about it.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Options {
    /// Number of nodes: one control plane, the rest workers.
    #[arg(long, global = true, default_value_t = 3, value_name = "N", value_parser = parse_nodes)]
    nodes: usize,

    /// Node image to use, instead of kind's current one or (offline) one built here.
    #[arg(long, global = true, value_name = "REF")]
    node_image: Option<String>,

    /// When to keep the cluster after the run.
    #[arg(long, global = true, value_enum, default_value_t = Keep::Never, value_name = "WHEN")]
    keep: Keep,

    /// Use the cluster that `up` or an earlier --reuse left, or leave one.
    #[arg(long, global = true)]
    reuse: bool,

    /// Run each scenario this often, and report figures over all runs.
    #[arg(long, global = true, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    repeat: u32,
}

/// The defaults of the command line.
impl Default for Options {
    fn default() -> Self {
        Self { nodes: 3, node_image: None, keep: Keep::Never, reuse: false, repeat: 1 }
    }
}

/// When a cluster outlives its run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Keep {
    Never,
    Failure,
    Always,
}

/// Nodes need names and addresses, and a machine has only so much memory.
fn parse_nodes(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(nodes @ 1..=50) => Ok(nodes),
        _ => Err("a number from 1 to 50 is expected".to_owned()),
    }
}

pub(crate) async fn run(args: Args, cx: &Context) -> Result<Verdict> {
    match args.action {
        Some(Action::Down) => leftover::down(cx).await,
        Some(Action::Up) => up(args.options, cx).await,
        Some(Action::Run) | None => {
            let (tally, verdict) = scenarios(args.options, cx).await?;
            tally.print();
            Ok(verdict)
        }
    }
}

/// Makes or completes the cluster that stays.
async fn up(mut options: Options, cx: &Context) -> Result<Verdict> {
    options.reuse = true;
    let session = Session::start(options)?;
    let ready = tokio::select! {
        ready = prepare::prepare(&session, cx) => ready,
        () = cx.interrupted.cancelled() => Err(anyhow::anyhow!("interrupted")),
    };
    match ready {
        Ok(ready) => {
            let kubeconfig = ready.cluster.kubeconfig();
            println!("export KUBECONFIG={}", kubeconfig.display());
            Ok(Verdict::Passed)
        }
        Err(error) => {
            session.report_failure(&error).await;
            session.clean_up(false).await;
            Ok(Verdict::Broken)
        }
    }
}

/// How a run ended.
enum Ending {
    Passed,
    /// Before anything could be judged.
    Infrastructure,
    Scenario,
    Interrupted,
}

/// Runs all scenarios on a cluster, from checking the machine to tearing the cluster down. The
/// tally has an entry for each run of a scenario that was to be.
pub(crate) async fn scenarios(options: Options, cx: &Context) -> Result<(Tally, Verdict)> {
    let started = Instant::now();
    let session = Session::start(options)?;
    let mut tally = Tally::default();
    let ending = tokio::select! {
        ending = work(&session, cx, &mut tally) => ending,
        () = cx.interrupted.cancelled() => Ending::Interrupted,
    };
    session.clean_up(matches!(ending, Ending::Scenario | Ending::Infrastructure)).await;
    session.say(format_args!("total {:.1?}, logs {}", started.elapsed(), session.folder.display()));
    let verdict = match ending {
        Ending::Passed => Verdict::Passed,
        Ending::Scenario => Verdict::Failed,
        Ending::Infrastructure | Ending::Interrupted => Verdict::Broken,
    };
    if verdict == Verdict::Broken {
        // What was to run and did not has not passed.
        tally.count(false);
    }
    Ok((tally, verdict))
}

async fn work(session: &Session, cx: &Context, tally: &mut Tally) -> Ending {
    let ready = match prepare::prepare(session, cx).await {
        Ok(ready) => ready,
        Err(error) => {
            session.report_failure(&error).await;
            return Ending::Infrastructure;
        }
    };
    match main_job(session, &ready, tally).await {
        Ok(()) => Ending::Passed,
        Err(error) => {
            tally.count(false);
            session.report_failure(&error).await;
            session.show_pod_logs(&ready.deployed.namespace);
            Ending::Scenario
        }
    }
}

/// Runs the sample as often as asked; the first failure ends it, for it leaves a state to look at.
async fn main_job(session: &Session, ready: &Ready, tally: &mut Tally) -> Result<()> {
    let repeat = session.options.repeat;
    let mut deletions: Vec<Duration> = Vec::new();
    for round in 1..=repeat {
        let name = match repeat {
            1 => "sample job".to_owned(),
            _ => format!("sample job {round}/{repeat}"),
        };
        let run = session.progress.phase(&name, async |phase| {
            let cx = scenario::Context {
                cluster: &ready.cluster,
                client: &ready.client,
                deployed: &ready.deployed,
                logs: &session.logs,
                phase,
            };
            let measured = sample_job::run(cx).await?;
            phase.outcome(measured);
            anyhow::Ok(measured)
        });
        deletions.push(run.await?.deletion);
        tally.count(true);
    }
    if let Some((median, maximum)) = median_and_maximum(&deletions) {
        session.say(format_args!(
            "from apply to the deletion request: median {median:.2?}, maximum {maximum:.2?}, runs {}",
            deletions.len()
        ));
    }
    session.say(format_args!("resident memory: {}", memory(ready).await?));
    Ok(())
}

/// The resident memory of our two processes.
async fn memory(ready: &Ready) -> Result<String> {
    let mut total = ResidentMemory::new();
    for node in ready.cluster.nodes().await? {
        for (name, size) in node.resident_memory(&["operator", "terminator"]).await? {
            *total.entry(name).or_default() += size;
        }
    }
    let mib = |kib: u64| format!("{:.1} MiB", kib as f64 / 1024.0);
    let each: Vec<_> = total.iter().map(|(name, &kib)| format!("{name} {}", mib(kib))).collect();
    Ok(format!("{}, together {}", each.join(", "), mib(total.values().sum())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clusters_without_nodes_are_refused() {
        assert_eq!(parse_nodes("3"), Ok(3));
        for bad in ["0", "51", "-1", "many"] {
            assert!(parse_nodes(bad).is_err(), "{bad}");
        }
    }
}
