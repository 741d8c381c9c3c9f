//! `kubectl dsjob check`: is daemonset-job installed, does it work, and what may the caller do?

use std::time::Duration;

use api::job::{CompletionMode, Job, JobSpec};
use k8s_openapi::jiff::Timestamp;
use serde_json::json;

use super::{
    context::{Context, Exit},
    wait,
};
use crate::{
    args::{
        names,
        output::{Format, Output, Strategy},
    },
    cluster::{
        connect::Cluster,
        failure::{Doing, JOBS},
        reviews, surroundings, write,
    },
    error::{Error, Result},
    model::{
        evidence::{Known, OperatorPod},
        installation::{Item, Verdict, leader, operator, server},
    },
    render::checklist,
};

/// What the commands need, and which they are.
const RIGHTS: [(&str, &str, bool, &str); 10] = [
    ("list", JOBS, true, "list, and completion of names"),
    ("get", JOBS, true, "status, explain, results, report, logs"),
    ("watch", JOBS, true, "wait, status --watch, run --follow"),
    ("create", JOBS, true, "run"),
    ("patch", JOBS, true, "retry, suspend, resume"),
    ("delete", JOBS, true, "cancel, run --rm"),
    ("list", "pods", true, "runs and times in status; logs"),
    ("get", "pods/log", true, "logs, run --follow"),
    ("list", "events", true, "explain: refused pods, Jobs that are gone"),
    ("list", "nodes", false, "nodes without a pod in status, results and report"),
];

/// Time for a Job on one node.
const JOB_TIMEOUT: Duration = Duration::from_secs(120);

/// Check the installation, and what you may do.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Run a Job on this node as well, and delete it.
    #[arg(long, value_name = "NODE", value_parser = names::job)]
    run_on: Option<String>,

    /// Image of that Job; its command is `true`.
    #[arg(long, default_value = "busybox:1.36", requires = "run_on")]
    image: String,

    #[command(flatten)]
    output: Output,
}

pub(crate) async fn run(args: Args, cx: &Context) -> Result<Exit> {
    let cluster = cx.cluster().await?;
    let mut items = installation(&cluster, cx).await?;
    items.extend(rights(&cluster).await?);
    if let Some(node) = &args.run_on {
        items.push(job_on(&cluster, node, &args, cx).await?);
    }
    match args.output.format {
        Some(format @ (Format::Json | Format::Yaml)) => cx.print_data(format, &items)?,
        _ => cx.screen.print(&checklist::render(&items, cx.screen.canvas()))?,
    }
    let is_bad = items.iter().any(|item| item.verdict == Verdict::Bad);
    Ok(if is_bad { Exit::Bad } else { Exit::Good })
}

async fn installation(cluster: &Cluster, cx: &Context) -> Result<Vec<Item>> {
    // Without an API server nothing else is worth a line.
    let info = cluster.client.apiserver_version().await;
    let doing = Doing::new("get", "/version", None);
    let info = info.map_err(|error| doing.failed(&error))?;
    let version = surroundings::api_version(cluster).await;
    let mut items = vec![server(&info.git_version, version), resource(cluster).await];
    let pods = surroundings::operator(cluster).await;
    let namespace = match &pods {
        Known::Yes(pods) => pods.first().map(|pod: &OperatorPod| pod.namespace.clone()),
        Known::No(_) => None,
    };
    items.push(operator(&pods));
    let namespace = namespace.unwrap_or_else(|| surroundings::OPERATOR_NAMESPACE.to_owned());
    items.push(leader(&surroundings::leader(cluster, &namespace).await, cx.now()));
    Ok(items)
}

/// Whether the API server serves Jobs.
async fn resource(cluster: &Cluster) -> Item {
    let group = format!("{}/v1beta1", api::labels::GROUP);
    match cluster.client.list_api_group_resources(&group).await {
        Ok(list) if list.resources.iter().any(|it| it.name == "jobs") => {
            Item::good("resource", format!("{group} jobs is served"))
        }
        Ok(_) => Item::bad("resource", format!("{group} has no jobs")),
        Err(error) => {
            let error = Doing::new("list", JOBS, None).failed(&error).to_string();
            Item::bad("resource", error.trim_start_matches("error: ").to_owned())
        }
    }
}

async fn rights(cluster: &Cluster) -> Result<Vec<Item>> {
    let reviews = RIGHTS.map(|(verb, resource, is_namespaced, needed_by)| {
        let namespace = is_namespaced.then_some(cluster.namespace.as_str());
        let doing = Doing::new(verb, resource, namespace);
        async move {
            let may = reviews::may(cluster, &doing).await?;
            Ok::<_, Error>(match may {
                true => Item::good("right", doing.right()),
                false => {
                    Item::warning("right", format!("you may not {}: {needed_by}", doing.right()))
                }
            })
        }
    });
    futures::future::try_join_all(reviews).await
}

/// Runs a Job on one node, and deletes it.
async fn job_on(cluster: &Cluster, node: &str, args: &Args, cx: &Context) -> Result<Item> {
    let name = format!("dsjob-check-{}", Timestamp::now().as_millisecond() % 1_000_000);
    let spec = JobSpec {
        image: args.image.clone(),
        command: vec!["true".to_owned()],
        completion_mode: CompletionMode::ExitCode,
        backoff_limit_per_node: Some(1),
        ttl_seconds_after_finished: Some(300),
        template: Some(json!({"spec": {"nodeSelector": {"kubernetes.io/hostname": node}}})),
        ..JobSpec::default()
    };
    let started = std::time::Instant::now();
    let job = write::create(cluster, &Job::new(&name, spec), Strategy::None).await?;
    let end = tokio::time::timeout(JOB_TIMEOUT, wait::until_end(cluster, job.clone(), cx)).await;
    write::delete(cluster, &job, false, Strategy::None).await?;
    let took = started.elapsed().as_secs_f32();
    Ok(match end {
        Ok(end) => match end? {
            (_, Exit::Good) => {
                Item::good("job", format!("a Job on {node} was done after {took:.1} s"))
            }
            (said, _) => Item::bad("job", format!("a Job on {node} {said}")),
        },
        Err(_) => Item::bad("job", format!("a Job on {node} was not done within 2m")),
    })
}
