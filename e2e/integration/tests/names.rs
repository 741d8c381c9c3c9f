//! Names up to the API's limit, and many Jobs side by side.

use anyhow::{Result, ensure};

use crate::job::{log_done, manifest};
use crate::test::{Test, shared_test};

#[apply(shared_test)]
async fn names_up_to_the_limit_are_taken_and_long_ones_never_mix(cx: &Test) -> Result<()> {
    let _processes = cx.both().await?;
    for length in [1, 50, 63, 64, 253] {
        let job = cx.apply(&manifest(&"n".repeat(length))).await?;
        job.complete_by_word().await?;
    }
    let base = "long".repeat(60);
    let first = cx.apply(&manifest(&format!("{base}-1"))).await?;
    let second = cx.apply(&manifest(&format!("{base}-2"))).await?;
    ensure!(first.daemon_set_name() != second.daemon_set_name());
    first.complete_by_word().await?;
    let second_pods = second.pods().await?;
    second.until_completed("0/3").await?;
    log_done(second_pods)?;
    second.until_gone().await
}
