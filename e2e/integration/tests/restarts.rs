//! Operator and terminator killed at any moment: what they know is on the objects.

use anyhow::{Result, ensure};

use crate::job::{exit_code_manifest, exit_well, log_done, manifest};
use crate::test::{Test, settle, shared_test};

#[apply(shared_test)]
async fn terminator_killed_in_the_middle_loses_nothing(cx: &Test) -> Result<()> {
    let (_operator, terminator) = cx.both().await?;
    let (job, [before, meanwhile, after]) = cx.running(&manifest("terminator-killed")).await?;
    before.log("done\n")?;
    job.until_recorded(&before).await?;
    let requests = before.log_requests();
    terminator.kill();
    meanwhile.log("done\n")?;
    let _terminator = cx.terminator().await?;
    job.until_recorded(&meanwhile).await?;
    after.log("done\n")?;
    job.until_gone().await?;
    ensure!(before.log_requests() == requests, "what is recorded is not read again");
    Ok(())
}

#[apply(shared_test)]
async fn operator_killed_in_the_middle_loses_nothing(cx: &Test) -> Result<()> {
    let (operator, terminator) = cx.both().await?;
    let (job, [before, meanwhile, after]) = cx.running(&manifest("operator-killed")).await?;
    before.log("done\n")?;
    job.until_completed("1/3").await?;
    operator.kill();
    for pod in [&meanwhile, &after] {
        pod.log("done\n")?;
        job.until_recorded(pod).await?;
    }
    settle().await;
    job.until_completed("1/3").await?;
    ensure!(terminator.deletions("/jobs/operator-killed").is_empty());
    let _operator = cx.operator().await?;
    job.until_gone().await
}

#[apply(shared_test)]
async fn work_done_while_neither_ran_is_found(cx: &Test) -> Result<()> {
    let (operator, terminator) = cx.both().await?;
    let by_word = cx.apply(&manifest("by-word")).await?;
    let by_code = cx.apply(&exit_code_manifest("by-code")).await?;
    let (words, codes) = (by_word.pods().await?, by_code.pods().await?);
    operator.kill();
    terminator.kill();
    log_done(&words)?;
    exit_well(&codes)?;
    let _processes = cx.both().await?;
    by_word.until_gone().await?;
    by_code.until_all_done().await
}

#[apply(shared_test)]
async fn two_operators_and_two_terminators_at_once_do_no_harm(cx: &Test) -> Result<()> {
    let _first = cx.both().await?;
    let _second = cx.both().await?;
    let (job, pods) = cx.running(&manifest("doubled")).await?;
    log_done(&pods[1..])?;
    job.until_completed("2/3").await?;
    settle().await;
    job.until_completed("2/3").await?;
    pods[0].log("done\n")?;
    job.until_gone().await
}
