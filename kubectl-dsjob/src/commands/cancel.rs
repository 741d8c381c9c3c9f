//! `kubectl dsjob cancel`: deletes a Job with its pods.

use std::time::Duration;

use futures::StreamExt as _;

use super::context::{Context, Exit, object_name};
use crate::{
    args::{
        duration, names,
        output::{DryRun, Strategy},
    },
    cluster::{
        find,
        watch::{self, Seen},
        write,
    },
    error::Result,
};

/// Stop a Job on all nodes, and delete it with its results.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Name of the Job.
    #[arg(value_parser = names::job)]
    name: String,

    /// Return when the Job and its pods are gone.
    #[arg(long)]
    wait: bool,

    /// Time to wait, with --wait. Default: without end.
    #[arg(long, value_name = "DURATION", value_parser = duration::parse, requires = "wait")]
    timeout: Option<Duration>,

    #[command(flatten)]
    dry_run: DryRun,
}

pub(crate) async fn run(args: Args, cx: &Context) -> Result<Exit> {
    let cluster = cx.cluster().await?;
    let job = find::job(&cluster, &args.name).await?;
    let (name, strategy) = (object_name(&args.name), args.dry_run.dry_run);
    if strategy != Strategy::Client {
        write::delete(&cluster, &job, args.wait, strategy).await?;
    }
    if args.wait && strategy == Strategy::None {
        let uid = job.metadata.uid;
        let mut jobs = std::pin::pin!(watch::job(&cluster, &args.name));
        let gone = async {
            while let Some(seen) = jobs.next().await {
                match seen {
                    Seen::Is(job) if job.metadata.uid == uid => {}
                    Seen::Is(_) | Seen::Gone(_) => break,
                    Seen::Interrupted(_) => {}
                    Seen::Refused(error) => return Err(error),
                }
            }
            Ok(())
        };
        let limit = args.timeout.unwrap_or(Duration::MAX);
        if let Ok(gone) = tokio::time::timeout(limit, gone).await {
            gone?;
        } else {
            cx.screen.note(&format!("error: timed out waiting for the end of {name}"))?;
            return Ok(Exit::TimedOut);
        }
    }
    cx.screen.print(&format!("{name} deleted{}\n", strategy.suffix()))?;
    Ok(Exit::Good)
}
