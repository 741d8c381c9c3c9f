//! `kubectl dsjob report`: everything about a Job in one HTML file.

use std::path::PathBuf;

use super::{
    context::{Context, Exit},
    explain,
};
use crate::{
    args::names,
    cluster::snapshot::Snapshot,
    error::{Error, Result},
    explain::explain as findings,
    render::report::{self, Report},
};

/// Write a report about a Job as one HTML file, which needs no network.
#[derive(clap::Args, Debug)]
#[command(after_help = "Example:
  kubectl dsjob report rotate-ca > rotate-ca.html")]
pub(crate) struct Args {
    /// Name of the Job.
    #[arg(value_parser = names::job)]
    name: String,

    /// File to write. Default: standard output.
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

pub(crate) async fn run(args: Args, cx: &Context) -> Result<Exit> {
    if args.output.is_none() && cx.screen.is_terminal() {
        return Err(Error::new("a report is no text for a terminal")
            .hint(format!("kubectl dsjob report {0} > {0}.html", args.name)));
    }
    let cluster = cx.cluster().await?;
    let snapshot = Snapshot::read(&cluster, &args.name).await?;
    let spec = snapshot.job.spec.clone();
    let evidence = explain::evidence(&cluster, snapshot, cx).await;
    let report = Report {
        findings: findings(&evidence),
        job: &evidence.model,
        image: &spec.image,
        command: [spec.command.as_slice(), spec.args.as_slice()].concat(),
        made: evidence.now,
        version: env!("CARGO_PKG_VERSION"),
    };
    let page = report::render(&report)?;
    match &args.output {
        None => cx.screen.print(&page)?,
        Some(path) => {
            std::fs::write(path, page)
                .map_err(|error| Error::new(format!("cannot write {}: {error}", path.display())))?;
            cx.screen.note(&format!("{} written", path.display()))?;
        }
    }
    Ok(Exit::Good)
}
