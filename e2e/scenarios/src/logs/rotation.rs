//! Logs that kubelets rotate: they do so with what is larger than 10 MiB, every ten seconds.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use testbed::kind::Node;

use crate::support::env::ScenarioEnv;

const JOB: &str = "says-more-than-fits";

/// Logs more than fits into one file.
const FLOOD: &str = "yes \"$(printf %0999d 0)\" | head -c 12000000";

/// Waits until a container of the namespace `$1` has a log that was rotated.
const WAIT_ROTATED: &str = r#"
until ls /var/log/pods/"$1"_*/*/*.log.* > /dev/null 2>&1; do sleep 0.2; done
"#;

/// How long rotation may take: two looks of the kubelet, with a busy machine between them.
const ROTATION: Duration = Duration::from_secs(60);

/// Within what time a word is to be noticed, however far the stream lags. A file is read from its beginning
/// within five seconds of being made, unless the log was silent before; the rest is for a busy machine.
const NOTICED: Duration = Duration::from_secs(20);

/// A kubelet that serves a log goes over to the next file when that is made, but loses its place when this was
/// before it first came to the end of the log: it looks for new files from then on. A word that is logged after
/// that is noticed all the same.
/// <https://github.com/kubernetes/cri-client/blob/v0.37.2/pkg/logs/logs.go>
pub(crate) async fn word_after_it_is_noticed(env: &ScenarioEnv<'_>) -> Result<()> {
    let script = format!(
        r"
        trap 'exit 0' TERM
        {FLOOD}
        until [ -e /basetarget/go ]; do sleep 0.2; done
        echo done
        while :; do sleep 1; done
        "
    );
    env.apply(&env.shell(JOB, &script)).await?;
    let job = env.job(JOB);
    env.until_running_everywhere().await?;
    for node in &env.nodes {
        until_rotated(env, node).await?;
    }
    let logged = Instant::now();
    let (life, ()) = job.until_deleted(env.touch(&env.nodes, "go")).await?;
    let noticed = life.deletion.duration_since(logged);
    ensure!(noticed <= NOTICED, "the word was noticed after {noticed:.1?}");
    env.cx.phase.outcome(format_args!("noticed after {noticed:.1?}"));
    Ok(())
}

async fn until_rotated(env: &ScenarioEnv<'_>, node: &Node) -> Result<()> {
    env.cx.phase.detail(format_args!("a rotated log on {}", node.name()));
    node.exec(["sh", "-c", WAIT_ROTATED, "sh", env.namespace()])
        .timeout(ROTATION)
        .run(env.cx.logs)
        .await
        .with_context(|| format!("the log of no container was rotated on {}", node.name()))?;
    Ok(())
}
