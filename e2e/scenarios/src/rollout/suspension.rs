//! Jobs that are suspended and resumed, and one that never completes.

use anyhow::{Context as _, Result, ensure};
use api::job::{CompletionPolicy, Job, Phase, conditions};
use harness::job_builder::JobBuilder;
use harness::job_handle::{condition, describe, phase, status};
use testbed::kind::Node;

use crate::support::env::ScenarioEnv;

const JOB: &str = "on-hold";

/// The label of the nodes of [`never_completes`].
const LABEL: &str = "e2e.daemonset.darkowlzz.space/wanted";

/// A Job that is suspended stops, and goes on where it was; one that has failed is retried where it failed.
pub(crate) async fn goes_on_where_it_was(env: &ScenarioEnv<'_>) -> Result<()> {
    let (failing, others) = env.special_node()?;
    let script = format!(
        r#"
        trap 'exit 143' TERM
        until [ -e /basetarget/go ]; do sleep 0.2; done
        if [ "$NODE" = {} ] && ! [ -e /basetarget/mended ]; then exit 3; fi
        echo ran >>/basetarget/runs
        "#,
        failing.name()
    );
    env.apply(&env.shell(JOB, &script).exit_code().backoff_limit(0).with_node_name()).await?;
    let job = env.job(JOB);
    let first = others.first().context("the cluster has one node")?;
    env.touch([first], "go").await?;
    job.until_completed(&env.of_all(1)).await?;
    suspend(env, true).await?;
    let suspended = until_suspended(env).await?;
    ensure!(status(&suspended).completed == Some(env.of_all(1)), "{}", describe(&suspended));
    env.touch(&env.nodes, "go").await?;
    env.settle().await;
    env.only_these_have("runs", [first]).await?;
    suspend(env, false).await?;

    let failed = job.until_finished().await?;
    ensure!(phase(&failed) == Some(Phase::Failed), "{}", describe(&failed));
    ran_once_on(env, others).await?;
    env.touch([failing], "mended").await?;
    suspend(env, true).await?;
    until_suspended(env).await?;
    suspend(env, false).await?;
    job.until_gone().await?;
    ran_once_on(env, &env.nodes).await
}

/// A Job that never completes says when its nodes are done, and runs on nodes that join.
pub(crate) async fn never_completes(env: &ScenarioEnv<'_>) -> Result<()> {
    let (late, first) = env.special_node()?;
    let result = joins(env, late, first).await;
    result.and(label(env, &env.nodes, "-").await)
}

async fn joins(env: &ScenarioEnv<'_>, late: &Node, first: &[Node]) -> Result<()> {
    label(env, first, "=").await?;
    let manifest: JobBuilder =
        env.shell(JOB, "echo ran >>/basetarget/runs").exit_code().node_selector(LABEL, "");
    env.apply(&manifest.set(|spec| spec.completion_policy = CompletionPolicy::Never)).await?;
    let job = env.job(JOB);
    let ready = |number: usize| {
        move |job: &Job| {
            condition(job, conditions::READY).is_some()
                && usize::try_from(status(job).succeeded) == Ok(number)
        }
    };
    job.until("ready", ready(first.len())).await?;
    env.settle().await;
    ran_once_on(env, first).await?;
    label(env, [late], "=").await?;
    let all = job.until("ready again", ready(env.nodes.len())).await?;
    ensure!(phase(&all) == Some(Phase::Running), "{}", describe(&all));
    ran_once_on(env, &env.nodes).await?;
    job.delete().await
}

async fn label(
    env: &ScenarioEnv<'_>,
    nodes: impl IntoIterator<Item = &Node>,
    change: &str,
) -> Result<()> {
    for node in nodes {
        env.kubectl(
            &["label", "node", node.name(), "--overwrite", &format!("{LABEL}{change}")],
            "",
        )
        .await?;
    }
    Ok(())
}

async fn suspend(env: &ScenarioEnv<'_>, suspend: bool) -> Result<()> {
    let patch = format!(r#"{{"spec": {{"suspend": {suspend}}}}}"#);
    env.kubectl(&["patch", "dsjob", JOB, "--type", "merge", "--patch", &patch], "").await
}

/// Waits until the Job says that it is suspended, and its pods are gone.
async fn until_suspended(env: &ScenarioEnv<'_>) -> Result<Job> {
    let is_so = |job: &Job| {
        phase(job) == Some(Phase::Suspended) && condition(job, conditions::SUSPENDED).is_some()
    };
    let job = env.job(JOB).until("suspended", is_so).await?;
    env.until_stopped().await?;
    Ok(job)
}

/// Sees that the work ran once on each of these nodes.
async fn ran_once_on(env: &ScenarioEnv<'_>, nodes: &[Node]) -> Result<()> {
    for node in nodes {
        let path = format!("{}/runs", env.folder());
        let lines = node.exec(["wc", "-l", &path]).run(env.cx.logs).await?.text();
        let count = lines.split_whitespace().next().context("no count")?.to_owned();
        ensure!(count == "1", "the work ran {count} times on {}", node.name());
    }
    Ok(())
}
