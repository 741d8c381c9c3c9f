//! What a log may hold around the word.

use anyhow::Result;

use crate::support::env::ScenarioEnv;

const JOB: &str = "says-odd-things";

/// Bytes of all values around it neither make nor hide a word.
pub(crate) async fn binary_noise_hides_no_word(env: &ScenarioEnv<'_>) -> Result<()> {
    is_done_by_the_last_word(
        env,
        r#"
            value=0
            while [ $value -lt 256 ]; do
                printf "\\$(printf %03o $value)"
                value=$((value + 1))
            done > /tmp/noise
            for wrong in abandoned undone done_; do
                cat /tmp/noise
                printf $wrong
            done
            cat /tmp/noise
            rm /basetarget/silent
            until [ -e /basetarget/go ]; do sleep 0.2; done
            cat /tmp/noise
            printf done
            cat /tmp/noise
        "#,
    )
    .await
}

/// Neither a pause nor the end of what container runtimes take for one piece of a line (16 KiB) cuts a
/// word in two, or makes one of a part.
pub(crate) async fn word_in_two_writes_is_one_word(env: &ScenarioEnv<'_>) -> Result<()> {
    is_done_by_the_last_word(
        env,
        r#"
            in_two() {
                printf "%0$((16384 - ${#1} - 1))d %s" 0 "$1"
                sleep 1
                echo "$2"
            }
            in_two done _not_yet
            in_two aban doned
            printf do; sleep 1; echo ne_not_yet
            rm /basetarget/silent
            until [ -e /basetarget/go ]; do sleep 0.2; done
            in_two do ne
        "#,
    )
    .await
}

/// `script` removes `silent` after what must not count; the word follows `go`.
async fn is_done_by_the_last_word(env: &ScenarioEnv<'_>, script: &str) -> Result<()> {
    let script = format!("trap 'exit 0' TERM\n{script}\nwhile :; do sleep 1; done");
    env.touch(&env.nodes, "silent").await?;
    env.apply(&env.shell(JOB, &script)).await?;
    let job = env.job(JOB);
    env.until_removed("silent").await?;
    env.settle().await;
    env.none_is_done(&job.get().await?)?;
    job.until_deleted(env.touch(&env.nodes, "go")).await?;
    Ok(())
}
