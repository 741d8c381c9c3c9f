//! The same on the nodes of a kind cluster: real kubelets, real logs.
//!
//! The time of a word is the one that the container runtime has written beside it; all nodes share the
//! clock of this machine. There is no audit log: what counts as the arrival of the deletion is that of its
//! watch event here, some milliseconds after.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use api::job::Job;
use futures::{AsyncBufReadExt as _, TryStreamExt as _};
use harness::images;
use harness::progress::Phase;
use harness::wait::Waiter;
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::api::{DeleteParams, ListParams, LogParams, PostParams};
use kube::runtime::watcher;
use kube::{Api, Client, ResourceExt as _};
use serde_json::json;
use testbed::kind::Cluster;
use testbed::manifests;

use super::jobs::seconds;
use super::report::Kind;
use super::states;

const NAME: &str = "bench";

/// The label of the namespaces that are made here.
const MARK: (&str, &str) = ("app.kubernetes.io/managed-by", "daemonset-job-bench");

/// How long one Job may take.
const LIMIT: Duration = Duration::from_secs(120);

/// What each node does: it works for a moment, says so, and waits for its end.
const WORK: &str = "trap 'exit 0' TERM; sleep 1; echo done; while :; do sleep 1; done";

/// Runs Jobs, and the same DaemonSets by hand, on a cluster that the harness has made.
pub async fn measure(cluster: &Cluster, client: &Client, runs: u32, phase: &Phase) -> Result<Kind> {
    let mut kind = Kind { nodes: u32::try_from(cluster.record().nodes)?, ..Kind::default() };
    for run in 1..=runs {
        phase.detail(format_args!("run {run}/{runs}"));
        let job = async |namespace: &str| job(client, namespace, &mut kind).await;
        in_namespace(client, "job", job).await?;
        let baseline = async |namespace: &str| baseline(client, namespace, &mut kind).await;
        in_namespace(client, "floor", baseline).await?;
    }
    phase.detail("states");
    let observe = async |namespace: &str| states::observe(client, namespace, || {}).await;
    kind.states = in_namespace(client, "states", observe).await?;
    for node in cluster.nodes().await? {
        let sizes = node.resident_memory(&["operator", "terminator"]).await?;
        kind.memory += sizes.values().sum::<u64>() * 1024;
    }
    Ok(kind)
}

/// Does some work in a namespace of its own: kubelets take a minute to let go of the pods of the work
/// before, which must not be taken for those of this one.
async fn in_namespace<T>(
    client: &Client,
    purpose: &str,
    work: impl AsyncFnOnce(&str) -> Result<T>,
) -> Result<T> {
    let name = format!("bench-{}-{purpose}", harness::paths::run_name());
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let metadata = json!({"name": name, "labels": {MARK.0: MARK.1}});
    let object = serde_json::from_value(json!({"metadata": metadata}))?;
    namespaces.create(&PostParams::default(), &object).await?;
    let done = tokio::time::timeout(LIMIT, work(&name)).await;
    clean(client).await?;
    done.with_context(|| format!("{purpose} takes longer than {LIMIT:?}"))?
}

/// Deletes the namespaces that were made here, also after an interrupt.
pub async fn clean(client: &Client) -> Result<()> {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let ours = ListParams::default().labels(&format!("{}={}", MARK.0, MARK.1));
    for namespace in namespaces.list_metadata(&ours).await? {
        if namespace.metadata.deletion_timestamp.is_none() {
            namespaces.delete(&namespace.name_any(), &DeleteParams::default()).await?;
        }
    }
    Ok(())
}

/// One Job.
async fn job(client: &Client, namespace: &str, kind: &mut Kind) -> Result<()> {
    let jobs: Api<Job> = Api::namespaced(client.clone(), namespace);
    let job = serde_json::from_value(json!({
        "metadata": {"name": NAME},
        "spec": {
            "image": images::BUSYBOX,
            "command": ["sh", "-c", WORK],
            "template": {"spec": {"terminationGracePeriodSeconds": 1}},
        },
    }))?;
    let created = Timestamp::now();
    jobs.create(&PostParams::default(), &job).await?;
    let words = words(client, namespace, kind.nodes);
    let wait = Waiter::each(client, namespace, LIMIT);
    // When the watch event of the deletion has arrived.
    let deletion = async { wait.gone(jobs, NAME).await.map(|()| Timestamp::now()) };
    let (words, deleted) = tokio::try_join!(words, deletion)?;
    kind.wholes.push(seconds(created, deleted));
    kind.detections.push(seconds(last(&words)?, deleted));
    Ok(())
}

/// The same DaemonSet by hand.
async fn baseline(client: &Client, namespace: &str, kind: &mut Kind) -> Result<()> {
    let daemon_sets: Api<DaemonSet> = Api::namespaced(client.clone(), namespace);
    let created = Timestamp::now();
    daemon_sets.create(&PostParams::default(), &by_hand()?).await?;
    let words = words(client, namespace, kind.nodes).await?;
    kind.baselines.push(seconds(created, last(&words)?));
    kind.follows.extend(words.iter().map(|word| seconds(word.written, word.arrived)));
    Ok(())
}

/// When the last of these words was written.
fn last(words: &[Word]) -> Result<Timestamp> {
    words.iter().map(|word| word.written).max().context("no pods")
}

/// The DaemonSet that the operator makes of the Job, as far as it matters to the pods.
fn by_hand() -> Result<DaemonSet> {
    let container =
        json!({"name": "job-container", "image": images::BUSYBOX, "command": ["sh", "-c", WORK]});
    let pod = json!({
        "tolerations": [{"operator": "Exists"}],
        "nodeSelector": {"kubernetes.io/os": "linux"},
        "terminationGracePeriodSeconds": 1,
        "containers": [container],
    });
    manifests::daemon_set(NAME, &pod)
}

/// When a word was written, and when it was read here.
struct Word {
    written: Timestamp,
    arrived: Timestamp,
}

/// Follows the logs of that many pods until all have logged the word.
async fn words(client: &Client, namespace: &str, pods: u32) -> Result<Vec<Word>> {
    let pods = usize::try_from(pods)?;
    let api: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let mut events = std::pin::pin!(watcher(api.clone(), watcher::Config::default()));
    let mut followers = tokio::task::JoinSet::new();
    let mut followed = std::collections::HashSet::new();
    let mut words = Vec::new();
    while words.len() < pods {
        tokio::select! {
            event = events.try_next() => match event? {
                Some(watcher::Event::Apply(pod) | watcher::Event::InitApply(pod)) => {
                    let name = pod.name_any();
                    if runs(&pod) && followed.insert(name.clone()) {
                        let api = api.clone();
                        followers.spawn(async move { word(&api, &name).await });
                    }
                }
                Some(_) => {}
                None => bail!("the watch of pods has ended"),
            },
            Some(word) = followers.join_next() => words.push(word??),
        }
    }
    Ok(words)
}

fn runs(pod: &Pod) -> bool {
    let status = pod.status.as_ref();
    status.and_then(|status| status.phase.as_deref()) == Some("Running")
        && pod.metadata.deletion_timestamp.is_none()
}

async fn word(api: &Api<Pod>, pod: &str) -> Result<Word> {
    let params = LogParams { follow: true, timestamps: true, ..LogParams::default() };
    let mut lines = api.log_stream(pod, &params).await?.lines();
    while let Some(line) = lines.try_next().await? {
        let arrived = Timestamp::now();
        if let Some((written, "done")) = line.split_once(' ') {
            return Ok(Word { written: written.parse()?, arrived });
        }
    }
    bail!("the log of {pod} has ended without the word")
}
