//! `kubectl dsjob suspend` and `resume`: the field `suspend` of a Job.

use api::job::Job;
use serde_json::json;

use super::context::{Context, Exit, object_name};
use crate::{
    args::{
        names,
        output::{DryRun, Format, Output},
    },
    cluster::{connect::Cluster, find, write},
    error::{Error, Result},
    model::job::{Ending, ending},
};

/// Arguments of both commands.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Name of the Job.
    #[arg(value_parser = names::job)]
    name: String,

    #[command(flatten)]
    dry_run: DryRun,

    #[command(flatten)]
    output: Output,
}

/// Suspends the Job, or resumes it.
pub(crate) async fn run(args: Args, suspend: bool, cx: &Context) -> Result<Exit> {
    let cluster = cx.cluster().await?;
    let job = find::job(&cluster, &args.name).await?;
    let strategy = args.dry_run.dry_run;
    let (done, already) = match suspend {
        true => ("suspended", "suspended already"),
        false => ("resumed", "not suspended"),
    };
    if suspend && ending(&job) == Some(Ending::Complete) {
        return Err(Error::new(format!(
            "{} is complete: nothing of it runs",
            object_name(&args.name)
        )));
    }
    let (job, done) = match () {
        () if job.spec.is_suspended() == suspend => (job, already),
        () if strategy == crate::args::output::Strategy::Client => {
            let mut job = job;
            job.spec.suspend = Some(suspend);
            (job, done)
        }
        () => (set(&cluster, &job, suspend, strategy).await?, done),
    };
    match args.output.format {
        Some(format @ (Format::Json | Format::Yaml)) => cx.print_data(format, &tidy(job))?,
        Some(Format::Name) => cx.screen.print(&(object_name(&args.name) + "\n"))?,
        _ => {
            let line = format!("{} {done}{}\n", object_name(&args.name), strategy.suffix());
            cx.screen.print(&line)?;
        }
    }
    Ok(Exit::Good)
}

/// Writes the field.
pub(super) async fn set(
    cluster: &Cluster,
    job: &Job,
    suspend: bool,
    strategy: crate::args::output::Strategy,
) -> Result<Job> {
    let changed =
        write::patch(cluster, job, json!({"spec": {"suspend": suspend}}), strategy).await?;
    if changed.spec.is_suspended() != suspend {
        return Err(Error::new("the installed resource does not know the field suspend")
            .hint("upgrade the CRD: kubectl apply --server-side -f deploy/10-crd.yaml"));
    }
    Ok(changed)
}

fn tidy(mut job: Job) -> Job {
    job.metadata.managed_fields = None;
    job
}
