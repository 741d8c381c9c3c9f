//! `kubectl dsjob list`: the Jobs of a namespace, or of all.

use api::job::{CompletionMode, Job, Phase, conditions};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{
    Api, Resource,
    api::{DynamicObject, ListParams},
    core::{ApiResource, ObjectMeta},
};
use serde::Deserialize;
use serde_json::json;

use super::context::{Context, Exit, object_name};
use crate::{
    args::output::{Format, Output},
    cluster::{
        connect::Cluster,
        failure::{Doing, JOBS},
        pages,
    },
    error::Result,
    render::list::{self, Entry, View},
};

/// List Jobs with their phases and counts.
#[derive(clap::Args, Debug)]
#[command(visible_alias = "ls")]
pub(crate) struct Args {
    /// List the Jobs of all namespaces.
    #[arg(long, short = 'A')]
    all_namespaces: bool,

    /// List failed Jobs only.
    #[arg(long)]
    failed: bool,

    /// List Jobs with these labels only.
    #[arg(long, short = 'l', value_name = "SELECTOR")]
    selector: Option<String>,

    #[command(flatten)]
    output: Output,
}

/// A Job without its nodes: their sets may be long.
#[derive(Clone, Debug, Deserialize, Resource)]
#[resource(inherit = Job)]
struct ListedJob {
    metadata: ObjectMeta,
    spec: ListedSpec,
    #[serde(default)]
    status: ListedStatus,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ListedSpec {
    image: String,
    completion_mode: CompletionMode,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ListedStatus {
    phase: Option<Phase>,
    completed: Option<String>,
    failed: i32,
    waiting: i32,
    duration: Option<String>,
    conditions: Vec<Condition>,
}

pub(crate) async fn run(args: Args, cx: &Context) -> Result<Exit> {
    let cluster = cx.cluster().await?;
    let namespace = (!args.all_namespaces).then_some(cluster.namespace.as_str());
    let mut params = ListParams::default();
    params.label_selector.clone_from(&args.selector);
    params.field_selector = args.failed.then(|| "status.phase=Failed".to_owned());
    let doing = Doing::new("list", JOBS, namespace);
    match args.output.format {
        Some(format @ (Format::Json | Format::Yaml)) => {
            let items = objects(&cluster, namespace, &params).await;
            let items = items.map_err(|error| doing.failed(&error))?;
            let list = json!({
                "apiVersion": "v1", "kind": "List", "metadata": {"resourceVersion": ""}, "items": items,
            });
            cx.print_data(format, &list)?;
        }
        format => {
            let entries = entries(&cluster, namespace, &params).await;
            let entries = entries.map_err(|error| doing.failed(&error))?;
            let text = if format == Some(Format::Name) {
                entries.iter().map(|entry| object_name(&entry.name) + "\n").collect()
            } else if entries.is_empty() {
                let place = namespace.map_or(String::new(), |it| format!(" in {it} namespace"));
                cx.screen.note(&format!("No resources found{place}."))?;
                String::new()
            } else {
                let view = View {
                    with_namespace: args.all_namespaces,
                    is_wide: args.output.is_wide(),
                    now: cx.now(),
                };
                list::render(&entries, view, cx.screen.canvas())
            };
            cx.screen.print(&text)?;
        }
    }
    Ok(Exit::Good)
}

async fn entries(
    cluster: &Cluster,
    namespace: Option<&str>,
    params: &ListParams,
) -> kube::Result<Vec<Entry>> {
    let api: Api<ListedJob> = match namespace {
        Some(namespace) => Api::namespaced(cluster.client.clone(), namespace),
        None => Api::all(cluster.client.clone()),
    };
    pages::list(&api, params, |job| Some(entry(job))).await
}

fn entry(ListedJob { metadata, spec, status }: ListedJob) -> Entry {
    let conditions = &status.conditions;
    let reason = [conditions::FAILED, conditions::SUSPENDED, conditions::WAITING]
        .iter()
        .find_map(|type_| conditions::find_true(conditions, type_))
        .or(conditions::finished(conditions));
    Entry {
        namespace: metadata.namespace.unwrap_or_default(),
        name: metadata.name.unwrap_or_default(),
        phase: status.phase,
        reason: reason.map(|condition| condition.reason.clone()),
        completed: status.completed,
        failed: status.failed,
        waiting: status.waiting,
        duration: status.duration,
        created: metadata.creation_timestamp.map(|time| time.0),
        image: spec.image,
        mode: match spec.completion_mode {
            CompletionMode::TerminationWord => "TerminationWord",
            CompletionMode::ExitCode => "ExitCode",
        },
    }
}

/// Whole objects, as `kubectl get --output json` prints them.
async fn objects(
    cluster: &Cluster,
    namespace: Option<&str>,
    params: &ListParams,
) -> kube::Result<Vec<DynamicObject>> {
    let resource = ApiResource::erase::<Job>(&());
    let api = match namespace {
        Some(namespace) => Api::namespaced_with(cluster.client.clone(), namespace, &resource),
        None => Api::all_with(cluster.client.clone(), &resource),
    };
    pages::list(&api, params, |mut job: DynamicObject| {
        job.metadata.managed_fields = None;
        job.types = Some(kube::core::TypeMeta::resource::<Job>());
        Some(job)
    })
    .await
}
