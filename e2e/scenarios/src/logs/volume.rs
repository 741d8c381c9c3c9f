//! Logs that are long: the word is found at their end, and the terminator does not grow.

use anyhow::{Result, ensure};

use crate::logs::memory::TerminatorMemory;
use crate::support::env::ScenarioEnv;

const JOB: &str = "says-much";

/// 200 MB in 20 parts, rotated at least twice while they are followed.
pub(crate) async fn word_is_found_after_200_mb_that_rotate(env: &ScenarioEnv<'_>) -> Result<()> {
    let script = r#"
        for part in $(seq 20); do
            yes "$(printf %0999d "$part")" | head -c 10000000
            sleep 1
        done
    "#;
    is_done_in_little_memory(env, script).await
}

/// A line of 50 MB whose last word is the word.
pub(crate) async fn word_is_found_at_the_end_of_a_50_mb_line(env: &ScenarioEnv<'_>) -> Result<()> {
    is_done_in_little_memory(env, r"head -c 50000000 /dev/zero | tr '\0' x; printf ' '").await
}

/// A Job that runs `script` on one node, for what the nodes share is one disk, and says the word.
async fn is_done_in_little_memory(env: &ScenarioEnv<'_>, script: &str) -> Result<()> {
    let (node, _) = env.special_node()?;
    let script = format!(
        r"
        trap 'exit 0' TERM
        until [ -e /basetarget/go ]; do sleep 0.2; done
        {script}
        touch /basetarget/said
        echo done
        while :; do sleep 1; done
        "
    );
    env.apply(&env.shell(JOB, &script).only_on(node.name())).await?;
    let job = env.job(JOB);
    job.until_completed("0/1").await?;
    env.until_pods_run(1).await?;
    let memory = TerminatorMemory::watch(env).await?;
    job.until_deleted(env.touch([node], "go")).await?;
    let said = env.nodes_with("said").await?;
    ensure!(said == [node.name()], "it was done before the word was logged");
    memory.has_stayed_level().await
}
