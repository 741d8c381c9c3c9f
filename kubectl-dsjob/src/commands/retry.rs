//! `kubectl dsjob retry`: runs a Job again, on every node or on those that are not done.

use std::time::Duration;

use api::job::{Job, conditions};
use futures::StreamExt as _;
use serde_json::json;

use super::{
    context::{Context, Exit, object_name},
    suspend,
};
use crate::{
    args::{
        duration, names,
        output::{DryRun, Strategy},
    },
    cluster::{
        connect::Cluster,
        find,
        watch::{self, Seen},
        write,
    },
    error::{Error, Result},
    model::job::{Ending, ending},
};

/// The annotation by which `kubectl rollout restart` changes a pod template.
const RESTARTED_AT: &str = "kubectl.kubernetes.io/restartedAt";

/// Run a Job again on every node, or only where it is not done.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Name of the Job.
    #[arg(value_parser = names::job)]
    name: String,

    /// Keep the results of nodes that are done, and run the others again.
    #[arg(long)]
    failed_only: bool,

    /// Time for the pods of the last run to stop, with --failed-only.
    #[arg(long, value_name = "DURATION", value_parser = duration::parse, default_value = "5m")]
    timeout: Duration,

    #[command(flatten)]
    dry_run: DryRun,
}

pub(crate) async fn run(args: Args, cx: &Context) -> Result<Exit> {
    let cluster = cx.cluster().await?;
    let job = find::job(&cluster, &args.name).await?;
    let (name, strategy) = (object_name(&args.name), args.dry_run.dry_run);
    let where_ = if args.failed_only { "where it is not done" } else { "on every node" };
    if args.failed_only && ending(&job) == Some(Ending::Complete) {
        return Err(Error::new(format!("{name} is complete: every node is done"))
            .hint("without --failed-only it runs again on every node"));
    }
    match (strategy, args.failed_only) {
        (Strategy::Client, _) => {}
        (_, false) => {
            let annotations = json!({RESTARTED_AT: cx.now().to_string()});
            let template = json!({"metadata": {"annotations": annotations}});
            write::patch(&cluster, &job, json!({"spec": {"template": template}}), strategy).await?;
        }
        (Strategy::Server, true) => drop(suspend::set(&cluster, &job, true, strategy).await?),
        (Strategy::None, true) => {
            let suspended = suspend::set(&cluster, &job, true, strategy).await?;
            stopped(&cluster, &suspended, &args, cx).await?;
            suspend::set(&cluster, &suspended, false, strategy).await?;
        }
    }
    cx.screen.print(&format!("{name} runs again {where_}{}\n", strategy.suffix()))?;
    Ok(Exit::Good)
}

/// Waits until the operator has stopped the last run.
async fn stopped(cluster: &Cluster, job: &Job, args: &Args, cx: &Context) -> Result<()> {
    let halfway = |what: &str| {
        Error::new(format!("{what}; {} is suspended now", object_name(&args.name)))
            .hint(format!("to go on: kubectl dsjob resume {} -n {}", args.name, cluster.namespace))
    };
    tokio::select! {
        stopped = until_suspended(cluster, job) => match stopped? {
            true => Ok(()),
            false => Err(find::missing(cluster, &args.name).await),
        },
        () = tokio::time::sleep(args.timeout) => {
            Err(halfway("the pods of the last run have not stopped in time"))
        }
        interrupted = tokio::signal::ctrl_c() => {
            interrupted?;
            // Nothing is left half done: what was asked for is undone.
            suspend::set(cluster, job, false, Strategy::None).await?;
            cx.screen.note("interrupted")?;
            Err(Error::new(format!("{} was not run again", object_name(&args.name))))
        }
    }
}

/// Waits for the condition Suspended; `false` when the Job is gone.
async fn until_suspended(cluster: &Cluster, job: &Job) -> Result<bool> {
    let name = job.metadata.name.as_deref().unwrap_or_default();
    let mut jobs = std::pin::pin!(watch::job(cluster, name));
    while let Some(seen) = jobs.next().await {
        match seen {
            Seen::Is(seen) if seen.metadata.uid != job.metadata.uid => return Ok(false),
            Seen::Is(seen) => {
                let generation = job.metadata.generation;
                let is_suspended = seen.status.as_ref().is_some_and(|status| {
                    status.observed_generation >= generation
                        && conditions::find_true(&status.conditions, conditions::SUSPENDED)
                            .is_some()
                });
                if is_suspended {
                    return Ok(true);
                }
            }
            Seen::Gone(_) => return Ok(false),
            Seen::Interrupted(_) => {}
            Seen::Refused(error) => return Err(error),
        }
    }
    Ok(false)
}
