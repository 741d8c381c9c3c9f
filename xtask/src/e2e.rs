//! `cargo xtask e2e`: the operator on a real cluster, from nothing to torn down.
//!
//! The phases lie in [`prepare`], the scenarios beside the main job in [`scenarios`], what belongs to
//! one run in [`session`], clusters that stay in [`leftover`].

mod leftover;
mod prepare;
mod scenarios;
mod session;

use std::time::{Duration, Instant};

use anyhow::Result;
use clap::{Subcommand, ValueEnum};
use e2e::cluster::ResidentMemory;
use e2e::progress::Tally;
use e2e::scenario::sample_job;
use e2e::statistics::median_and_maximum;

use self::prepare::Ready;
pub(crate) use self::scenarios::Selection;
use self::session::Session;
use crate::context::{Context, Verdict};

/// The name of the main job among the scenarios.
const MAIN_JOB: &str = "sample job";

#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Option<Action>,

    #[command(flatten)]
    options: Options,
}

#[derive(Clone, Debug, Subcommand)]
enum Action {
    /// Make a cluster with the operator deployed, and leave it running.
    Up,
    /// Run the main job, and then all other scenarios. Without this only the main job runs.
    Run(Selection),
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

    /// Which of the clusters that stay `up`, --reuse and `down` mean: several can stand side by side.
    /// Without it `down` means all of them.
    #[arg(long, global = true, value_name = "NAME", value_parser = parse_cluster)]
    cluster: Option<String>,

    /// Run each scenario this often, and report figures over all runs.
    #[arg(long, global = true, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    repeat: u32,
}

/// The defaults of the command line.
impl Default for Options {
    fn default() -> Self {
        Self {
            nodes: 3,
            node_image: None,
            keep: Keep::Never,
            reuse: false,
            cluster: None,
            repeat: 1,
        }
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

/// A name that is fit to be a folder's.
fn parse_cluster(text: &str) -> Result<String, String> {
    let is_fit = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    match !text.is_empty() && text.bytes().all(is_fit) {
        true => Ok(text.to_owned()),
        false => Err("lower case letters, digits and `-` are expected".to_owned()),
    }
}

pub(crate) async fn run(args: Args, cx: &Context) -> Result<Verdict> {
    let selection = match args.action {
        Some(Action::Down) => return leftover::down(args.options.cluster.as_deref(), cx).await,
        Some(Action::Up) => return up(args.options, cx).await,
        Some(Action::Run(selection)) => Some(selection),
        None => None,
    };
    let (tally, verdict) = run_scenarios(args.options, selection, cx).await?;
    tally.print();
    Ok(verdict)
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

/// Runs the selected scenarios on a cluster, the main job alone without a selection, from checking the
/// machine to tearing the cluster down. The tally has an entry for each scenario that ran, and one
/// more when not all did that were to.
pub(crate) async fn run_scenarios(
    options: Options,
    selection: Option<Selection>,
    cx: &Context,
) -> Result<(Tally, Verdict)> {
    let started = Instant::now();
    if let Some(selection) = &selection {
        selection.check(MAIN_JOB, options.nodes)?;
    }
    let session = Session::start(options)?;
    let mut tally = Tally::default();
    let ending = tokio::select! {
        ending = work(&session, selection.as_ref(), cx, &mut tally) => ending,
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

async fn work(
    session: &Session,
    selection: Option<&Selection>,
    cx: &Context,
    tally: &mut Tally,
) -> Ending {
    let ready = match prepare::prepare(session, cx).await {
        Ok(ready) => ready,
        Err(error) => {
            session.report_failure(&error).await;
            return Ending::Infrastructure;
        }
    };
    if selection.is_none_or(|selection| selection.has(MAIN_JOB))
        && let Err(error) = main_job(session, &ready, tally).await
    {
        tally.count(false);
        session.report_failure(&error).await;
        session.show_pod_logs(&ready.deployed.namespace);
        return Ending::Scenario;
    }
    let Some(selection) = selection else {
        return Ending::Passed;
    };
    for _ in 0..session.options.repeat {
        if !scenarios::run(selection, session, &ready, tally).await {
            session.collect().await;
            session.show_pod_logs(&ready.deployed.namespace);
            return Ending::Scenario;
        }
    }
    Ending::Passed
}

/// Runs the sample as often as asked; the first failure ends it, for it leaves a state to look at.
async fn main_job(session: &Session, ready: &Ready, tally: &mut Tally) -> Result<()> {
    let repeat = session.options.repeat;
    let mut deletions: Vec<Duration> = Vec::new();
    for round in 1..=repeat {
        let name = match repeat {
            1 => MAIN_JOB.to_owned(),
            _ => format!("{MAIN_JOB} {round}/{repeat}"),
        };
        let run = session.progress.phase(&name, async |phase| {
            let measured = sample_job::run(ready.context(session, phase)).await?;
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

    #[test]
    fn name_of_a_cluster_that_leaves_the_folder_is_refused() {
        assert_eq!(parse_cluster("faults-2"), Ok("faults-2".to_owned()));
        for bad in ["", "..", "a/b", "A", "a b"] {
            assert!(parse_cluster(bad).is_err(), "{bad}");
        }
    }
}
