//! Jobs whose nodes take turns.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result, ensure};
use api::job::{Job, NodeState, Window, conditions};
use futures::future::try_join_all;
use harness::job_builder::JobBuilder;
use harness::job_handle::{condition, describe, find_node, status};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::ResourceExt as _;
use testbed::faults::{self, Fault, kill};
use testbed::kind::Node;

use crate::faults::ours::until_running;
use crate::support::env::ScenarioEnv;

/// The Job of a scenario that has one.
const JOB: &str = "in-turn";

/// The label by which a node is known to a selector.
const HOSTNAME: &str = "kubernetes.io/hostname";

/// The longest time from a write of the status to the kill of the operator. Releases follow at once.
const LONGEST_LIFE: Duration = Duration::from_millis(600);

/// The window of [`open_only_in_windows`] is open at the beginning of each minute.
const OPEN: Duration = Duration::from_secs(10);
/// Time that a kubelet may take to start what has been released.
const START: Duration = Duration::from_secs(12);

/// One node at a time, from the work's own files, though the operator is killed again and again.
pub(crate) async fn never_two_at_work(env: &ScenarioEnv<'_>) -> Result<()> {
    env.apply(&timed(env, 3).set(|spec| spec.parallelism = Some(IntOrString::Int(1)))).await?;
    let job = env.job(JOB);
    let ended = async { job.until_deleted(async { Ok(()) }).await };
    let (life, ()) = while_the_operator_is_killed(env, ended).await?;
    ensure!(usize::try_from(life.status.succeeded)? == env.nodes.len(), "{:?}", life.status);
    let mut times = work_times(env).await?;
    times.sort_unstable();
    for pair in times.windows(2) {
        if let [(_, end), (begin, _)] = pair {
            ensure!(end <= begin, "two nodes were at work at once: {times:?}");
        }
    }
    Ok(())
}

/// A canary that fails holds back all nodes that come after it, until its failure is tolerated. Then edits of the limit
/// start more of them, none, and all.
pub(crate) async fn failed_canary_holds_the_rest(env: &ScenarioEnv<'_>) -> Result<()> {
    let (canary, others) = env.special_node()?;
    let canary = canary.name();
    let script = format!(
        r#"
        trap 'exit 143' TERM
        if [ "$NODE" = {canary} ]; then
            echo "not on this machine" >&2
            exit 3
        fi
        until [ -e /basetarget/go ]; do sleep 0.2; done
        touch /basetarget/ran
        "#
    );
    let manifest = env.shell(JOB, &script).exit_code().backoff_limit(0).with_node_name();
    env.apply(&manifest.set(|spec| spec.order = vec![on(canary)])).await?;
    let job = env.job(JOB);
    let rest = i32::try_from(others.len())?;
    let held = |job: &Job| (status(job).failed, status(job).waiting) == (1, rest);
    job.until("the canary failed, the others waiting", held).await?;
    env.settle().await;
    let waiting = job.get().await?;
    ensure!(held(&waiting), "{}", describe(&waiting));
    let why = condition(&waiting, conditions::WAITING).context("it does not say why")?;
    ensure!(why.message.contains(canary), "{}", describe(&waiting));

    let at_work = async |number: i32, waiting: i32| {
        let expected = format!("{number} nodes at work, {waiting} waiting");
        let is_so = |job: &Job| (status(job).active, status(job).waiting) == (number, waiting);
        job.until(&expected, is_so).await
    };
    patch(env, r#"{"spec": {"maxFailedNodes": 1, "parallelism": 2}}"#).await?;
    // The node that failed keeps its place.
    at_work(1, rest - 1).await?;
    patch(env, r#"{"spec": {"parallelism": 0}}"#).await?;
    env.touch(&env.nodes, "go").await?;
    let paused = at_work(0, rest - 1).await?;
    let why = condition(&paused, conditions::WAITING).context("it does not say why")?;
    ensure!(why.reason == "Paused", "{}", describe(&paused));
    env.settle().await;
    ensure!(env.nodes_with("ran").await?.len() == 1, "nodes were started by a Job with no place");

    patch(env, r#"{"spec": {"parallelism": "100%"}}"#).await?;
    let message =
        format!("done on {} of {} nodes, failed on: {canary}", others.len(), env.nodes.len());
    job.until_ended("NodesFailed", &message).await?;
    env.only_these_have("ran", others).await
}

/// A node that stops keeps its place while it is at work, and gets none while it waits.
pub(crate) async fn stopped_node_keeps_its_place(env: &ScenarioEnv<'_>) -> Result<()> {
    let control_plane = env.cx.cluster.control_plane().await?;
    let mut workers = env.nodes_without_ours().await?.into_iter();
    let stopped = workers.find(|node| node.name() != control_plane.name());
    let stopped =
        stopped.context("our own pod is on every worker: give the cluster three nodes")?;
    let others: Vec<&Node> =
        env.nodes.iter().filter(|node| node.name() != stopped.name()).collect();
    let one = IntOrString::Int(1);
    let at_work = gated(env, "at-work").set(|spec| {
        spec.parallelism = Some(one.clone());
        spec.order = vec![on(stopped.name())];
    });
    let waits = gated(env, "waits").set(|spec| {
        spec.parallelism = Some(one);
        spec.order = others.iter().map(|node| on(node.name())).collect();
    });
    env.apply(&at_work).await?;
    env.apply(&waits).await?;
    let (at_work, waits) = (env.job("at-work"), env.job("waits"));
    for job in [&at_work, &waits] {
        job.until("one node at work", |job| status(job).active == 1).await?;
    }
    let is_running = |node: &api::job::NodeStatus| node.state == NodeState::Running;
    at_work.until_node(stopped.name(), "running", is_running).await?;

    let inflicted = faults::inflict(Fault::NodeFrozen, stopped, env.cx.cluster).await?;
    let is_lost = |node: &api::job::NodeStatus| node.state == NodeState::Unreachable;
    at_work.until_node(stopped.name(), "unreachable", is_lost).await?;
    env.touch(others.iter().copied(), "go").await?;
    // The others of the second Job are done; the stopped node is not started.
    waits.until_completed(&env.of_all(others.len())).await?;
    env.settle().await;
    let held = at_work.get().await?;
    let done = status(&held).succeeded;
    ensure!(done == 0 && find_node(&held, stopped.name()).is_some(), "{}", describe(&held));
    let waiting = waits.get().await?;
    ensure!(status(&waiting).active == 0, "{}", describe(&waiting));

    inflicted.heal().await?;
    env.touch([stopped], "go").await?;
    at_work.until_gone().await?;
    waits.until_gone().await
}

/// Nodes are started only while a window is open.
pub(crate) async fn open_only_in_windows(env: &ScenarioEnv<'_>) -> Result<()> {
    let window = Window {
        schedule: "* * * * *".to_owned(),
        duration_seconds: i64::try_from(OPEN.as_secs())?,
        time_zone: Some("Europe/Berlin".to_owned()),
    };
    // Each takes longer than the window is open: one node a minute.
    let manifest = timed(env, 15).set(|spec| {
        spec.parallelism = Some(IntOrString::Int(1));
        spec.windows = vec![window];
    });
    env.apply(&manifest).await?;
    let job = env.job(JOB);
    let is_closed = |job: &Job| {
        condition(job, conditions::WAITING).is_some_and(|it| it.reason == "WindowClosed")
    };
    let closed = job.until("waiting for a window", is_closed).await?;
    let why = condition(&closed, conditions::WAITING).context("just seen")?;
    ensure!(why.message.contains("opens at"), "{}", describe(&closed));
    job.until_gone().await?;
    for (begin, _) in work_times(env).await? {
        let second = begin.duration_since(SystemTime::UNIX_EPOCH)?.as_secs() % 60;
        ensure!(second <= (OPEN + START).as_secs(), "a node was started at second {second}");
    }
    Ok(())
}

/// A Job that leaves its times on each node: `begin` and `end`.
fn timed(env: &ScenarioEnv<'_>, seconds: u32) -> JobBuilder {
    let script = format!("touch /basetarget/begin; sleep {seconds}; touch /basetarget/end");
    env.shell(JOB, &script).exit_code()
}

/// A Job whose work waits for the file `go`, and leaves the file `ran`.
fn gated(env: &ScenarioEnv<'_>, name: &str) -> JobBuilder {
    let script = r"
        trap 'exit 143' TERM
        until [ -e /basetarget/go ]; do sleep 0.2; done
        touch /basetarget/ran
    ";
    env.shell(name, script).exit_code()
}

/// When the work of [`timed`] began and ended on each node.
async fn work_times(env: &ScenarioEnv<'_>) -> Result<Vec<(SystemTime, SystemTime)>> {
    let folder = env.folder();
    let files = try_join_all(env.nodes.iter().map(|node| node.file_times(&folder))).await?;
    let times = files.iter().map(|files| Some((*files.get("begin")?, *files.get("end")?)));
    times.collect::<Option<_>>().context("the work has not left its files everywhere")
}

fn on(node: &str) -> LabelSelector {
    let labels = [(HOSTNAME.to_owned(), node.to_owned())].into();
    LabelSelector { match_labels: Some(labels), ..LabelSelector::default() }
}

async fn patch(env: &ScenarioEnv<'_>, patch: &str) -> Result<()> {
    env.kubectl(&["patch", "dsjob", JOB, "--type", "merge", "--patch", patch], "").await
}

/// Kills the operator soon after each status that it writes, until `work` is over.
///
/// Another one leads when the lease of the one before has expired. The pod is replaced after every second kill: the
/// kubelet would keep the third one waiting.
async fn while_the_operator_is_killed<T>(
    env: &ScenarioEnv<'_>,
    work: impl Future<Output = Result<T>>,
) -> Result<T> {
    let kills = async {
        let (mut killed, mut seen) = (BTreeSet::new(), None);
        for number in 0_u32.. {
            let is_new = |job: &Job| job.status.is_some() && job.resource_version() != seen;
            seen = env.job(JOB).until("another status", is_new).await?.resource_version();
            tokio::time::sleep(LONGEST_LIFE * (number % 4) / 3).await;
            let pod = until_running(env, &killed).await?;
            kill::containers(env.cx.cluster, &pod, &["operator"]).await?;
            killed.insert(kill::container_id(&pod, "operator")?.to_owned());
            if number % 2 == 1 {
                kill::delete_pod(env.cx.client, &pod).await?;
            }
        }
        anyhow::Ok(())
    };
    tokio::select! {
        result = work => result,
        ended = kills => Err(ended.err().unwrap_or_else(|| anyhow::anyhow!("no more kills"))),
    }
}
