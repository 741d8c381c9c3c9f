//! `kubectl dsjob explain`: why is a Job not done?

use api::job::CompletionMode;

use super::context::{Context, Exit};
use crate::{
    args::{
        names,
        output::{Format, Output},
    },
    cluster::{
        connect::Cluster,
        failure::{Doing, JOBS, is_not_found},
        find,
        snapshot::Snapshot,
        surroundings,
    },
    error::Result,
    explain::{explain, gone},
    model::{
        evidence::{Evidence, Known},
        facts::{PodFacts, RunState},
        finding::{Finding, Severity},
    },
    render::explanation,
};

/// Pods whose logs are looked at.
const LOGS: usize = 3;

/// Say why a Job is not done, and the cure; exit code 1 if there is a cause.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Name of the Job.
    #[arg(value_parser = names::job)]
    name: String,

    #[command(flatten)]
    output: Output,
}

pub(crate) async fn run(args: Args, cx: &Context) -> Result<Exit> {
    let cluster = cx.cluster().await?;
    let job = match cluster.api().get(&args.name).await {
        Ok(job) => job,
        Err(error) if is_not_found(&error) => return after_the_end(&args, &cluster, cx).await,
        Err(error) => return Err(Doing::new("get", JOBS, Some(&cluster.namespace)).failed(&error)),
    };
    let snapshot = Snapshot::of(&cluster, job).await?;
    let evidence = evidence(&cluster, snapshot, cx).await;
    print(&explain(&evidence), &args, cx)
}

pub(super) async fn evidence(cluster: &Cluster, snapshot: Snapshot, cx: &Context) -> Evidence {
    let name = snapshot.job.metadata.name.clone().unwrap_or_default();
    let running = match snapshot.job.spec.completion_mode {
        CompletionMode::TerminationWord => running(&snapshot.pods),
        CompletionMode::ExitCode => Vec::new(),
    };
    let (daemon_set, events, operator, api_version, log_ends) = futures::join!(
        surroundings::daemon_set(cluster, &name),
        surroundings::events(cluster, &name),
        surroundings::operator(cluster),
        surroundings::api_version(cluster),
        surroundings::log_ends(cluster, &snapshot.job, &running),
    );
    Evidence {
        model: snapshot.model(),
        job: snapshot.job,
        daemon_set,
        events,
        operator,
        api_version,
        log_ends,
        now: cx.now(),
    }
}

/// Some pods that run and have not logged the word, the oldest runs first.
fn running(pods: &[PodFacts]) -> Vec<&PodFacts> {
    let is_running = |pod: &&PodFacts| {
        matches!(pod.container.state, RunState::Running(_)) && !pod.has_logged_word
    };
    let mut running: Vec<_> = pods.iter().filter(is_running).collect();
    running.sort_by_key(|pod| pod.started());
    running.truncate(LOGS);
    running
}

/// What is known of a Job that is not there any more.
async fn after_the_end(args: &Args, cluster: &Cluster, cx: &Context) -> Result<Exit> {
    match surroundings::events(cluster, &args.name).await {
        Known::Yes(events) if !events.is_empty() => print(&gone(&events, cx.now()), args, cx),
        _ => Err(find::missing(cluster, &args.name).await),
    }
}

fn print(findings: &[Finding], args: &Args, cx: &Context) -> Result<Exit> {
    match args.output.format {
        Some(format @ (Format::Json | Format::Yaml)) => cx.print_data(format, &findings)?,
        Some(Format::Name) => {
            let names: String = findings.iter().map(|it| format!("{}\n", it.check)).collect();
            cx.screen.print(&names)?;
        }
        _ => cx.screen.print(&explanation::render(findings, cx.screen.canvas()))?,
    }
    let has_problem = findings.iter().any(|finding| finding.severity == Severity::Problem);
    Ok(if has_problem { Exit::Bad } else { Exit::Good })
}
